/*
 * Theory of operation
 *
 * Two levels, as the CPU has them (SDM volume 3, 4.3): entry virt >> 22 of the directory leads to a table, entry
 * virt >> 12 & 1023 of the table to a frame. Both are frames of the managed window, and the window is mapped to itself, so they
 * are read and written at their physical addresses, whether paging is on or not.
 *
 * The identity map is the first MiB (whose page 0 stays unmapped: null pointers fault), the kernel above it up to the end of the
 * heap, and the managed window. It never changes after paging_init(). So a page of it is always mapped, which map_page() refuses, and its
 * tables are never empty. Whatever else is mapped brings its table along and takes it away again: when nothing is mapped
 * besides the identity map, the directory and the frame allocator are what they were after paging_init().
 *
 * A table that gets its first entry is zeroed first and linked last; one that loses its last entry is unlinked first, then
 * forgotten by the CPU (invlpg, which also drops what it remembers of directory entries: SDM volume 3, 4.10.4.1), and
 * given back last. A page that was not mapped is never remembered, so map_page() has nothing to make it forget.
 *
 * The right of a page is that of its own entry: directory entries allow writing always, and users while a page for users is
 * below them.
 *
 * Every call works under paging_lock with interrupts off, and takes memmap_lock inside it where it needs a frame.
 *
 * Shortcomings
 *
 * One address space, on one CPU: no other one is told of a change. Entries have no bit of their own for the identity
 * map; it is computed from memmap and heap, so a memory_init() after paging_init() makes it another one, while the tables stay.
 * PHYS_NONE is also the last byte below 4 GiB. Pages of 4 MiB are not used: the CPU is not told of them (CR4.PSE).
 */

#include "litecore/paging.h"

#include <stdbool.h>
#include <stddef.h>

#include "common/string.h"
#include "litecore/heap.h"
#include "litecore/memmap.h"

#define ENTRIES     1024u
#define FLAGS       (PAGE_PRESENT | PAGE_RW | PAGE_USER)
#define OFFSET_MASK (PAGE_SIZE - 1)

_Static_assert(PAGE_SIZE == FRAME_SIZE, "a page shows a frame");
_Static_assert(ENTRIES * sizeof(uint32_t) == FRAME_SIZE, "a table is a frame");

uint32_t *page_directory;
spinlock_t paging_lock;

static inline bool is_aligned(uint32_t address)
{
    return (address & OFFSET_MASK) == 0;
}

/* The entry of `directory` for an address. */
static inline uint32_t *directory_entry(uint32_t *directory, uint32_t virt)
{
    return &directory[virt >> 22];
}

/* The entry for an address in the table that a directory entry, which is present, leads to. */
static inline uint32_t *table_entry(uint32_t in_directory, uint32_t virt)
{
    return &((uint32_t *)(in_directory & ~OFFSET_MASK))[virt >> 12 & (ENTRIES - 1)];
}

/* A frame of zeroes; NULL if none is left. Frame 0 cannot be one: its address is NULL. */
static uint32_t *take_table(void)
{
    uint32_t frame = alloc_frame();

    if (frame == 0) {
        free_frame(frame);
    }
    return frame == 0 || frame == FRAME_NONE ? NULL : memset((void *)(frame * FRAME_SIZE), 0, FRAME_SIZE);
}

static void give_table(uint32_t address)
{
    free_frame(address / FRAME_SIZE);
}

/* Writes the entry of a page. False, with nothing changed, when there is no frame for a table. */
static bool write_entry(uint32_t *directory, uint32_t virt, uint32_t entry)
{
    uint32_t *above = directory_entry(directory, virt);
    uint32_t in_directory = *above;

    if (!(in_directory & PAGE_PRESENT)) {
        uint32_t *table = take_table();
        if (table == NULL) {
            return false;
        }
        in_directory = (uint32_t)table | PAGE_PRESENT | PAGE_RW;
    }
    *table_entry(in_directory, virt) = entry;
    *above = in_directory | (entry & PAGE_USER);
    return true;
}

/* End of the kernel's own memory: image, bitmap and heap. */
static uint32_t kernel_end(void)
{
    uint32_t bitmap_end = (uint32_t)memmap.bitmap + bitmap_size(memmap.max_frames);

    return heap_end > bitmap_end ? heap_end : bitmap_end;
}

