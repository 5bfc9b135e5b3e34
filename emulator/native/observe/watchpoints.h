/* Watchpoints: writes to a few bytes of memory. Python reaches them through core.h. */
#ifndef KMEMU_WATCHPOINTS_H
#define KMEMU_WATCHPOINTS_H

#include "machine.h"

int kc_watchpoints_init(kc *m);
void kc_watchpoints_free(kc *m);

#endif
