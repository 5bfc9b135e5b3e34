/* Regions: what their public calls (itron.h) and the kernel have in common. Call the inner ones with interrupts off. */

#ifndef BTRON_REGION_H
#define BTRON_REGION_H

#include "btron/space.h"
#include "btron/types.h"

/* The address of the page that `address` is in. */
static inline UW page_of(VP address)
{
    return (UW)address & ~(PAGE_SIZE - 1);
}

/* Is [start, start + size) in user space and not empty? */
bool is_user_range(VP start, W size);

/* Are these known VPROT_* bits, with one of READ, WRITE and EXEC? */
bool is_permission(UW permission);

/* Does the task, with an id that may be one, exist and have an address space? */
bool has_space(ID tskid);

/* Puts a region into the lowest free slot. E_OBJ: it overlaps another; E_NOMEM. */
ER region_enter(ID tskid, const struct region *region);

/* The region that an address is in. E_ID, E_PAR, E_NOEXS. */
ER region_find(ID tskid, VP address, struct region **region);

/*
 * Maps the pages at the kernel address `pages`, with one owner more, to [start, start + size) of a region. Otherwise as
 * vmap_reg(); E_PAR also for a `pages` that is not on a page boundary of kernel space.
 */
ER region_map_shared(ID tskid, VP start, VP pages, W size, UW access);

#endif
