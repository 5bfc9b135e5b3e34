/*
 * Theory of operation
 *
 * Blocks and frames in a checkerboard: half of the memory is free, and yet nothing larger than one square fits.
 * Freeing the rest brings it back, because neighbours are joined.
 *
 * Shortcomings
 *
 * The memory map of the heap shows single blocks as long as the heap has its default size.
 */

#include "scenarios/litecore.h"

enum {
    SQUARE_BYTES = 1024 - sizeof(struct block_header), /* a block and its header are one cell of the memory map */
    SQUARES_MAX = 256,
    FRAME_SQUARES = 64,
};

static void *squares[SQUARES_MAX];

static void free_every_second(uint32_t count, uint32_t first)
{
    for (uint32_t i = first; i < count; i += 2) {
        kfree(squares[i]);
    }
}

static void fragment_heap(void)
{
    uint32_t count = 0;

    section("Heap");
    while (count < SQUARES_MAX && (squares[count] = kmalloc(SQUARE_BYTES)) != NULL) {
        count++;
    }
    kprintf("  filled with %u blocks of %u bytes\n", count, SQUARE_BYTES);
    check(count == SQUARES_MAX || count == (heap_end - heap_start) / (SQUARE_BYTES + sizeof(struct block_header)),
          "as many as fit side by side");
    heap_draw();
    free_every_second(count, 1);
    console_write("  every second one is free\n");
    heap_draw();
    heap_print();
    check(heap_measure().free_bytes > 2 * SQUARE_BYTES, "more than two blocks' bytes are free in all");
    check(kmalloc(2 * SQUARE_BYTES) == NULL, "a block of twice the size does not fit anywhere");
    check(!mem_has_space(MEM_TYPE_HEAP, 2 * SQUARE_BYTES), "mem_has_space knows");
    check(kmalloc(SQUARE_BYTES) == squares[1], "a block of the same size takes the lowest hole");
    kfree(squares[1]);
    free_every_second(count, 0);
    console_write("  the others are free, too\n");
    heap_draw();
    check(heap_is_whole(), "the heap is one free block again");
}

static void fragment_frames(void)
{
    uint32_t free_before = memmap_free_count();
    uint32_t first = alloc_frames(FRAME_SQUARES);

    section("Frames");
    if (first == FRAME_NONE) {
        console_write("  skipped: no 64 frames side by side\n");
        return;
    }
    for (uint32_t i = 1; i < FRAME_SQUARES; i += 2) {
        free_frame(first + i);
    }
    kprintf("  64 frames taken, every second one given back; free: %u of %u\n", memmap_free_count(),
            memmap.max_frames);
    check(memmap_free_count() == free_before - FRAME_SQUARES / 2, "half of the 64 are free");
    uint32_t pair = alloc_frames(2);
    check(pair == FRAME_NONE || pair >= first + FRAME_SQUARES - 1, "two side by side are only behind them");
    uint32_t single = alloc_frame();
    check(single == first + 1, "a single one is in the lowest hole");
    free_frame(single);
    if (pair != FRAME_NONE) {
        free_frames(pair, 2);
    }
    for (uint32_t i = 0; i < FRAME_SQUARES; i += 2) {
        free_frame(first + i);
    }
    check(alloc_frames(FRAME_SQUARES) == first, "all given back: the run fits in its old place");
    free_frames(first, FRAME_SQUARES);
    check(memmap_free_count() == free_before, "as many are free as before");
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore fragment: a checkerboard of memory\n");
    fragment_heap();
    fragment_frames();
    finish();
}
