/*
 * Page faults while the CPU pushes the frame of an exception, and while a handler handles one: double faults, which a task takes, and
 * faults in the handler of faults. Such accesses are the kernel's in every ring (SDM volume 3, 4.6.1).
 */

#include <stddef.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "devices/space.h"
#include "devices/steps.h"
#include "devices/traps.h"

enum { PAGE_FAULT = 14 };

CODE(by_int, "int $0x80");
CODE(by_fault, "movl 0x50000000, %eax");
CODE(by_undefined, "ud2");
CODE(by_privilege, "hlt");
CODE(by_trap, "pushfl; orl $0x100, (%esp); popfl; nop; nop");
CODE(by_call_gate, "lcall $0x6b, $0");
CODE(by_call_gate_with_words, "movl $0x40001004, %esp; lcall $0x6b, $0");
CODE(push_nowhere, "movl $0x40000800, %esp; pushl %eax");
CODE(undefined_nowhere, "movl $0x40000800, %esp; ud2");
CODE(int_nowhere, "movl $0x40000800, %esp; int $0x80");
CODE(int_across, "movl $0x40001004, %esp; int $0x81");
CODE(call_nowhere, "movl $0x40000800, %esp; call by_int");
CODE(fault_first, "movl 0x40000010, %eax");

static void nothing(void)
{
}

/* -- the stack of the kernel -------------------------------------------------------------------- */

static void stack_across(void)
{
    task.esp0 = WINDOW + PAGE_SIZE + 8;
}

static void stack_in_second(void)
{
    task.esp0 = WINDOW + PAGE_SIZE + 0x400;
}

static void stack_back(void)
{
    task.esp0 = (uint32_t)kernel_stack + PAGE_SIZE;
}

static void stacks(void)
{
    static const struct step from_3[] = {
        STEP(by_int, RING_3), STEP(by_fault, RING_3), STEP(by_undefined, RING_3), STEP(by_privilege, RING_3), STEP(by_trap, RING_3),
        STEP(by_call_gate, RING_3), STEP(by_call_gate_with_words, RING_3),
    };
    static const struct step in_0[] = {
        STEP(push_nowhere, RING_0), STEP(undefined_nowhere, RING_0), STEP(int_nowhere, RING_0), STEP(int_across, RING_0),
        STEP(call_nowhere, RING_0),
    };

    steps("kernel stack across", from_3, COUNT(from_3), false, stack_across, stack_back);
    steps("kernel stack in the second", from_3, COUNT(from_3), false, stack_in_second, stack_back);
    steps("stack", in_0, COUNT(in_0), false, nothing, nothing);
}

/* -- a fault in the handler of faults ------------------------------------------------------------ */

static uint32_t depth, deepest;

static void fault_again(struct trap *trap)
{
    uint32_t address;

    __asm__ volatile("movl %%cr2, %0" : "=r"(address));
    depth++;
    deepest = deepest > depth ? deepest : depth;
    if (depth < WINDOW_PAGES) {
        (void)*(volatile uint32_t *)(WINDOW + depth * PAGE_SIZE + 4 * depth);
    }
    kprintf(" [%u: error %x, address %x, eip in the handler %u]", depth, trap->error_code, address, trap->eip >> 20 == 1 && depth > 1);
    window_table[(address - WINDOW) / PAGE_SIZE] |= PWU;
    depth--;
}

static void nested(void)
{
    trap_handle(PAGE_FAULT, fault_again);
    for (enum how how = RING_0; how <= RING_3; how++) {
        window_set(PWU, 0, 0);
        window_table[2] = window_table[3] = 0;
        deepest = 0;
        kprintf("nested, ring %u:", how);
        run(fault_first, how);
        kprintf(" deepest %u,", deepest);
        report(fault_first, true);
    }
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    space_init();
    stacks();
    nested();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
