/*
 * Theory of operation
 *
 * The reader of a message frees it, and so does its sender. The heap refuses the second one.
 *
 * Shortcomings
 *
 * Nobody takes the block in between; then the heap would not notice (see double_free.c).
 */

#include "scenarios/litecore.h"

static void read_message(char *message)
{
    kprintf("  read: %s\n", message);
    kfree(message);
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_double_free: a message with two owners\n");

    section("A message is read");
    char *message = kmalloc(24);
    memcpy(message, "hello", 6);
    read_message(message);
    if (!CORRECT) {
        kfree(message); /* finding: double-free */
    }
    check(heap_is_whole(), "the heap is one free block");
    finish();
}
