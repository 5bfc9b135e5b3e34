/*
 * Theory of operation
 *
 * Programs in ring 3 do what they must not, one after the other: the kernel prints a line that says what, and ends the
 * task, only that, with all its memory. Meanwhile another program counts how often it is woken: nobody has disturbed
 * it. A bad pointer in a call is no fault: the call says E_MACV, and the program goes on.
 *
 * Shortcomings
 *
 * A program that never waits is no fault either.
 */

#include "btron/task_memory.h"
#include "btron/user.h"
#include "scenarios/btron.h"

#define TEXT  ((VP)0x00400000)
#define HEAP  ((VP)USER_HEAP)
#define IMAGE ((VP)0x80101000)

enum { DIRECTOR = 1, TASK = 2, BYSTANDER = 3, DIRECTOR_PRIORITY = 20, URGENT = 5 };

#define HLT 0xF4u

USER_DATA static UW wakeups = 0;
USER_DATA static UW code[4] = {HLT, 0, 0, 0};
USER_DATA static ER result_seen[3] = {E_SYS, E_SYS, E_SYS};

USER_TEXT static void stand_by(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    for (;;) {
        user_slp_tsk();
        wakeups++;
    }
}

/* A program that is an instruction or two, and would then return. */
#define PROGRAM(name, instructions)                     \
    void name(INT stacd, VP exinf);                     \
    __asm__(".section .user_text, \"ax\", @progbits\n"   \
            ".globl " #name "\n"                        \
            ".type " #name ", @function\n" #name ":\n"  \
            "\t" instructions "\n\tret\n"               \
            ".size " #name ", . - " #name "\n.text\n");

PROGRAM(write_null, "movl $1, 0")
PROGRAM(read_null, "movl 8, %eax")
PROGRAM(call_null, "xorl %eax, %eax; call *%eax")
PROGRAM(write_text, "movl $1, 0x00400000")
PROGRAM(read_kernel, "movl 0x80101000, %eax")
PROGRAM(write_kernel, "movl $1, 0x80101000")
PROGRAM(call_kernel, "movl $0x80101000, %eax; call *%eax")
PROGRAM(use_heap, "movl $1, 0x10000000")
PROGRAM(read_past_stack, "movl 0x7ffff000, %eax")
PROGRAM(halt, "hlt")
PROGRAM(interrupts_off, "cli")
PROGRAM(use_port, "inb $0x60, %al")
PROGRAM(change_space, "movl %eax, %cr3")
PROGRAM(call_gate_of_timer, "int $0x20")
PROGRAM(divide_by_zero, "xorl %ecx, %ecx; divl %ecx")
PROGRAM(undefined, "ud2")
PROGRAM(kernel_data, "movl $0x10, %eax; movl %eax, %ds")
PROGRAM(step, "pushfl; orl $0x100, (%esp); popfl; nop")

USER_TEXT static void jump_into_data(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    __asm__ volatile("jmp *%0" : : "r"(code) : "memory");
}

USER_TEXT static void bad_pointers(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    result_seen[0] = user_get_tid(NULL);
    result_seen[1] = user_get_tid(TEXT);
    result_seen[2] = user_put_con(IMAGE, 4);
    user_slp_tsk();
}

/* Good pointers, since they lie in a region, but nothing is mapped there: the kernel faults when it copies. */
USER_TEXT static void result_to_heap(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    user_get_tid(HEAP);
}

USER_TEXT static void text_from_heap(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    user_put_con(HEAP, 4);
}

USER_TEXT static void arguments_in_heap(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    user_call_with(USER_WUP_TSK, HEAP);
}

static W free_pages;

static void show_bystander(void)
{
    static UW expected;
    UW count = 0;

    expected++;
    ER result = wup_tsk(BYSTANDER);
    if (result != E_OK || vget_reg(BYSTANDER, &wakeups, sizeof count, &count) != E_OK || count != expected) {
        check(false, "the other program goes on as if nothing had happened");
    }
}

/* Runs a program that ends by a fault; its line is between the two of this function. */
static void show(const char *name, FP program)
{
    kprintf("  %s:\n    ", name);
    start_user_task(TASK, URGENT, program, 0);
    if (tcb_table[TASK].state != TASK_DORMANT || del_tsk(TASK) != E_OK) {
        check(false, "the task has ended");
    }
    if (pmem_free_pages() != free_pages) {
        check(false, "its pages are back");
    }
    show_bystander();
}

#define SHOW(program) show(#program, program)

static void show_addresses(void)
{
    section("Addresses that a program has no business with");
    SHOW(write_null);
    SHOW(read_null);
    SHOW(call_null);
    SHOW(write_text);
    SHOW(read_kernel);
    SHOW(write_kernel);
    SHOW(call_kernel);
    SHOW(use_heap);
    SHOW(read_past_stack);
    SHOW(jump_into_data);
}

static void show_instructions(void)
{
    section("Instructions that are the kernel's, or nobody's");
    SHOW(halt);
    SHOW(interrupts_off);
    SHOW(use_port);
    SHOW(change_space);
    SHOW(call_gate_of_timer);
    SHOW(divide_by_zero);
    SHOW(undefined);
    SHOW(kernel_data);
    SHOW(step);
}

static void show_calls(void)
{
    ER results[3];

    section("Pointers that a call refuses");
    start_user_task(TASK, URGENT, bad_pointers, 0);
    ROW(E_OK, vget_reg(TASK, result_seen, sizeof results, results));
    row("    user_get_tid(NULL)", results[0], E_MACV);
    row("    user_get_tid(TEXT)", results[1], E_MACV);
    row("    user_put_con(IMAGE, 4)", results[2], E_MACV);
    ROW(E_OK, ter_tsk(TASK));
    ROW(E_OK, del_tsk(TASK));
    show_bystander();

    section("Faults of the kernel on a program's behalf");
    SHOW(result_to_heap);
    SHOW(text_from_heap);
    SHOW(arguments_in_heap);
}

static void direct(INT stacd, VP exinf)
{
    (void)stacd;
    (void)exinf;
    W free_pages_at_start = pmem_free_pages();
    start_user_task(BYSTANDER, URGENT, stand_by, 0);
    free_pages = pmem_free_pages();
    show_addresses();
    show_instructions();
    show_calls();

    section("At the end");
    ROW(E_OK, ter_tsk(BYSTANDER));
    ROW(E_OK, del_tsk(BYSTANDER));
    check(pmem_free_pages() == free_pages_at_start, "all pages are back");
    finish();
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    console_write("BTRON/386 vm_fault: what ends a task in ring 3, and nothing else\n");
    start_task(DIRECTOR, DIRECTOR_PRIORITY, direct, 0);
    tasks_run();
}
