/*
 * Theory of operation
 *
 * A window shows one frame after the other. To close it, its page table entry is cleared by hand, and the CPU is not told. The
 * next frame is mapped there, but the CPU still goes by what it remembers, and what is meant for the second frame is
 * written to the first.
 *
 * Shortcomings
 *
 * A CPU may forget a page by itself, and then all is well. Here, and on QEMU, it does not in so short a time.
 */

#include "common/cpu.h"
#include "litecore/paging.h"
#include "scenarios/litecore.h"

#define WINDOW (*(volatile uint32_t *)0xE0000000u)

static uint32_t window_open(uint32_t text)
{
    uint32_t phys = alloc_frame() * FRAME_SIZE;

    map_page(phys, (uint32_t)&WINDOW, PAGE_PRESENT | PAGE_RW);
    WINDOW = text;
    return phys;
}

static void window_close(void)
{
    uint32_t *table = (uint32_t *)(page_directory[(uint32_t)&WINDOW >> 22] & ~(PAGE_SIZE - 1));

    table[(uint32_t)&WINDOW >> 12 & 1023] = 0; /* finding: stale-translation */
    if (CORRECT) {
        cpu_forget_translation((uint32_t)&WINDOW);
    }
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_stale_tlb: a page that the CPU remembers\n");
    check(paging_init() == 0 && paging_enable() == 0, "paging is on");
    map_page(alloc_frame() * FRAME_SIZE, (uint32_t)&WINDOW + PAGE_SIZE, PAGE_PRESENT); /* its table is never empty */

    section("Two frames, one after the other, in one window");
    uint32_t first = window_open(0x11111111);
    window_close();
    uint32_t second = window_open(0x22222222);
    unmap_page((uint32_t)&WINDOW);
    uint32_t text = *(uint32_t *)first;
    kprintf("  the first frame has 0x%08x\n", text);
    check((text == 0x11111111) == CORRECT, CORRECT ? "it is the first text" : "it is the second text");
    free_frame(first / FRAME_SIZE);
    free_frame(second / FRAME_SIZE);
    finish();
}
