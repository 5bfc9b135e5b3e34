/* Loops that nothing can end. */
#ifndef KMEMU_SPINNING_H
#define KMEMU_SPINNING_H

#include "machine.h"

/* The guest is at the start of a block: does a loop begin there that nothing can end? */
bool kc_spins(kc *m);

#endif
