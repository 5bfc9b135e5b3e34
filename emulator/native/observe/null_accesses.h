/* Null accesses: instructions of the kernel that access page zero. Python reaches them through core.h. */
#ifndef KMEMU_NULL_ACCESSES_H
#define KMEMU_NULL_ACCESSES_H

#include "machine.h"

int kc_null_accesses_init(kc *m);
void kc_null_accesses_free(kc *m);
int kc_null_accesses_save(kc *m, void **saved);
int kc_null_accesses_restore(kc *m, const void *saved);

#endif
