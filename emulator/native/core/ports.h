/* The I/O bus. */
#ifndef KMEMU_PORTS_H
#define KMEMU_PORTS_H

#include "machine.h"

int kc_ports_init(kc *m);
void kc_ports_free(kc *m);

#endif
