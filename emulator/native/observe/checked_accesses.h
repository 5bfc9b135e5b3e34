/* Checked accesses: of memory that no allocator has handed out. Python reaches them through core.h. */
#ifndef KMEMU_CHECKED_ACCESSES_H
#define KMEMU_CHECKED_ACCESSES_H

#include "observe/dataflow.h"

int kc_checked_accesses_init(kc *m);
void kc_checked_accesses_free(kc *m);
int kc_checked_accesses_save(kc *m, void **saved);
int kc_checked_accesses_restore(kc *m, const void *saved);

/* Check nothing for a while; false: the kernel would execute other instructions. Whoever does this goes back to a snapshot before it ends. */
bool kc_checks_rest(kc *m, bool yes);

/* An instruction at a place in translated code is going to use a value that is not defined. May leave the block. */
void kc_on_undefined_use(kc *m, enum kc_use use, struct undefined value, uintptr_t host_pc);
/* Compiled code is at the entry of a function by which it reports an access; `number`: of the reports. */
void kc_on_report(kc *m, uint32_t number);

#endif
