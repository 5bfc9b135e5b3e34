/*
 * Theory of operation
 *
 * A list of the heap's blocks is written into a block of its own. The heap must not change meanwhile, so its lock is
 * taken; but kmalloc() takes it, too.
 *
 * Shortcomings
 *
 * The kernel never ends: a spin lock is not recursive.
 */

#include "scenarios/litecore.h"

enum { LISTED = 8 };

/* Sizes of the first blocks, up to a 0; to be freed. */
static uint32_t *list_blocks(void)
{
    uint32_t *sizes = CORRECT ? kmalloc((LISTED + 1) * sizeof(*sizes)) : NULL;
    uint32_t flags = spin_lock_irqsave(&heap_lock); /* finding: lock-taken-twice */
    uint32_t count = 0;

    if (!CORRECT) {
        sizes = kmalloc((LISTED + 1) * sizeof(*sizes));
    }
    for (const struct block_header *block = (void *)heap_start; count < LISTED && block_is_sound(block);
         block = block_after(block)) {
        sizes[count++] = block->size;
    }
    sizes[count] = 0;
    spin_unlock_irqrestore(&heap_lock, flags);
    return sizes;
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_lock_twice: waiting for oneself\n");

    section("A list of blocks");
    char *block = kmalloc(32);
    uint32_t *sizes = list_blocks();
    kprintf("  the first of them: %u bytes\n", sizes[0]);
    kfree(sizes);
    kfree(block);
    finish();
}
