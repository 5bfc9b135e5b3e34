/*
 * Theory of operation
 *
 * A name is either in a block of its own or a constant, and is freed in both cases.
 *
 * Shortcomings
 *
 * The heap refuses the constant, so no harm is done.
 */

#include "scenarios/litecore.h"

static const char unnamed[] = "unnamed";

static const char *make_name(const char *text)
{
    if (text == NULL) {
        return unnamed;
    }
    return memcpy(kmalloc(strlen(text) + 1), text, strlen(text) + 1);
}

static void drop_name(const char *name)
{
    if (!CORRECT || name != unnamed) {
        kfree((void *)name); /* finding: invalid-free */
    }
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_wild_free: not all names come from the heap\n");

    section("Two names");
    const char *given = make_name("disk");
    const char *missing = make_name(NULL);
    kprintf("  %s, %s\n", given, missing);
    drop_name(given);
    drop_name(missing);
    check(heap_is_whole(), "the heap is one free block");
    finish();
}