/* Is this page one of the identity map? */
static bool is_identity(uint32_t virt)
{
    return virt >= PAGE_SIZE && (virt < kernel_end() || (virt >= memmap.start_addr && virt < memmap.end_addr));
}

/* Maps the pages that [start, end) touches to themselves, page 0 excepted. False when frames run out. */
static bool map_to_itself(uint32_t *directory, uint32_t start, uint32_t end)
{
    uint32_t limit = end / PAGE_SIZE + (end % PAGE_SIZE != 0); /* numbers of pages: the address after the last one is 0 */

    for (uint32_t number = start != 0 ? start / PAGE_SIZE : 1; number < limit; number++) {
        uint32_t page = number * PAGE_SIZE;
        if (!write_entry(directory, page, page | PAGE_PRESENT | PAGE_RW)) {
            return false;
        }
    }
    return true;
}

/* Gives back a directory with all its tables. */
static void give_directory(uint32_t *directory)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        if (directory[i] & PAGE_PRESENT) {
            give_table(directory[i]);
        }
    }
    give_table((uint32_t)directory);
}

int paging_init(void)
{
    uint32_t flags = spin_lock_irqsave(&paging_lock);
    uint32_t *directory = page_directory == NULL ? take_table() : NULL;
    int result = -1;

    if (directory != NULL) {
        if (map_to_itself(directory, 0, kernel_end()) &&
            map_to_itself(directory, memmap.start_addr, memmap.end_addr)) {
            page_directory = directory;
            result = 0;
        } else {
            give_directory(directory);
        }
    }
    spin_unlock_irqrestore(&paging_lock, flags);
    return result;
}

int paging_enable(void)
{
    if (page_directory == NULL) {
        return -1;
    }
    cpu_set_page_directory((uint32_t)page_directory);
    cpu_enable_paging();
    return 0;
}

/* The entry that maps the page of an address; NULL where nothing is mapped. */
static uint32_t *find_entry(uint32_t virt)
{
    uint32_t in_directory = page_directory != NULL ? *directory_entry(page_directory, virt) : 0;

    if (!(in_directory & PAGE_PRESENT)) {
        return NULL;
    }
    uint32_t *entry = table_entry(in_directory, virt);
    return *entry & PAGE_PRESENT ? entry : NULL;
}

int map_page(uint32_t phys, uint32_t virt, uint32_t flags)
{
    int result = -1;

    if (!is_aligned(phys | virt) || !(flags & PAGE_PRESENT) || flags & ~FLAGS) {
        return result;
    }
    uint32_t saved = spin_lock_irqsave(&paging_lock);
    if (page_directory != NULL && find_entry(virt) == NULL && write_entry(page_directory, virt, phys | flags)) {
        result = 0;
    }
    spin_unlock_irqrestore(&paging_lock, saved);
    return result;
}

/* Clears the entry of a page, and what is left of its table and directory entry. */
static void clear_entry(uint32_t *entry, uint32_t virt)
{
    uint32_t *above = directory_entry(page_directory, virt);
    const uint32_t *table = table_entry(*above, 0);
    uint32_t left = 0; /* all bits of all entries */
    uint32_t empty = 0;

    *entry = 0;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        left |= table[i];
    }
    if (left == 0) {
        empty = *above;
        *above = 0;
    } else if (!(left & PAGE_USER)) {
        *above &= ~PAGE_USER;
    }
    cpu_forget_translation(virt);
    if (empty != 0) {
        give_table(empty);
    }
}

int unmap_page(uint32_t virt)
{
    uint32_t flags = spin_lock_irqsave(&paging_lock);
    uint32_t *entry = is_aligned(virt) && !is_identity(virt) ? find_entry(virt) : NULL;

    if (entry != NULL) {
        clear_entry(entry, virt);
    }
    spin_unlock_irqrestore(&paging_lock, flags);
    return entry != NULL ? 0 : -1;
}

uint32_t virt_to_phys(uint32_t virt)
{
    uint32_t flags = spin_lock_irqsave(&paging_lock);
    const uint32_t *entry = find_entry(virt);
    uint32_t phys = entry != NULL ? (*entry & ~OFFSET_MASK) | (virt & OFFSET_MASK) : PHYS_NONE;

    spin_unlock_irqrestore(&paging_lock, flags);
    return phys;
}
