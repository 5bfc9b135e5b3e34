/*
 * Theory of operation
 *
 * vmalloc() joins three allocators that know nothing of each other: vspace_take() gives addresses, alloc_frame() memory, and
 * map_page() puts one under the other, page by page upwards. What fails half-way is undone in full. vfree() goes the
 * other way. The range stays taken until its last page is unmapped, so nobody gets addresses that still show another's
 * frames; and it is marked before the first one is, so that a second vfree() of it finds nothing.
 *
 * No lock is held across pages: interrupts wait for one page at most.
 *
 * Shortcomings
 *
 * A page that somebody has unmapped is skipped by vfree(), and its frame stays with whoever unmapped it. There is no
 * unmapped page between two ranges, so an overrun reaches into the next one.
 */

#include "litecore/vmalloc.h"

#include <stddef.h>

#include "common/console.h"
#include "litecore/memmap.h"
#include "litecore/paging.h"
#include "litecore/vspace.h"

/* Maps a new frame at `virt`. 0, or -1 with nothing changed. */
static int map_new_frame(uint32_t virt)
{
    uint32_t frame = alloc_frame();

    if (frame == FRAME_NONE) {
        return -1;
    }
    if (map_page(frame * FRAME_SIZE, virt, PAGE_PRESENT | PAGE_RW) != 0) {
        free_frame(frame);
        return -1;
    }
    return 0;
}

/* Unmaps `pages` pages from `virt` upwards and frees their frames. */
static void unmap_frames(uint32_t virt, uint32_t pages)
{
    for (uint32_t i = 0; i < pages; i++) {
        uint32_t page = virt + i * PAGE_SIZE;
        uint32_t phys = virt_to_phys(page);
        if (unmap_page(page) == 0) {
            free_frame(phys / FRAME_SIZE);
        }
    }
}

void *vmalloc(uint32_t size)
{
    uint32_t pages = size / PAGE_SIZE + (size % PAGE_SIZE != 0);
    uint32_t start = vspace_take(pages, VSPACE_VMALLOC);

    if (start == 0) {
        return NULL;
    }
    for (uint32_t i = 0; i < pages; i++) {
        if (map_new_frame(start + i * PAGE_SIZE) != 0) {
            unmap_frames(start, i);
            vspace_give(start, VSPACE_VMALLOC);
            return NULL;
        }
    }
    return (void *)start;
}

void vfree(void *p)
{
    if (p == NULL) {
        return;
    }
    uint32_t start = (uint32_t)p;
    uint32_t pages = vspace_close(start);
    if (pages == 0) {
        kprintf("vfree: not allocated: 0x%08x\n", start);
        return;
    }
    unmap_frames(start, pages);
    vspace_give(start, VSPACE_CLOSING);
}
