/*
 * Theory of operation
 *
 * Someone who counts the heap's blocks has to keep it from changing and takes its lock. Where a header looks damaged, or
 * there are more blocks than wanted, the count is given up: past the unlock. The lock stays held, and interrupts stay
 * off.
 *
 * Shortcomings
 *
 * Nobody wants the heap again; who did would wait for ever (see bad_lock_twice.c).
 */

#include "scenarios/litecore.h"

/* Number of blocks, free ones too; 0 when there are more than `most`. */
static uint32_t count_blocks(uint32_t most)
{
    uint32_t count = 0;
    uint32_t flags = spin_lock_irqsave(&heap_lock); /* finding: lock-held */

    for (const struct block_header *block = (void *)heap_start; block_is_sound(block); block = block_after(block)) {
        if (++count > most) {
            if (CORRECT) {
                spin_unlock_irqrestore(&heap_lock, flags);
            }
            return 0;
        }
    }
    spin_unlock_irqrestore(&heap_lock, flags);
    return count;
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_lock: the way out past the unlock\n");

    section("Counting");
    char *block = kmalloc(32);
    kprintf("  blocks: %u\n", count_blocks(8));
    kfree(block);
    kprintf("  blocks, if there are none: %u\n", count_blocks(0));
    finish();
}
