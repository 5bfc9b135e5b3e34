/*
 * Theory of operation
 *
 * This kernel has another heap: heap.c, built with HEAP_FIT_SLACK=8u, passes over a free block that is just as
 * large as what is wanted. Nothing breaks; but the model in lockstep takes the lowest block that fits.
 *
 * Shortcomings
 *
 * Nobody but a model that runs beside it sees the difference.
 */

#include "scenarios/litecore.h"

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_fit: a heap that passes over what fits\n");

    section("A hole of 64 bytes, and a request for as many");
    char *first = kmalloc(64);
    char *behind = kmalloc(64);
    kfree(first);
    char *again = kmalloc(64); /* finding: lockstep-divergence */
    kprintf("  freed %p, got %p\n", (void *)first, (void *)again);
    kfree(again);
    kfree(behind);
    check(heap_is_whole(), "the heap is one free block");
    finish();
}
