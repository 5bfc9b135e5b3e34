/* Virtual address space: which ranges of it are in use. No frames, no page tables. */

#ifndef LITECORE_VSPACE_H
#define LITECORE_VSPACE_H

#include <stddef.h>
#include <stdint.h>

#include "litecore/spinlock.h"

/* Whose a range is. Each is freed only by the call that goes with it. */
enum vspace_owner {
    VSPACE_ALLOC = 0,   /* vspace_alloc() and vspace_free() */
    VSPACE_VMALLOC = 1, /* vmalloc() and vfree() */
    VSPACE_CLOSING = 2, /* vfree() is at work in it */
};

/* A range in use. */
struct vspace_range {
    uint32_t start; /* first address, page aligned */
    uint32_t pages; /* 1 or more */
    uint32_t owner; /* enum vspace_owner */
    struct vspace_range *next;
};

_Static_assert(offsetof(struct vspace_range, start) == 0, "vspace_range.start");
_Static_assert(offsetof(struct vspace_range, pages) == 4, "vspace_range.pages");
_Static_assert(offsetof(struct vspace_range, owner) == 8, "vspace_range.owner");
_Static_assert(offsetof(struct vspace_range, next) == 12, "vspace_range.next");
_Static_assert(sizeof(struct vspace_range) == 16, "vspace_range");

extern uint32_t vspace_start;               /* of what is handed out; page aligned */
extern uint32_t vspace_end;                 /* exclusive; page aligned */
extern struct vspace_range *vspace_ranges; /* from kmalloc(), in address order */
extern uint32_t vspace_error_count;         /* refused vfree() calls */
extern spinlock_t vspace_lock;

/*
 * Takes the lowest gap of `pages` pages and returns its first address. 0 when `pages` is 0, there is no such gap, or there is no
 * heap for its record.
 */
uint32_t vspace_alloc(uint32_t pages);

/* Gives a range back. 0; or -1, with nothing changed, when vspace_alloc() did not return `addr` or it is free again. */
int vspace_free(uint32_t addr);

/* For vmalloc.c. The same as vspace_alloc(), for any owner. */
uint32_t vspace_take(uint32_t pages, enum vspace_owner owner);

/* For vmalloc.c. Gives the range that begins at `addr` back if it is `owner`'s. 0, or -1 with nothing changed. */
int vspace_give(uint32_t addr, enum vspace_owner owner);

/* For vmalloc.c. Makes vmalloc()'s range at `addr` one that vfree() is at work in. Returns its pages; 0: there is none, counted. */
uint32_t vspace_close(uint32_t addr);

#endif
