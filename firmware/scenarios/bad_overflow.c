/*
 * Theory of operation
 *
 * A name is copied into a block with room for its letters only; the loop copies the 0 at its end, too.
 *
 * Shortcomings
 *
 * Only the next header's size is hit; overflow.c shows what becomes of a heap like that.
 */

#include "scenarios/litecore.h"

static void copy_name(char *to, const char *from, uint32_t length)
{
    for (uint32_t i = 0; CORRECT ? i < length : i <= length; i++) {
        to[i] = from[i]; /* finding: heap-corruption */
    }
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_overflow: a byte too many\n");

    section("A name in 16 bytes");
    char *name = kmalloc(16);
    char *behind = kmalloc(40);
    copy_name(name, "sixteen letters!", 16);
    kprintf("  name %p, behind it %p\n", (void *)name, (void *)behind);
    kfree(behind);
    kfree(name);
    finish();
}
