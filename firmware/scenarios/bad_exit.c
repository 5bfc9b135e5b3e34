/*
 * Theory of operation
 *
 * The kernel checks itself at the end, is not content, and says so with the value that it exits with.
 *
 * Shortcomings
 *
 * The value has no meaning but that it is not 0.
 */

#include "scenarios/litecore.h"

#include "common/debug_exit.h"

enum { EXIT_UNCONTENT = 3 };

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_exit: a kernel that is not content\n");

    section("A block");
    char *block = kmalloc(64);
    kfree(block);
    if (!CORRECT) {
        console_write("  not content\n");
        debug_exit(EXIT_UNCONTENT); /* finding: kernel-failed */
    }
    finish();
}
