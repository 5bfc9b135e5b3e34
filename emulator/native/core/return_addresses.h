/* Return addresses: those that calls of the kernel have pushed, as the shadow has them (KC_RETURN).
 *
 * Translated code marks the word that a `call` pushes, and takes the marks away where a `ret` takes the word (unicorn/translation.c). What is left without
 * a `ret` keeps its marks until something is stored there. So marks prove nothing: they say of which stores to ask whether a
 * return address lies there (observe/checked_accesses.c).
 */
#ifndef KMEMU_RETURN_ADDRESSES_H
#define KMEMU_RETURN_ADDRESSES_H

#include "core/mmu.h"
#include "unicorn/fast_accesses.h"

/* What the instruction at a linear address does with one. */
enum kc_return_use kc_return_use(kc *m, uint32_t pc);

/* Has one of these bytes, linear, the mark of one? */
bool kc_has_return(kc *m, uint32_t linear, uint32_t size);
/* The words that these bytes lie in are none any more. */
void kc_forget_return(kc *m, uint32_t linear, uint32_t size);

#endif
