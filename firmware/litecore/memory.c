/*
 * Theory of operation
 *
 * The managed window contains the kernel itself:
 *
 *     window start                                                        window end
 *     | kernel image | bitmap | ... page boundary | heap | free frames ............ |
 *                    __end                        heap_start
 *
 * The heap starts after both the image and the bitmap, so none of them overlap for any size of window, and the
 * frames of all three are reserved before anyone can ask for one.
 *
 * Shortcomings
 *
 * What the boot loader left between `__end` and the end of the heap is overwritten. A window that ends
 * below the heap leaves the heap empty.
 */

#include "litecore/memory.h"

#include "litecore/heap.h"
#include "litecore/memmap.h"

extern uint8_t __end[]; /* kernel.ld */

uint32_t memory_window_start = 0x00100000;
uint32_t memory_window_end = 0x00500000;
uint32_t heap_bytes = 65536;

static uint32_t round_up_to_frame(uint32_t address)
{
    return (address + FRAME_SIZE - 1) & ~(FRAME_SIZE - 1);
}

void memory_init(void)
{
    memmap_init(memory_window_start, memory_window_end);

    const memmap_t *map = memmap_get();
    uint32_t image_end = (uint32_t)__end;
    uint32_t bitmap_end = (uint32_t)map->bitmap + bitmap_size(map->max_frames);
    uint32_t start = round_up_to_frame(bitmap_end > image_end ? bitmap_end : image_end);
    uint32_t end = map->end_addr;
    if (end > start && end - start > heap_bytes) {
        end = start + heap_bytes;
    }

    mem_init(start, end);
    memmap_reserve(start, end);
    memmap_reserve(KERNEL_BASE, start);
}
