/*
 * Theory of operation
 *
 * A text is freed without counting the 0 at its end. kmem rounds both sizes up to the same multiple of 8, so
 * nothing is lost; with a text that is one letter longer it would be.
 *
 * Shortcomings
 *
 * The defect does no harm, yet.
 */

#include "scenarios/btron.h"

static const char text[] = "a text of 25 letters here";

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 btron_bad_round: the 0 at the end is forgotten\n");

    section("A text");
    VP copy = kmem_alloc(sizeof(text));
    memcpy(copy, text, sizeof(text));
    kprintf("  %s\n", (const char *)copy);
    ROW(E_OK, kmem_free(copy, CORRECT ? sizeof(text) : strlen(text))); /* finding: wrong-size-free */
    check(kmem_is_whole(), "all bytes are back");
    finish();
}
