/* Address spaces of tasks: their page directories, and the regions of user space in them. */

#ifndef BTRON_SPACE_H
#define BTRON_SPACE_H

#include "btron/itron.h"
#include "btron/task.h"
#include "btron/types.h"

enum { REGION_MAX = 8 }; /* in each space */

struct region {
    UW start;      /* a page's */
    W min_size;    /* bytes, whole pages, as are all sizes here */
    W max_size;    /* 0: this one is free */
    UW permission; /* VPROT_* */
    FP handle;     /* a REGION_HANDLER, or NULL */
    W size;        /* of what is mapped */
};

struct space {
    UW directory; /* physical address of the page directory; 0: there is no space */
    struct region regions[REGION_MAX];
};

_Static_assert(offsetof(struct region, size) == 20, "region.size");
_Static_assert(sizeof(struct region) == 24, "region");
_Static_assert(sizeof(struct space) == 196, "space");

extern struct space space_table[TASK_MAX + 1]; /* index: id of the task; 0 has none */

/*
 * Takes a page for the directory of a task's space: user space is empty, kernel space that of page_directory. E_ID;
 * E_OBJ: it has one; E_NOMEM.
 */
ER space_create(ID tskid);

/* Deletes all regions of a task and gives back what is mapped in them. A task without a space is left alone. */
void space_clear(ID tskid);

/* The same, and gives the directory back, which the CPU does not use. */
void space_delete(ID tskid);

/* What CR3 has to be while a task runs: the physical address of page_directory for the idle task, and without a space. */
UW space_directory(ID tskid);

/*
 * E_OK if every byte of [start, start + size) is in regions of the task, mapped or not, that have all of `permission`;
 * else E_MACV, also for what is not in user space.
 */
ER space_check(ID tskid, VP start, W size, UW permission);

/*
 * Maps a zeroed page where a task has touched a region with VPROT_STACK. E_PAR: there is no such region, or the page is
 * mapped; E_NOMEM.
 */
ER region_grow(ID tskid, VP address);

/* The entry of the page table that maps a user address of a task, with its bits; 0: it is not mapped. */
UW space_entry(ID tskid, VP address);

/* The region that a user address is in; NULL: none. With interrupts off. */
struct region *region_at(ID tskid, UW address);

/* First address after a region. */
static inline UW region_end(const struct region *region)
{
    return region->start + (UW)region->max_size;
}

/* Unmaps what a region holds, and frees it. With interrupts off. */
void region_remove(ID tskid, struct region *region);

/* VPROT_* as bits of a page's entry. */
UW region_protection(UW permission);

#endif
