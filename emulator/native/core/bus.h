/* The memory bus outside of RAM: windows of devices, and pages at which no device answers (nobody's). */
#ifndef KMEMU_BUS_H
#define KMEMU_BUS_H

#include "machine.h"

int kc_bus_init(kc *m);
void kc_bus_free(kc *m);
int kc_bus_save(kc *m, void **saved);
int kc_bus_restore(kc *m, const void *saved);

/* Does a device answer at a physical address? */
bool kc_is_device(const kc *m, uint64_t physical);
/* Does an address lie in a page of nobody that was left open? */
bool kc_is_open(kc *m, uint64_t physical);
/* The guest reads a port, or memory outside of RAM: KC_MEMORY and the page's number. */
void kc_note_read(kc *m, uint32_t where);
/* A run of so many instructions is over. */
void kc_bus_ran(kc *m, uint64_t instructions);

#endif
