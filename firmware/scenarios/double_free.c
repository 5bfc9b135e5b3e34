/*
 * Theory of operation
 *
 * The same block is freed twice, in the three ways that look different in memory: at once, after its header was
 * swallowed by a merge, and after it was handed out again to somebody else.
 *
 * Shortcomings
 *
 * The third way cannot be noticed by the allocator: the block is live, only its owner is another one.
 */

#include "scenarios/litecore.h"

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore double_free: the same block twice\n");

    section("At once");
    char *first = kmalloc(64);
    char *second = kmalloc(64);
    char *third = kmalloc(64);
    kprintf("  first %p, second %p, third %p\n", (void *)first, (void *)second, (void *)third);
    kfree(second);
    kfree(second);
    check(heap_error_count == 1, "refused: the block is free");

    section("After a merge");
    kfree(first);
    kfree(second);
    check(heap_error_count == 2, "refused: the second block is now the inside of a larger free one");
    kfree(third);
    check(heap_is_whole(), "the heap took no harm");

    section("After somebody else got the block");
    char *mine = kmalloc(64);
    kfree(mine);
    char *yours = kmalloc(64);
    memset(yours, 'Y', 64);
    kprintf("  mine %p, yours %p\n", (void *)mine, (void *)yours);
    kfree(mine);
    check(heap_error_count == 2, "not noticed: the block is live, and it is not mine");
    char *other = kmalloc(64);
    check(other == yours, "now it has two owners");
    kfree(yours);
    kfree(other);
    check(heap_error_count == 3, "the second one to free it is refused");
    check(heap_is_whole(), "all blocks are back");
    finish();
}
