/*
 * Theory of operation
 *
 * A request for more memory than there is returns NULL, and nobody checks. Page 0 is not mapped: the write faults
 * (SDM volume 3, 6.15, vector 14), and the kernel's handler ends the run.
 *
 * Shortcomings
 *
 * None intended beyond the fault.
 */

#include "scenarios/btron.h"

static void clear_first_word(UW *words)
{
    if (!CORRECT || words != NULL) {
        *words = 0; /* finding: null-access */ /* finding: kernel-failed */
    }
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 btron_bad_null: nobody looks at the result\n");

    section("A small block and a huge one");
    VP small = kmem_alloc(64);
    clear_first_word(small);
    ROW(E_OK, kmem_free(small, 64));
    clear_first_word(kmem_alloc(0x7FFFFFFF));
    finish();
}
