/*
 * Theory of operation
 *
 * The views read the heap's own structures, and distrust them: a scenario may have damaged them on purpose.
 * Text names nothing but offsets, sizes and addresses of managed memory, so it is the same on every machine.
 *
 * Shortcomings
 *
 * The views take no lock; nobody else runs.
 */

#include "scenarios/litecore.h"

enum { CELLS = 64 };

static const struct block_header *first_block(void)
{
    return (const struct block_header *)heap_start;
}

/* Do the headers end here, as they should? */
static bool at_heap_end(const struct block_header *block)
{
    return (uint32_t)block == heap_end;
}

struct heap_usage heap_measure(void)
{
    struct heap_usage usage = {0};
    const struct block_header *block = first_block();

    for (; block_is_sound(block); block = block_after(block)) {
        if (block->used != 0) {
            usage.live_blocks++;
            usage.live_bytes += block->size;
        } else {
            usage.free_blocks++;
            usage.free_bytes += block->size;
            usage.largest_free = block->size > usage.largest_free ? block->size : usage.largest_free;
        }
    }
    usage.damaged = at_heap_end(block) ? NULL : block;
    return usage;
}

void heap_print(void)
{
    struct heap_usage usage = heap_measure();

    kprintf("  heap: blocks in use %u (%u bytes), free %u (%u bytes, largest %u)\n", usage.live_blocks,
            usage.live_bytes, usage.free_blocks, usage.free_bytes, usage.largest_free);
    if (usage.damaged != NULL) {
        kprintf("  heap: damaged header at 0x%08x: size 0x%08x used 0x%08x\n", (uint32_t)usage.damaged,
                usage.damaged->size, usage.damaged->used);
    }
}

/* Merges a block's state into the cells that it covers. */
static void draw_block(char *cells, uint32_t start, uint32_t end, char state)
{
    uint32_t cell_bytes = (heap_end - heap_start + CELLS - 1) / CELLS;

    for (uint32_t cell = start / cell_bytes; cell <= (end - 1) / cell_bytes; cell++) {
        cells[cell] = cells[cell] == '?' || cells[cell] == state ? state : '+';
    }
}

void heap_draw(void)
{
    char cells[CELLS + 1];

    memset(cells, '?', CELLS);
    cells[CELLS] = '\0';
    for (const struct block_header *block = first_block(); block_is_sound(block); block = block_after(block)) {
        draw_block(cells, (uint32_t)block - heap_start, (uint32_t)block_after(block) - heap_start,
                   block->used != 0 ? '#' : '.');
    }
    kprintf("  [%s]\n", cells);
}

bool heap_is_whole(void)
{
    struct heap_usage usage = heap_measure();

    return usage.damaged == NULL && usage.live_blocks == 0 && usage.free_blocks == 1 &&
           (uint32_t)heap_free_list == heap_start;
}
