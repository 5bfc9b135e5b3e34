/*
 * Theory of operation
 *
 * A page table lives in a frame. Somebody writes to an address that is his by mistake only: the byte of the bitmap
 * that says that the frame is in use.
 *
 * Shortcomings
 *
 * The frame is kept to the end, and no other is taken: it would be the same one.
 */

#include "scenarios/litecore.h"

static uint32_t *page_table;

static void clear_flag(uint8_t *flags, uint32_t number)
{
    flags[number / 8] &= (uint8_t)~(1u << number % 8); /* finding: bitmap-mismatch */
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    static uint8_t own_flags[1024];

    litecore_boot(magic, info);
    console_write("LiteCore bad_bitmap: a stray write to the bitmap\n");

    section("A frame for a page table");
    uint32_t frame = alloc_frame();
    page_table = (uint32_t *)(frame * FRAME_SIZE);
    page_table[0] = 0;
    clear_flag(CORRECT ? own_flags : memmap.bitmap, frame - memmap.start_frame);
    char *line = kmalloc(80);
    kprintf("  page table %p, frames that are free: %u\n", (void *)page_table, memmap_free_count());
    kfree(line);
    finish();
}
