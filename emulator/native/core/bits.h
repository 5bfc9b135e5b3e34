/* Arrays of bits. */
#ifndef KMEMU_BITS_H
#define KMEMU_BITS_H

#include <stdbool.h>
#include <stdint.h>

static inline bool kc_bit(const uint8_t *bits, uint64_t number) { return bits[number >> 3] >> (number & 7) & 1; }
static inline void kc_bit_set(uint8_t *bits, uint64_t number) { bits[number >> 3] |= (uint8_t)(1u << (number & 7)); }
static inline void kc_bit_clear(uint8_t *bits, uint64_t number) { bits[number >> 3] &= (uint8_t)~(1u << (number & 7)); }

#endif
