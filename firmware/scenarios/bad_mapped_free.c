/*
 * Theory of operation
 *
 * A driver has a frame mapped at an address of its choice, outside the identity map. When it stops, it gives the frame back, but
 * leaves it mapped: whoever gets the frame next shares it with all who still have that address.
 *
 * Shortcomings
 *
 * Nobody takes the frame again.
 */

#include "litecore/paging.h"
#include "scenarios/litecore.h"

#define BUFFER 0xE0000000u

static uint32_t buffer_frame;

static void start_driver(void)
{
    buffer_frame = alloc_frame();
    check(map_page(buffer_frame * FRAME_SIZE, BUFFER, PAGE_PRESENT | PAGE_RW) == 0, "the buffer is mapped");
}

static void stop_driver(void)
{
    if (CORRECT) {
        check(unmap_page(BUFFER) == 0, "the buffer is unmapped");
    }
    check(free_frame(buffer_frame) == 0, "the buffer is free"); /* finding: bad-mapping */
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_mapped_free: a frame that is free and mapped\n");
    section("A driver comes and goes");
    check(paging_init() == 0 && paging_enable() == 0, "paging is on");
    uint32_t free_before = memmap_free_count();
    start_driver();
    *(volatile uint32_t *)BUFFER = 0x12345678;
    stop_driver();
    check(memmap_free_count() == free_before - (CORRECT ? 0 : 1), CORRECT ? "all has come back" : "a table is left");
    finish();
}
