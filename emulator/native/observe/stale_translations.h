/* Stale translations: ones that the TLB holds, and page tables no longer say. Python reaches them through core.h. */
#ifndef KMEMU_STALE_TRANSLATIONS_H
#define KMEMU_STALE_TRANSLATIONS_H

#include "machine.h"

int kc_stale_translations_init(kc *m);
void kc_stale_translations_free(kc *m);

#endif
