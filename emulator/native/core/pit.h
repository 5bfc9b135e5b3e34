/* The interval timer of a PC, and the port of its speaker. */
#ifndef KMEMU_PIT_H
#define KMEMU_PIT_H

#include "machine.h"

int kc_pit_init(kc *m);
void kc_pit_free(kc *m);
int kc_pit_save(kc *m, void **saved);
int kc_pit_restore(kc *m, const void *saved);

#endif
