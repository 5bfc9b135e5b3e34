/* The CPU's registers. */
#ifndef KMEMU_REGISTERS_H
#define KMEMU_REGISTERS_H

#include "machine.h"

/* The guest's own way to other registers; kc_set_registers() is for others. */
void kc_put_registers(kc *m, const kc_registers *in);

#endif
