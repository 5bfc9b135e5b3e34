/*
 * Theory of operation
 *
 * A request for more memory than there is returns NULL, and nobody checks. Paging is off and RAM lies at address 0, so the
 * kernel writes there and goes on as if nothing had happened.
 *
 * Shortcomings
 *
 * None intended beyond the null pointer.
 */

#include "scenarios/litecore.h"

enum { HUGE_BYTES = 0x7ffffff0 };

struct job {
    uint32_t number;
    uint32_t state;
};

static bool start(struct job *job)
{
    if (CORRECT && job == NULL) {
        return false;
    }
    job->state = 1; /* finding: null-access */
    return true;
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_null_access: nobody looks at the result\n");

    section("A small job and a huge one");
    struct job *small = kmalloc(sizeof *small);
    check(start(small), "the small job has started");
    kfree(small);
    check(start(kmalloc(HUGE_BYTES)) != CORRECT, CORRECT ? "there is no memory for the huge one" : "the huge one has started");
    finish();
}
