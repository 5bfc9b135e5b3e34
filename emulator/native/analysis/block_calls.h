/* What the values of a call say of the block that it is about. emulator/trace/blocks/function_calls.py says the same of many calls at once. */
#ifndef KMEMU_BLOCK_CALLS_H
#define KMEMU_BLOCK_CALLS_H

#include "analysis/analysis.h"

enum { KC_PAGE_BITS = 12, KC_PAGE_BYTES = 1 << KC_PAGE_BITS, KC_PAGES_4GIB = 1 << 20, KC_LARGEST_ORDER = 20 };
#define KC_NOWHERE UINT32_MAX /* no block is there */

static inline uint32_t kc_limited(uint64_t size) { return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX; }

/* Does it say how long the block is? A function without such a value may still hand out pages. */
static inline bool kc_says_size(const kc_block_function *f)
{
    return f->size != KC_NO_VALUE || f->page_count != KC_NO_VALUE || f->order != KC_NO_VALUE;
}

static inline bool kc_may_be_empty(const kc_block_function *f) { return f->size != KC_NO_VALUE || f->page_count != KC_NO_VALUE; }

/* The bytes of the block, at most 0xffffffff; 0: not known. */
static inline uint32_t kc_size_of(const kc_block_function *f, const uint32_t *values)
{
    if (f->size != KC_NO_VALUE)
        return kc_limited((uint64_t)values[f->size] * (f->count != KC_NO_VALUE ? values[f->count] : 1));
    if (f->page_count != KC_NO_VALUE)
        return kc_limited((uint64_t)values[f->page_count] * KC_PAGE_BYTES);
    if (f->order != KC_NO_VALUE)
        return kc_limited((uint64_t)KC_PAGE_BYTES << (values[f->order] < KC_LARGEST_ORDER ? values[f->order] : KC_LARGEST_ORDER));
    return f->is_one_page ? KC_PAGE_BYTES : 0;
}

/* The block that it is given. */
static inline uint32_t kc_named_by(const kc_block_function *f, const uint32_t *values)
{
    if (f->ptr != KC_NO_VALUE)
        return values[f->ptr];
    return f->frame != KC_NO_VALUE && values[f->frame] < KC_PAGES_4GIB ? values[f->frame] << KC_PAGE_BITS : KC_NOWHERE;
}

/* Is it given a block: no null pointer, nor, in an area of pages, a run of none? */
static inline bool kc_names_block(const kc_block_function *f, const uint32_t *values, bool pages)
{
    if (f->ptr != KC_NO_VALUE && !values[f->ptr])
        return false;
    return !pages || !kc_may_be_empty(f) || kc_size_of(f, values);
}

/* Has it made a block, if it returned, and where? `failures`: ranges of all functions. */
static inline bool kc_has_made(const kc_block_function *f, const uint32_t *failures, uint32_t result, uint32_t out, uint32_t *address)
{
    const uint32_t *range = failures + 2 * f->first_failure;
    bool good = true;

    for (uint32_t i = 0; i < f->failure_count; i++, range += 2)
        good &= result < range[0] || result > range[1];
    *address = f->stores_block ? out : result;
    if (f->stores_block)
        good = f->result == KC_RESULT_ERROR ? !result : out && good;
    if (f->result != KC_RESULT_FRAME)
        return good && *address != KC_NOWHERE;
    good &= *address < KC_PAGES_4GIB;
    *address <<= KC_PAGE_BITS;
    return good;
}

#endif
