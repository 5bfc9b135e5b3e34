/* Layer 2: memory in bytes. Only free areas carry a header; who takes memory remembers its size. */

#ifndef BTRON_KMEM_H
#define BTRON_KMEM_H

#include <stdbool.h>

#include "btron/types.h"

/* The beginning of a free area. */
struct kmem_entry {
    struct kmem_entry *next; /* in address order */
    W size;                  /* of the whole area, this header included; a multiple of 8 */
    B body[0];
};

_Static_assert(offsetof(struct kmem_entry, size) == 4, "kmem_entry.size");
_Static_assert(sizeof(struct kmem_entry) == 8, "kmem_entry");

/* Pages that this layer took from pmem, as [start, start + size). */
struct kmem_extent {
    UW start; /* kernel address */
    UW size;
};

_Static_assert(sizeof(struct kmem_extent) == 8, "kmem_extent");

enum {
    KMEM_ALIGNMENT = 8,
    KMEM_GROWTH = 40960, /* bytes that are taken from pmem at least */
    KMEM_EXTENTS_MAX = 64,
};

extern struct kmem_entry *kmem_free_list; /* NULL: nothing is free */
extern struct kmem_extent kmem_extents[KMEM_EXTENTS_MAX]; /* ascending, never adjacent */
extern UW kmem_extent_count;

/* Empties the list; pages that were taken before are forgotten. E_OK. */
ER kmem_init(void);

/*
 * Takes `size` bytes, rounded up to a multiple of 8, from the end of the lowest area that is large enough;
 * where there is none, the layer takes pages first. Not cleared. NULL when `size` <= 0, when pages or extents
 * run out, and when the free list is damaged in front of the first fit.
 */
VP kmem_alloc(W size);

/*
 * Gives `size` bytes at `p` back. E_PAR, with nothing changed, when `size` <= 0, `p` is not a multiple of 8, or
 * the area is not wholly inside pages of this layer or overlaps a free one, and when the free list is damaged
 * up to there.
 */
ER kmem_free(VP p, W size);

/* Does [p, p + size) lie inside pages of this layer? */
bool kmem_owns(const void *p, UW size);

/* Bytes in free areas, and the size of the largest one, as far as the free list is undamaged. */
void kmem_measure(UW *free_bytes, UW *largest);

#endif
