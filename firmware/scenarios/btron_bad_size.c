/*
 * Theory of operation
 *
 * kmem keeps no sizes: who takes memory remembers how much it was. A table grows from 64 bytes to 100, but is
 * freed with its old size. kmem cannot notice, and the rest is lost.
 *
 * Shortcomings
 *
 * None intended beyond the lost bytes.
 */

#include "scenarios/btron.h"

enum { OLD_BYTES = 64, NEW_BYTES = 100 };

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 btron_bad_size: freed with another size\n");

    section("A table of 100 bytes");
    W size = OLD_BYTES;
    VP table = kmem_alloc(size);
    ROW(E_OK, kmem_free(table, size));
    table = kmem_alloc(NEW_BYTES);
    if (CORRECT) {
        size = NEW_BYTES;
    }
    ROW(E_OK, kmem_free(table, size)); /* finding: wrong-size-free */
    check(kmem_is_whole() == CORRECT, CORRECT ? "all bytes are back" : "not all bytes are back");
    finish();
}
