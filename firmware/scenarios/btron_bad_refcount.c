/*
 * Theory of operation
 *
 * A page has one owner. A driver counts its own users, but one word too far: what it counts up is the owners of
 * the page.
 *
 * Shortcomings
 *
 * The page never becomes free again.
 */

#include "scenarios/btron.h"

#include "common/physical.h"

static void add_user(UW *users)
{
    ++*users; /* finding: refcount-mismatch */
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    static UW own_users;

    btron_boot(magic, info);
    console_write("BTRON/386 btron_bad_refcount: a stray count\n");

    section("A page with one owner");
    VP page = pmem_alloc(PAGE_SIZE);
    UW *owners = &pmem_table[physical_of(page) / PAGE_SIZE].refcount;
    add_user(CORRECT ? &own_users : owners);
    VP bytes = kmem_alloc(64);
    ROW(E_OK, kmem_free(bytes, 64));
    check(*owners == (CORRECT ? 1 : 2), CORRECT ? "it has one owner" : "it has two owners");
    ROW(E_OK, pmem_free(page, PAGE_SIZE));
    check(*owners == (CORRECT ? 0 : 1), CORRECT ? "now it has none" : "now it still has one");
    finish();
}
