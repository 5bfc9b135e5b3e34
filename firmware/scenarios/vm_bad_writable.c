/*
 * Theory of operation
 *
 * A debugger sets a breakpoint in a program's text, which the program may read and execute. It opens the page for
 * writing, writes its byte through the program's own address, and forgets to close the page again: the program can
 * overwrite its text from then on.
 *
 * Shortcomings
 *
 * The program never runs, and is there to the end.
 */

#include "btron/critical.h"
#include "btron/space.h"
#include "btron/user_pages.h"
#include "common/physical.h"
#include "scenarios/btron.h"

enum { DIRECTOR = 1, PROGRAM = 2, PRIORITY = 10, BREAKPOINT = 0xCC };

#define TEXT        ((VP)0x00400000)
#define MAY_EXECUTE (VPROT_READ | VPROT_EXEC | VPROT_USER)

static void set_breakpoint(ID tskid, VP address)
{
    uint32_t flags = critical_enter();
    UW *entry = user_entry(space_directory(tskid), (UW)address);

    *entry |= PAGE_WRITABLE; /* finding: bad-mapping */
    *bytes(at_physical((*entry & PAGE_ADDRESS) + (UW)address % PAGE_SIZE)) = (B)BREAKPOINT;
    if (CORRECT) {
        *entry &= ~(UW)PAGE_WRITABLE;
    }
    critical_leave(flags);
}

static void direct(INT stacd, VP exinf)
{
    T_CTSK packet = {.tskatr = TA_HLNG, .task = direct, .itskpri = PRIORITY, .stksz = STACK_BYTES};

    (void)stacd;
    (void)exinf;
    section("A breakpoint in a program's text");
    ROW(E_OK, cre_tsk(PROGRAM, &packet));
    ROW(E_OK, vcre_reg(PROGRAM, TEXT, PAGE_SIZE, PAGE_SIZE, MAY_EXECUTE, NULL));
    ROW(E_OK, vmap_reg(PROGRAM, TEXT, PAGE_SIZE, MAY_EXECUTE));
    set_breakpoint(PROGRAM, bytes(TEXT) + 0x123);
    bool is_open = (space_entry(PROGRAM, TEXT) & PAGE_WRITABLE) != 0;
    check(is_open == !CORRECT, CORRECT ? "the page is closed again" : "the page is open");
    finish();
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 vm_bad_writable: text that can be written to\n");
    start_task(DIRECTOR, PRIORITY, direct, 0);
    tasks_run();
}
