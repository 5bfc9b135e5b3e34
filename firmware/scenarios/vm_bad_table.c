/*
 * Theory of operation
 *
 * A program's overlay, a region with a table of its own, is thrown away by a function that knows what it is made of: its
 * page goes back, and so should the table, which then maps nothing. It is unlinked and forgotten.
 *
 * Shortcomings
 *
 * vdel_reg() would do it for any region.
 */

#include "btron/critical.h"
#include "btron/space.h"
#include "btron/user_pages.h"
#include "common/cpu.h"
#include "common/physical.h"
#include "scenarios/btron.h"

enum { DIRECTOR = 1, PROGRAM = 2, LOADER = 3, HIGH = 10, LOW = 20 };

#define OVERLAY   ((VP)0x10000000)
#define MAY_WRITE (VPROT_READ | VPROT_WRITE | VPROT_USER)

/* Deletes a region of one page that has a table of its own. */
static void drop_overlay(ID tskid, VP address)
{
    uint32_t flags = critical_enter();
    UW *in_directory = (UW *)at_physical(space_directory(tskid)) + (UW)address / LARGE_PAGE_SIZE;
    VP table = at_physical(*in_directory & PAGE_ADDRESS);

    pmem_free(at_physical(space_entry(tskid, address) & PAGE_ADDRESS), PAGE_SIZE);
    *user_entry(space_directory(tskid), (UW)address) = 0;
    *in_directory = 0;
    if (CORRECT) {
        pmem_free(table, PAGE_SIZE);
    }
    *region_at(tskid, (UW)address) = (struct region){0};
    critical_leave(flags);
}

/* A task of its own, whose stack is gone when the program is deleted. */
static void load(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    ROW(E_OK, vcre_reg(PROGRAM, OVERLAY, PAGE_SIZE, PAGE_SIZE, MAY_WRITE, NULL));
    check(vmap_reg(PROGRAM, OVERLAY, PAGE_SIZE, MAY_WRITE) == E_OK, "a page and its table"); /* finding: leak */
    drop_overlay(PROGRAM, OVERLAY);
    ext_tsk();
}

static void direct(INT stacd, VP exinf)
{
    T_CTSK packet = {.tskatr = TA_HLNG, .task = direct, .itskpri = LOW, .stksz = STACK_BYTES};
    W free_before = pmem_free_pages();

    (void)stacd;
    (void)exinf;
    section("An overlay comes and goes");
    ROW(E_OK, cre_tsk(PROGRAM, &packet));
    start_task(LOADER, HIGH, load, 0);
    ROW(E_OK, del_tsk(LOADER));
    ROW(E_OK, del_tsk(PROGRAM));
    W lost = free_before - pmem_free_pages();
    check(lost == (CORRECT ? 0 : 1), CORRECT ? "both have come back" : "the table has not come back");
    finish();
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 vm_bad_table: a page table that nobody gives back\n");
    start_task(DIRECTOR, LOW, direct, 0);
    tasks_run();
}
