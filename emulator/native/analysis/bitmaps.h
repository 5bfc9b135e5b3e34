/* Bits for units of memory, in words. */
#ifndef KMEMU_BITMAPS_H
#define KMEMU_BITMAPS_H

#include <stdint.h>

enum { KC_WORD_BITS = 64 };

/* The bits of the units [first, last] that lie in a word. */
static inline uint64_t kc_mask_in(uint64_t word, uint64_t first, uint64_t last)
{
    uint64_t mask = ~0ull;

    if (word == first / KC_WORD_BITS)
        mask &= ~0ull << first % KC_WORD_BITS;
    if (word == last / KC_WORD_BITS)
        mask &= ~0ull >> (KC_WORD_BITS - 1 - last % KC_WORD_BITS);
    return mask;
}

#endif
