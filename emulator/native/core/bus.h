/* The memory bus outside of RAM: windows of devices. */
#ifndef KMEMU_BUS_H
#define KMEMU_BUS_H

#include "machine.h"

int kc_bus_init(kc *m);
void kc_bus_free(kc *m);

/* Does a device answer at a physical address? */
bool kc_is_device(const kc *m, uint64_t physical);

#endif
