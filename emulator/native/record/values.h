/* The values of a call: its arguments, and what is computed from them. */
#ifndef KMEMU_VALUES_H
#define KMEMU_VALUES_H

#include "core.h"

/* Find the values of a call in front of the function's first instruction; those beyond its own are 0. */
void kc_values_at_entry(kc *m, const kc_call_entry *entry, const kc_operation *operations, uint32_t esp, uint32_t values[KC_VALUES]);
/* Compute a word from the values of a call and its result. */
uint32_t kc_computed(kc *m, const kc_operation *operations, const uint32_t values[KC_VALUES], uint32_t result);

#endif
