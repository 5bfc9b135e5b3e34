/*
 * Theory of operation
 *
 * A producer's page is shown to a consumer, to be read only: both map it at the same address. Each of them owns it, so that it
 * stays until both have given it back. The one who writes the entry has to count the new owner, and forgets to.
 *
 * Shortcomings
 *
 * vshr_reg() would share a whole region, and count.
 */

#include "btron/critical.h"
#include "btron/space.h"
#include "btron/user_pages.h"
#include "common/physical.h"
#include "scenarios/btron.h"

enum { DIRECTOR = 1, PRODUCER = 2, CONSUMER = 3, PRIORITY = 10 };

#define WINDOW    ((VP)0x00400000)
#define SHOWN     (bytes(WINDOW) + PAGE_SIZE)
#define MAY_READ  (VPROT_READ | VPROT_USER)
#define MAY_WRITE (MAY_READ | VPROT_WRITE)

/* Maps a page of `from` in a region of `to`, whose table is there, at the same address. */
static void show(ID from, ID to, VP address)
{
    uint32_t flags = critical_enter();
    VP page = at_physical(space_entry(from, address) & PAGE_ADDRESS);

    if (CORRECT) {
        pmem_share(page, PAGE_SIZE);
    }
    UW *entry = user_entry(space_directory(to), (UW)address);
    *entry = physical_of(page) | PAGE_PRESENT | PAGE_USER; /* finding: bad-mapping */
    region_at(to, (UW)address)->size += PAGE_SIZE;
    critical_leave(flags);
}

static void create_program(ID tskid, FP task)
{
    T_CTSK packet = {.tskatr = TA_HLNG, .task = task, .itskpri = PRIORITY, .stksz = STACK_BYTES};

    check(cre_tsk(tskid, &packet) == E_OK, "a program is created");
    ROW(E_OK, vcre_reg(tskid, WINDOW, PAGE_SIZE, 2 * PAGE_SIZE, MAY_WRITE, NULL));
}

static void direct(INT stacd, VP exinf)
{
    W free_before = pmem_free_pages();

    (void)stacd;
    (void)exinf;
    section("A page of two programs");
    create_program(PRODUCER, direct);
    create_program(CONSUMER, direct);
    ROW(E_OK, vmap_reg(PRODUCER, WINDOW, 2 * PAGE_SIZE, MAY_WRITE));
    ROW(E_OK, vmap_reg(CONSUMER, WINDOW, PAGE_SIZE, MAY_WRITE));
    show(PRODUCER, CONSUMER, SHOWN);
    check(pmem_free_pages() < free_before, "pages are in use");
    UW page = space_entry(CONSUMER, SHOWN) & PAGE_ADDRESS;
    check(pmem_table[page / PAGE_SIZE].refcount == (CORRECT ? 2 : 1), CORRECT ? "two own it" : "one owns it");
    ROW(E_OK, vdel_reg(PRODUCER, WINDOW));
    check(pmem_table[page / PAGE_SIZE].flag == (CORRECT ? PMEM_USE : PMEM_FREE),
          CORRECT ? "the consumer keeps it" : "the consumer's page is free");
    if (CORRECT) {
        ROW(E_OK, vdel_reg(CONSUMER, WINDOW));
        ROW(E_OK, del_tsk(PRODUCER));
        ROW(E_OK, del_tsk(CONSUMER));
        check(pmem_free_pages() == free_before, "everything has come back");
    }
    finish();
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 vm_bad_shared: a page mapped twice with one owner\n");
    start_task(DIRECTOR, PRIORITY, direct, 0);
    tasks_run();
}
