/*
 * Theory of operation
 *
 * One entry for each page of physical memory, from address 0 to the end of RAM: what it is, and how many owners
 * it has. The kernel sees physical memory at 0x80000000, so a pointer is a page number by subtraction. A run of
 * pages is the lowest one that is long enough. A call that changes pages checks all of them first.
 *
 * Every call works with interrupts off.
 *
 * Shortcomings
 *
 * Each search begins at page 0, so its cost grows with the memory below the first fit. An owner has no name:
 * giving back another's page is not noticed.
 */

#include "btron/pmem.h"

#include <stdbool.h>

#include "btron/critical.h"
#include "common/physical.h"

#define PAGE_NONE  0xFFFFFFFFu
#define OWNERS_MAX 0xFFFFFFFFu

struct pmem_entry *pmem_table;
UW pmem_pages;
struct boot_range boot_ranges[BOOT_RANGES_MAX];
UW boot_range_count;
struct boot_range boot_reserved[BOOT_RANGES_MAX];
UW boot_reserved_count;

/* Pages that hold `size` > 0 bytes. */
static inline UW pages_of(W size)
{
    return round_up((UW)size, PAGE_SIZE) / PAGE_SIZE;
}

static void set_pages(const struct boot_range *range, W flag)
{
    for (UW page = range->start / PAGE_SIZE; page < range->end / PAGE_SIZE && page < pmem_pages; page++) {
        pmem_table[page] = (struct pmem_entry){.flag = flag, .refcount = 0};
    }
}

ER pmem_init(void)
{
    uint32_t flags = critical_enter();
    struct boot_range all = {.start = 0, .end = pmem_pages * PAGE_SIZE};

    set_pages(&all, PMEM_RESERVED);
    for (UW i = 0; i < boot_range_count; i++) {
        set_pages(&boot_ranges[i], PMEM_FREE);
    }
    for (UW i = 0; i < boot_reserved_count; i++) {
        set_pages(&boot_reserved[i], PMEM_RESERVED);
    }
    ER result = pmem_free_pages() != 0 ? E_OK : E_NOMEM;
    critical_leave(flags);
    return result;
}

/* First page of the lowest run of `count` free pages; PAGE_NONE if there is none. */
static UW find_run(UW count)
{
    UW run = 0;

    for (UW page = 0; page < pmem_pages; page++) {
        run = pmem_table[page].flag == PMEM_FREE ? run + 1 : 0;
        if (run == count) {
            return page + 1 - count;
        }
    }
    return PAGE_NONE;
}

VP pmem_alloc(W size)
{
    if (size <= 0) {
        return NULL;
    }
    uint32_t flags = critical_enter();
    UW count = pages_of(size);
    UW first = find_run(count);
    VP region = NULL;

    if (first != PAGE_NONE) {
        for (UW page = first; page < first + count; page++) {
            pmem_table[page] = (struct pmem_entry){.flag = PMEM_USE, .refcount = 1};
        }
        region = at_physical(first * PAGE_SIZE);
    }
    critical_leave(flags);
    return region;
}

/* Is every page of the region in use, by at most `owners_max` owners? Then `*first` becomes its first page. */
static bool all_in_use(VP region, W size, UW owners_max, UW *first)
{
    UW start = physical_of(region); /* wraps far above RAM when it is below kernel space */

    *first = start / PAGE_SIZE;
    if (size <= 0 || start % PAGE_SIZE != 0 || *first >= pmem_pages || pages_of(size) > pmem_pages - *first) {
        return false;
    }
    for (UW page = *first; page < *first + pages_of(size); page++) {
        UW owners = pmem_table[page].refcount;
        if (pmem_table[page].flag != PMEM_USE || owners == 0 || owners > owners_max) {
            return false;
        }
    }
    return true;
}

ER pmem_free(VP region, W size)
{
    uint32_t flags = critical_enter();
    UW first;
    ER result = E_PAR;

    if (all_in_use(region, size, OWNERS_MAX, &first)) {
        for (UW page = first; page < first + pages_of(size); page++) {
            if (--pmem_table[page].refcount == 0) {
                pmem_table[page].flag = PMEM_FREE;
            }
        }
        result = E_OK;
    }
    critical_leave(flags);
    return result;
}

ER pmem_share(VP region, W size)
{
    uint32_t flags = critical_enter();
    UW first;
    ER result = E_PAR;

    if (all_in_use(region, size, OWNERS_MAX - 1, &first)) {
        for (UW page = first; page < first + pages_of(size); page++) {
            pmem_table[page].refcount++;
        }
        result = E_OK;
    }
    critical_leave(flags);
    return result;
}

W pmem_free_pages(void)
{
    uint32_t flags = critical_enter();
    W count = 0;

    for (UW page = 0; page < pmem_pages; page++) {
        count += pmem_table[page].flag == PMEM_FREE;
    }
    critical_leave(flags);
    return count;
}
