/* Watchpoints: writes to a few bytes of memory. Python reaches them through core.h. */
#ifndef KMEMU_WATCHPOINTS_H
#define KMEMU_WATCHPOINTS_H

#include "machine.h"

int kc_watchpoints_init(kc *m);
void kc_watchpoints_free(kc *m);
int kc_watchpoints_restore(kc *m, const void *saved);

/* The run has come to a moment after accesses that may end it: the watchpoint that counts, 0: none does. */
uint32_t kc_watchpoint_due(kc *m, const kc_moment *here, bool counts(kc *m, uint32_t number, bool asks));

#endif
