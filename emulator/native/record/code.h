/* The code of recorded functions, by which they are known where other code may be at their addresses. */
#ifndef KMEMU_CODE_H
#define KMEMU_CODE_H

#include "core/mmu.h"

enum { KC_CODE_KEPT = 64 }; /* bytes */
/* The first bytes of a function; size 0: they are outside of memory, and any are taken for them. */
struct code { uint32_t size; uint32_t words[KC_CODE_KEPT / 4]; };

/* Keep what the function of an entry begins with, as it is in memory. */
void kc_code_keep(const kc *m, const kc_call_entry *entry, struct code *code);
/* Is the function of an entry at its address? Another program may have other code there, in an address space of its own; or a copy of
 * the same. */
bool kc_code_is_there(kc *m, const kc_call_entry *entry, const struct code *code);

#endif
