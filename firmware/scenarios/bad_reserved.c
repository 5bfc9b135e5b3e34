/*
 * Theory of operation
 *
 * A frame is reserved for a device, and the driver's own flag is cleared; but with the wrong pointer, so it is the
 * frame's bit in the bitmap. The next one who wants a frame gets the device's.
 *
 * Shortcomings
 *
 * The device is made up.
 */

#include "scenarios/litecore.h"

static void *page; /* in use to the end */

static void clear_flag(uint8_t *flags, uint32_t number)
{
    flags[number / 8] &= (uint8_t)~(1u << number % 8); /* finding: reserved-frame */
}

/* Finds the lowest free frame and reserves it. */
static uint32_t reserve_buffer(void)
{
    uint32_t frame = alloc_frame();

    free_frame(frame);
    memmap_reserve(frame * FRAME_SIZE, (frame + 1) * FRAME_SIZE);
    return frame;
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    static uint8_t own_flags[1024];

    litecore_boot(magic, info);
    console_write("LiteCore bad_reserved: a frame of a device\n");

    section("A reserved frame, and one for somebody else");
    uint32_t buffer = reserve_buffer();
    clear_flag(CORRECT ? own_flags : memmap.bitmap, buffer - memmap.start_frame);
    page = (void *)(alloc_frame() * FRAME_SIZE);
    kprintf("  reserved 0x%08x, got 0x%08x\n", buffer * FRAME_SIZE, (uint32_t)page);
    check(((uint32_t)page == buffer * FRAME_SIZE) == !CORRECT, CORRECT ? "these are two" : "these are the same");
    finish();
}
