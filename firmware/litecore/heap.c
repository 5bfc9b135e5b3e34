/*
 * Theory of operation
 *
 * The heap is a row of blocks without gaps, each an 8-byte header and a body:
 *
 *     heap_start                                                        heap_end
 *     | size used | body ...... | size used | next ... | size used | body ..... |
 *
 * Free blocks are chained through the first word of their bodies, in address order. kmalloc() takes the first
 * one that is large enough and hands out its low part; the rest stays in the chain when it can hold a header and a
 * body of 8 bytes. kfree() puts a block back between its free neighbours and joins whatever touches. Both change
 * the chain in one place only, so the order in memory and the order in the chain never differ.
 *
 * kfree() trusts nothing. The pointer is right only if a scan of the headers, from the last free block
 * below it, arrives exactly at a live block. A header counts only while it could be one (size and used in range,
 * block inside the heap), and a link only while it leads upwards to a free one: so every scan ends, whatever
 * an overrun or a late write has left behind, and a damaged heap refuses calls instead of spreading the damage.
 *
 * Every call works under heap_lock with interrupts off. Its console line is printed after the lock is given back.
 *
 * Shortcomings
 *
 * Both calls search a list: the cost grows with the number of free blocks, and in kfree() also with the live ones since
 * the last free block. First fit leaves small remainders at the low end. Damage is met, not searched for: a
 * wrong header shows when the next scan passes it. Live data that looks like a header cannot be distinguished from one
 * once a header in front of it has been overwritten. A heap at address 0 counts as empty.
 */

#include "litecore/heap.h"

#include "common/console.h"
#include "litecore/memmap.h"

uint32_t heap_start;
uint32_t heap_end;
struct block_header *heap_free_list;
uint32_t heap_error_count;
spinlock_t heap_lock;

/* `size` rounded up to a body size; 0 for 0 and for a size whose rounding wraps. */
static inline uint32_t body_size(uint32_t size)
{
    return (size + BLOCK_ALIGNMENT - 1) & ~(BLOCK_ALIGNMENT - 1);
}

/* A free block's link to the next one. */
static inline struct block_header **link_of(struct block_header *block)
{
    return (struct block_header **)(block + 1);
}

/* Can the free list lead from `previous` (NULL: its head) to this block? */
static inline bool is_sound_link(const struct block_header *previous, const struct block_header *block)
{
    return block > previous && block_is_sound(block) && block->used == 0;
}

/* The link that leads to the first free block of at least `body` bytes; NULL if there is none. */
static struct block_header **find_fit(uint32_t body)
{
    struct block_header *previous = NULL;
    struct block_header **link = &heap_free_list;

    while (*link != NULL && is_sound_link(previous, *link)) {
        if ((*link)->size >= body + HEAP_FIT_SLACK) {
            return link;
        }
        previous = *link;
        link = link_of(previous);
    }
    return NULL;
}

/* Takes `body` bytes from the free block that `link` leads to. */
static void *take(struct block_header **link, uint32_t body)
{
    struct block_header *block = *link;
    struct block_header *next = *link_of(block);
    uint32_t rest = block->size - body;

    if (rest >= BLOCK_MIN) {
        block->size = body;
        struct block_header *tail = block_after(block);
        tail->size = rest - HEADER_SIZE;
        tail->used = 0;
        *link_of(tail) = next;
        next = tail;
    }
    block->used = 1;
    *link = next;
    return block + 1;
}

/* Finds the free blocks on both sides of an address (NULL: none). False when the free list is damaged there. */
static bool find_neighbours(const struct block_header *block, struct block_header **previous,
                            struct block_header **next)
{
    struct block_header *below = NULL;
    struct block_header *above = heap_free_list;

    while (above != NULL && is_sound_link(below, above) && above < block) {
        below = above;
        above = *link_of(above);
    }
    *previous = below;
    *next = above;
    return above == NULL || is_sound_link(below, above);
}

/* Does the row of headers that begins at `from` lead to a live block at `block`? */
static bool is_live(const struct block_header *from, const struct block_header *block)
{
    while (from < block && block_is_sound(from)) {
        from = block_after(from);
    }
    return from == block && block_is_sound(block) && block->used == 1;
}

/* Makes a live block free. False, with nothing changed, when `block` is not the header of one. */
static bool release(struct block_header *block)
{
    struct block_header *previous;
    struct block_header *next;

    if (!find_neighbours(block, &previous, &next) ||
        !is_live(previous != NULL ? previous : (struct block_header *)heap_start, block)) {
        return false;
    }
    block->used = 0;
    *link_of(block) = next;
    if (block_after(block) == next) {
        block->size += HEADER_SIZE + next->size;
        *link_of(block) = *link_of(next);
    }
    if (previous == NULL) {
        heap_free_list = block;
    } else if (block_after(previous) == block) {
        previous->size += HEADER_SIZE + block->size;
        *link_of(previous) = *link_of(block);
    } else {
        *link_of(previous) = block;
    }
    return true;
}

void mem_init(uint32_t start, uint32_t end)
{
    uint32_t flags = spin_lock_irqsave(&heap_lock);
    uint32_t first = body_size(start);
    uint32_t limit = end & ~(BLOCK_ALIGNMENT - 1);
    bool wraps = first < start;

    heap_start = wraps ? start : first;
    heap_end = heap_start;
    heap_free_list = NULL;
    heap_error_count = 0;
    if (!wraps && limit > first && limit - first >= BLOCK_MIN) {
        heap_end = limit;
        heap_free_list = (struct block_header *)first;
        heap_free_list->size = limit - first - HEADER_SIZE;
        heap_free_list->used = 0;
        *link_of(heap_free_list) = NULL;
    }
    spin_unlock_irqrestore(&heap_lock, flags);
}

void *kmalloc(uint32_t size)
{
    uint32_t body = body_size(size);
    void *p = NULL;

    if (body == 0) {
        return NULL;
    }
    uint32_t flags = spin_lock_irqsave(&heap_lock);
    struct block_header **link = find_fit(body);
    if (link != NULL) {
        p = take(link, body);
    }
    spin_unlock_irqrestore(&heap_lock, flags);
    return p;
}

void kfree(void *p)
{
    if (p == NULL) {
        return;
    }
    uint32_t flags = spin_lock_irqsave(&heap_lock);
    bool released = release((struct block_header *)((uintptr_t)p - HEADER_SIZE));
    if (!released) {
        heap_error_count++;
    }
    spin_unlock_irqrestore(&heap_lock, flags);
    if (!released) {
        kprintf("kfree: not allocated: 0x%08x\n", (uint32_t)p);
    }
}

bool mem_has_space(mem_type_t type, uint32_t size)
{
    if (type == MEM_TYPE_FRAME) {
        return memmap_has_run(size / FRAME_SIZE + (size % FRAME_SIZE != 0));
    }
    uint32_t body = body_size(size);
    if (type != MEM_TYPE_HEAP || body == 0) {
        return false;
    }
    uint32_t flags = spin_lock_irqsave(&heap_lock);
    bool fits = find_fit(body) != NULL;
    spin_unlock_irqrestore(&heap_lock, flags);
    return fits;
}
