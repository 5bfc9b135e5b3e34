/* The values of a call: its arguments, and what is computed from them. */
#ifndef KMEMU_VALUES_H
#define KMEMU_VALUES_H

#include "core.h"

enum { KC_WORDS_AT_ENTRY = 1 + KC_VALUES }; /* the return address, and as many words above it as there can be values */

/* Find the values of a call in front of the function's first instruction, from the words at ESP and what else it takes; those beyond its own are
 * left as they are. */
void kc_values_at_entry(kc *m, const kc_call_entry *entry, const kc_operation *operations, uint32_t esp, const uint32_t words[KC_WORDS_AT_ENTRY],
                        uint32_t values[KC_VALUES]);
/* Compute a word from the values of a call and its result. */
uint32_t kc_computed(kc *m, const kc_operation *operations, const uint32_t values[KC_VALUES], uint32_t result);

#endif
