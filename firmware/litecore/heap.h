/* The kernel heap: blocks of any size. */

#ifndef LITECORE_HEAP_H
#define LITECORE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "litecore/spinlock.h"

/* In front of every block. A free block's body begins with the address of the next free header. */
struct block_header {
    uint32_t size; /* bytes of the body, a multiple of 8 */
    uint32_t used; /* 0 or 1 */
};

_Static_assert(offsetof(struct block_header, size) == 0, "block_header.size");
_Static_assert(offsetof(struct block_header, used) == 4, "block_header.used");
_Static_assert(sizeof(struct block_header) == 8, "block_header");

typedef enum {
    MEM_TYPE_HEAP = 0,
    MEM_TYPE_FRAME = 1,
} mem_type_t;

_Static_assert(sizeof(mem_type_t) == 4, "mem_type_t");

extern uint32_t heap_start;                 /* first header */
extern uint32_t heap_end;                   /* exclusive */
extern struct block_header *heap_free_list; /* in address order; NULL: nothing is free */
extern uint32_t heap_error_count;           /* refused kfree() calls since mem_init() */
extern spinlock_t heap_lock;

/*
 * Makes [start, end), rounded inwards to 8 bytes, one free block. A range that cannot hold a header and a body
 * leaves an empty heap. Everything allocated before is forgotten.
 */
void mem_init(uint32_t start, uint32_t end);

/*
 * Takes the lowest free block that can hold `size` bytes and returns its body, 8-byte aligned and not cleared.
 * NULL for 0 bytes, when nothing fits, and when the free list is damaged in front of the first fit.
 */
void *kmalloc(uint32_t size);

/*
 * Gives a block back and joins it with its free neighbours. NULL is ignored. Any other pointer that is not the
 * body of a live block changes nothing but heap_error_count, and is named on the console.
 */
void kfree(void *p);

/*
 * Would kmalloc(size), or alloc_frames() of as many frames as hold `size` bytes, succeed? False for an
 * unknown type.
 */
bool mem_has_space(mem_type_t type, uint32_t size);

#define BLOCK_ALIGNMENT 8u
#define HEADER_SIZE     ((uint32_t)sizeof(struct block_header))
#define BODY_MIN        8u
#define BLOCK_MIN       (HEADER_SIZE + BODY_MIN)

/* The header after a block. */
static inline struct block_header *block_after(const struct block_header *block)
{
    return (struct block_header *)((uintptr_t)block + HEADER_SIZE + block->size);
}

/* Is `value` a multiple of 8 and at most `limit`? Rotated right by 3, a low bit that is set makes it too large. */
static inline bool is_eights_up_to(uint32_t value, uint32_t limit)
{
    return (value >> 3 | value << 29) <= limit >> 3;
}

/* Can this be the header of a block? The address may be anything: nothing outside the heap is read. */
static inline bool block_is_sound(const struct block_header *block)
{
    uint32_t address = (uint32_t)(uintptr_t)block;
    uint32_t offset = address - heap_start;
    uint32_t room = heap_end > heap_start ? heap_end - heap_start : 0;

    return room >= BLOCK_MIN && address % BLOCK_ALIGNMENT == 0 && offset <= room - BLOCK_MIN &&
           is_eights_up_to(block->size - BODY_MIN, room - BLOCK_MIN - offset) && block->used <= 1;
}

_Static_assert(BLOCK_ALIGNMENT == 8 && BODY_MIN == 8, "block_is_sound() counts in eights");

/* Bytes by which a free block has to be too large. Not 0 only in scenarios/bad_fit.c, whose heap is not its model's. */
#ifndef HEAP_FIT_SLACK
#define HEAP_FIT_SLACK 0u
#endif

#endif
