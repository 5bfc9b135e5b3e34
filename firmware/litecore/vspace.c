/*
 * Theory of operation
 *
 * The ranges in use are records from the heap, chained in address order; what lies between them, from vspace_start to
 * vspace_end, is free. vspace_alloc() takes the low part of the first gap that is large enough. Where the managed window
 * reaches into the address space to hand out, that begins after it: the window is mapped to itself.
 *
 * A record counts only while it could be one: page aligned, behind the range before it, inside the address space. So every
 * search goes upwards and ends, whatever an overrun has left behind, and a damaged list refuses calls.
 *
 * Every call works under vspace_lock with interrupts off, and takes heap_lock inside it for a new record. A record
 * that has left the list is freed after the lock is given back.
 *
 * Shortcomings
 *
 * Searches are linear in the number of ranges. mem_init() forgets the records, and this list does not notice.
 */

#include "litecore/vspace.h"

#include <stdbool.h>

#include "litecore/heap.h"
#include "litecore/memmap.h"
#include "litecore/paging.h"

uint32_t vspace_start = 0xC0000000;
uint32_t vspace_end = 0xE0000000;
struct vspace_range *vspace_ranges;
uint32_t vspace_error_count;
spinlock_t vspace_lock;

/* Where the address space to hand out begins. Never 0, which says that there is none. */
static uint32_t first_address(void)
{
    uint32_t lowest = vspace_start != 0 ? vspace_start : PAGE_SIZE;

    return memmap.end_addr > lowest ? memmap.end_addr : lowest;
}

/* Number of whole pages in [start, end). */
static inline uint32_t pages_between(uint32_t start, uint32_t end)
{
    return end > start ? (end - start) / PAGE_SIZE : 0;
}

/* Can this be the record of a range that begins at `lowest` or above? */
static inline bool is_sound_range(const struct vspace_range *range, uint32_t lowest)
{
    return range->start >= lowest && range->start % PAGE_SIZE == 0 && range->pages != 0 &&
           range->pages <= pages_between(range->start, vspace_end);
}

static inline uint32_t end_of(const struct vspace_range *range)
{
    return range->start + range->pages * PAGE_SIZE;
}

/*
 * The link after which a range of `pages` pages fits (the one to the next record above it), and its `start`; NULL if it
 * fits nowhere or the list is damaged.
 */
static struct vspace_range **find_gap(uint32_t pages, uint32_t *start)
{
    struct vspace_range **link = &vspace_ranges;
    uint32_t lowest = first_address();

    while (*link != NULL) {
        if (!is_sound_range(*link, lowest)) {
            return NULL;
        }
        if (pages_between(lowest, (*link)->start) >= pages) {
            break;
        }
        lowest = end_of(*link);
        link = &(*link)->next;
    }
    *start = lowest;
    return *link != NULL || pages_between(lowest, vspace_end) >= pages ? link : NULL;
}

/* The link to the record of `owner`'s range that begins at `addr`; NULL if there is none or the list is damaged. */
static struct vspace_range **find_range(uint32_t addr, enum vspace_owner owner)
{
    struct vspace_range **link = &vspace_ranges;
    uint32_t lowest = first_address();

    while (*link != NULL && is_sound_range(*link, lowest) && (*link)->start < addr) {
        lowest = end_of(*link);
        link = &(*link)->next;
    }
    bool found = *link != NULL && is_sound_range(*link, lowest) && (*link)->start == addr;
    return found && (*link)->owner == owner ? link : NULL;
}

uint32_t vspace_take(uint32_t pages, enum vspace_owner owner)
{
    uint32_t flags = spin_lock_irqsave(&vspace_lock);
    uint32_t start = 0;
    struct vspace_range **link = pages != 0 ? find_gap(pages, &start) : NULL;
    struct vspace_range *range = link != NULL ? kmalloc(sizeof(*range)) : NULL;

    if (range != NULL) {
        *range = (struct vspace_range){.start = start, .pages = pages, .owner = owner, .next = *link};
        *link = range;
    }
    spin_unlock_irqrestore(&vspace_lock, flags);
    return range != NULL ? start : 0;
}

int vspace_give(uint32_t addr, enum vspace_owner owner)
{
    uint32_t flags = spin_lock_irqsave(&vspace_lock);
    struct vspace_range **link = find_range(addr, owner);
    struct vspace_range *range = NULL;

    if (link != NULL) {
        range = *link;
        *link = range->next;
    }
    spin_unlock_irqrestore(&vspace_lock, flags);
    kfree(range);
    return range != NULL ? 0 : -1;
}

uint32_t vspace_close(uint32_t addr)
{
    uint32_t flags = spin_lock_irqsave(&vspace_lock);
    struct vspace_range **link = find_range(addr, VSPACE_VMALLOC);
    uint32_t pages = 0;

    if (link != NULL) {
        (*link)->owner = VSPACE_CLOSING;
        pages = (*link)->pages;
    } else {
        vspace_error_count++;
    }
    spin_unlock_irqrestore(&vspace_lock, flags);
    return pages;
}

uint32_t vspace_alloc(uint32_t pages)
{
    return vspace_take(pages, VSPACE_ALLOC);
}

int vspace_free(uint32_t addr)
{
    return vspace_give(addr, VSPACE_ALLOC);
}
