/* Layer 1: memory in pages. */

#ifndef BTRON_PMEM_H
#define BTRON_PMEM_H

#include "btron/types.h"

enum {
    PMEM_FREE = 0,
    PMEM_USE = 1,
    PMEM_RESERVED = 2, /* image, tables, hardware: never handed out, never freed */
};

struct pmem_entry {
    W flag;
    UW refcount; /* owners; 0 for a free page */
};

_Static_assert(offsetof(struct pmem_entry, refcount) == 4, "pmem_entry.refcount");
_Static_assert(sizeof(struct pmem_entry) == 8, "pmem_entry");

/* Physical memory [start, end), page-aligned. */
struct boot_range {
    UW start;
    UW end;
};

_Static_assert(sizeof(struct boot_range) == 8, "boot_range");

enum { BOOT_RANGES_MAX = 16 };

/* What pmem_init() works with; boot.c sets it. */
extern struct pmem_entry *pmem_table; /* index is the physical page number */
extern UW pmem_pages;                 /* entries: pages from address 0 up to the end of RAM */
extern struct boot_range boot_ranges[BOOT_RANGES_MAX]; /* RAM */
extern UW boot_range_count;
extern struct boot_range boot_reserved[BOOT_RANGES_MAX]; /* in use already */
extern UW boot_reserved_count;

/* Builds the table. E_NOMEM when no page is free. */
ER pmem_init(void);

/*
 * Takes the lowest run of pages that holds `size` bytes; one owner each, not cleared. Returns a kernel address;
 * NULL when `size` <= 0 or there is no such run.
 */
VP pmem_alloc(W size);

/*
 * Takes one owner from each page of [region, region + size); a page without owner becomes free. E_PAR, with nothing
 * changed, when `size` <= 0, `region` is not on a page boundary, or any page is outside RAM or not in use.
 */
ER pmem_free(VP region, W size);

/* Adds an owner to each page. E_PAR as pmem_free(), and when a page has 0xFFFFFFFF owners already. */
ER pmem_share(VP region, W size);

/* Number of free pages. */
W pmem_free_pages(void);

#endif
