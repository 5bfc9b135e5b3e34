/* Virtual memory: which frame each page of the address space shows. */

#ifndef LITECORE_PAGING_H
#define LITECORE_PAGING_H

#include <stdint.h>

#include "litecore/spinlock.h"

#define PAGE_SIZE 4096u
#define PHYS_NONE 0xFFFFFFFFu

/* Flags of map_page(), and bits of page directory and tables (SDM volume 3, 4.3). */
#define PAGE_PRESENT 1u
#define PAGE_RW      2u
#define PAGE_USER    4u

extern uint32_t *page_directory; /* 1024 entries in a frame of their own; NULL before paging_init() */
extern spinlock_t paging_lock;

/*
 * Makes a page directory with the identity map: the managed window, the kernel from its image to the end of the heap,
 * and the first MiB without page 0. Takes one frame for the directory and one for each table. 0; or -1, with nothing
 * taken, when frames run out, memory is not initialised, or it has been called before.
 */
int paging_init(void);

/* Turns paging on, with read-only pages read-only for the kernel, too. 0; or -1 before paging_init(). */
int paging_enable(void);

/*
 * Maps the page at `virt` to the frame at `phys`. A table is taken from alloc_frame() where there is none yet. 0; or -1, with
 * nothing changed: there is no page directory, an address is not page aligned, `flags` lacks PAGE_PRESENT or has unknown
 * bits, the page is mapped already (as all pages of the identity map are), or there is no frame for a table.
 */
int map_page(uint32_t phys, uint32_t virt, uint32_t flags);

/*
 * Unmaps the page at `virt`. A table that is left empty goes back to the frame allocator; the frame that was mapped stays
 * with its owner. 0; or -1, with nothing changed: `virt` is not page aligned, not mapped, or part of the identity map.
 */
int unmap_page(uint32_t virt);

/* The physical address that `virt` shows; PHYS_NONE where nothing is mapped. */
uint32_t virt_to_phys(uint32_t virt);

#endif
