/* Probes: instructions at which the core does something. Python reaches them through core.h. */
#ifndef KMEMU_PROBES_H
#define KMEMU_PROBES_H

#include "machine.h"

int kc_probes_init(kc *m);
void kc_probes_free(kc *m);

#endif
