/*
 * Theory of operation
 *
 * A task waits; meanwhile somebody writes over its saved stack pointer. When the task should go on its stack is
 * where no memory is: not even the fault can be reported, and the CPU shuts down (SDM volume 3, 6.15, vector 8).
 *
 * Shortcomings
 *
 * None intended beyond the end.
 */

#include "scenarios/btron.h"

enum { MAIN = 1, HELPER = 2, MAIN_PRIORITY = 10, URGENT = 5 };

static void help(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    VP bytes = kmem_alloc(64);
    ROW(E_OK, slp_tsk());
    ROW(E_OK, kmem_free(bytes, 64));
    ext_tsk();
}

static void run(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    section("A helper sleeps, and is woken");
    start_task(HELPER, URGENT, help, 0);
    if (!CORRECT) {
        tcb_table[HELPER].esp = 0; /* finding: null-access in switch_context */ /* finding: kernel-died in switch_context */
    }
    ROW(E_OK, wup_tsk(HELPER));
    finish();
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 btron_bad_stack: a stack pointer is lost\n");
    start_task(MAIN, MAIN_PRIORITY, run, 0);
    tasks_run();
}
