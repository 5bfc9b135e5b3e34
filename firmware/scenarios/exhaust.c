/*
 * Theory of operation
 *
 * Takes memory until there is no more, sees that the allocators say so and stay usable, and gives everything
 * back. Heap blocks are chained through their own bodies. Frames are taken in runs that become smaller as
 * runs become rare, the last ones one by one, so that a small table remembers any size of memory.
 *
 * Shortcomings
 *
 * Frames are not written to: a window of 3 GiB costs no more than its bitmap.
 */

#include "scenarios/litecore.h"

enum { RUNS_MAX = 2048, RUNS_WANTED = 256 };

struct chained_block {
    struct chained_block *next;
};

static struct {
    uint32_t first;
    uint32_t count_frames;
} runs[RUNS_MAX];

static void exhaust_heap(void)
{
    struct chained_block *chain = NULL;
    uint32_t count = 0;
    uint32_t bytes = 0;

    section("Heap");
    for (uint32_t size = 8;; size = size % 504 + 8) {
        struct chained_block *block = kmalloc(size);
        if (block == NULL) {
            kprintf("  kmalloc(%u) = NULL after %u blocks, %u bytes\n", size, count, bytes);
            break;
        }
        block->next = chain;
        chain = block;
        count++;
        bytes += size;
    }
    while (mem_has_space(MEM_TYPE_HEAP, 1)) {
        struct chained_block *block = kmalloc(sizeof *block);
        block->next = chain;
        chain = block;
        count++;
    }
    kprintf("  filled up with blocks of 8 bytes: %u blocks\n", count);
    heap_draw();
    heap_print();
    check(heap_measure().live_blocks == count, "the heap has as many");
    check(kmalloc(1) == NULL, "not a byte is left");
    while (chain != NULL) {
        struct chained_block *next = chain->next;
        kfree(chain);
        chain = next;
    }
    heap_draw();
    check(heap_error_count == 0, "kfree took every block back");
    check(heap_is_whole(), "the heap is one free block again");
}

/* Takes all frames. Returns the number of runs in the table. */
static uint32_t take_all_frames(uint32_t run_frames)
{
    uint32_t count_runs = 0;

    while (count_runs < RUNS_MAX) {
        uint32_t first = run_frames > 1 ? alloc_frames(run_frames) : alloc_frame();
        if (first != FRAME_NONE) {
            runs[count_runs].first = first;
            runs[count_runs].count_frames = run_frames;
            count_runs++;
        } else if (run_frames > 1) {
            run_frames /= 2;
        } else {
            break;
        }
    }
    return count_runs;
}

static void exhaust_frames(void)
{
    uint32_t free_before = memmap_free_count();
    uint32_t taken = 0;
    bool given_back = true;

    section("Frames");
    uint32_t count_runs = take_all_frames(free_before / RUNS_WANTED + 1);
    for (uint32_t i = 0; i < count_runs; i++) {
        taken += runs[i].count_frames;
    }
    kprintf("  alloc_frame() = FRAME_NONE after %u frames in %u runs\n", taken, count_runs);
    check(taken == free_before, "every free frame was handed out once");
    check(memmap_free_count() == 0, "none is left");
    check(alloc_frame() == FRAME_NONE && alloc_frames(2) == FRAME_NONE, "neither one nor two");
    check(!mem_has_space(MEM_TYPE_FRAME, 1), "mem_has_space knows");
    for (uint32_t i = 0; i < count_runs; i++) {
        given_back = free_frames(runs[i].first, runs[i].count_frames) == 0 && given_back;
    }
    check(given_back, "free_frames took every run back");
    check(memmap_free_count() == free_before, "as many are free as before");
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore exhaust: until nothing is left\n");
    exhaust_heap();
    exhaust_frames();
    finish();
}
