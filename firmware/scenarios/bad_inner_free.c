/*
 * Theory of operation
 *
 * A line of text is read from a block with a pointer that moves along; where the pointer has come to is freed.
 *
 * Shortcomings
 *
 * The heap refuses, and the block is freed right a moment later.
 */

#include "scenarios/litecore.h"

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_inner_free: a pointer that has moved\n");

    section("A line is read");
    char *line = memcpy(kmalloc(32), "        indented", 17);
    char *word = line;
    while (*word == ' ') {
        word++;
    }
    kprintf("  %s\n", word);
    if (!CORRECT) {
        kfree(word); /* finding: invalid-free */
    }
    kfree(line);
    check(heap_is_whole(), "the heap is one free block");
    finish();
}
