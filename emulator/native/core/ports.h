/* The I/O bus. */
#ifndef KMEMU_PORTS_H
#define KMEMU_PORTS_H

#include "machine.h"

int kc_ports_init(kc *m);
void kc_ports_free(kc *m);
int kc_ports_save(kc *m, void **saved);
int kc_ports_restore(kc *m, const void *saved);

#endif
