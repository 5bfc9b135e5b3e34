/* Watches: the pages that are written while a watch is open. Python opens and ends them through core.h. */
#ifndef KMEMU_WRITTEN_PAGES_H
#define KMEMU_WRITTEN_PAGES_H

#include "machine.h"

int kc_written_pages_init(kc *m);
void kc_written_pages_free(kc *m);
int kc_written_pages_save(kc *m, void **saved);
int kc_written_pages_restore(kc *m, const void *saved);
void kc_written_pages_forget(void *saved);

#endif
