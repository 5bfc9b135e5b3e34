/* What the CPU says of itself, its time stamp counter, and its model specific registers. */
#ifndef KMEMU_FEATURES_H
#define KMEMU_FEATURES_H

#include "machine.h"

int kc_features_init(kc *m);
void kc_features_free(kc *m);
int kc_features_save(kc *m, void **saved);
int kc_features_restore(kc *m, const void *saved);

#endif
