/* Stops: instructions in front of which runs end. Python reaches them through core.h. */
#ifndef KMEMU_STOPS_H
#define KMEMU_STOPS_H

#include "machine.h"

int kc_stops_init(kc *m);
void kc_stops_free(kc *m);

#endif
