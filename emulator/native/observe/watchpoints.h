/* Watchpoints. */
#ifndef KMEMU_WATCHPOINTS_H
#define KMEMU_WATCHPOINTS_H

#include "machine.h"

int kc_watchpoints_init(kc *m);
void kc_watchpoints_free(kc *m);

#endif
