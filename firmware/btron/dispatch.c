/*
 * Theory of operation
 *
 * The task at the head of the most urgent ready queue runs. Each task has a kernel stack of its own, and all that a
 * task is while another runs is on it: switch_context() pushes the registers that C functions keep, and the stack
 * pointer goes into the control block. A new task's stack looks as if it had been switched away from at the entry of
 * task_begin(). Each task has an address space as well: CR3 changes with the task.
 *
 * Tasks are switched in two situations only, both with interrupts off: at the end of a call, and at the end of
 * the tick's interrupt, there on top of the interrupted task's registers. Whoever comes back restores its own
 * EFLAGS. The context that starts the kernel becomes the idle task, number 0, which runs when no queue has
 * anybody and waits for interrupts.
 *
 * A task with TA_USER runs in ring 3, on a stack of its own there (task_memory.c). Its kernel stack is empty then:
 * interrupts, exceptions and calls of ring 3 begin at its end, which the TSS names (segments.c).
 *
 * Shortcomings
 *
 * A kernel stack that overflows is not noticed, and a task that never waits starves the less urgent ones. Tasks have no
 * FPU: its instructions raise exceptions (start.S).
 */

#include "btron/critical.h"
#include "btron/interrupts.h"
#include "btron/itron.h"
#include "btron/pools.h"
#include "btron/segments.h"
#include "btron/space.h"
#include "btron/task.h"
#include "btron/task_memory.h"

/* switch.S: saves the registers on the stack and that in `*from`, and continues what was saved in `to`. */
void switch_context(UW *from, UW to);

void tasks_init(void)
{
    sys_dispatch_disabled = 1;
}

void tasks_run(void)
{
    cpu_disable_interrupts();
    timer_start();
    sys_dispatch_disabled = 0;
    dispatch();
    for (;;) {
        cpu_wait_for_interrupt();
    }
}

/* First address after a task's kernel stack. */
static UW stack_end(const struct tcb *task)
{
    return (UW)task->stack + (UW)task->stack_size;
}

/* Lets the CPU use a task's address space, and its kernel stack when it comes from ring 3. */
static void enter_space(ID tskid)
{
    UW directory = space_directory(tskid);

    segments_set_kernel_stack(stack_end(&tcb_table[tskid]));
    if (cpu_page_directory() != directory) {
        cpu_set_page_directory(directory);
    }
}

void dispatch(void)
{
    ID from = current_task;
    ID to = ready_first();

    need_dispatch = 0;
    if (to != from) {
        UW segments = segments_save();
        current_task = to;
        enter_space(to);
        switch_context(&tcb_table[from].esp, tcb_table[to].esp);
        segments_restore(segments);
    }
}

void dispatch_if_needed(void)
{
    if (need_dispatch && !sys_dispatch_disabled) {
        dispatch();
    }
}

/* Lets others run until the current task's wait has ended. Returns the wait's result. */
static ER task_wait(void)
{
    dispatch();
    return tcb_table[current_task].wercd;
}

ER call_leave(uint32_t flags, ER result)
{
    if (result == E_WAITING) {
        result = task_wait();
    }
    dispatch_if_needed();
    critical_leave(flags);
    return result;
}

void tick_handle(void)
{
    sys_tick++;
    for (ID id = 1; id <= TASK_MAX; id++) {
        const struct tcb *task = &tcb_table[id];
        if (task->state == TASK_WAIT && task->has_deadline && (W)(sys_tick - task->deadline_lo) >= 0) {
            wait_cancel(id, E_TMOUT);
        }
    }
    dispatch_if_needed();
}

/* Where a task begins: switch_context() returns to it, so interrupts are still off. */
static __attribute__((noreturn)) void task_begin(INT stacd)
{
    const struct tcb *task = &tcb_table[current_task];

    if (is_user_task(current_task)) {
        user_enter(task->start, user_first_esp());
    }
    cpu_enable_interrupts();
    task->start(stacd, task->exinf);
    ext_tsk();
}

/* What switch_context() finds on the stack of a task that has never run; see there. */
struct first_frame {
    UW edi, esi, ebx, ebp;
    void (*begin)(INT stacd);
    UW no_return;
    INT stacd;
    UW padding[3];
};

/* The stack ends on a page boundary, so the argument is 16-byte aligned, as at a call (i386 psABI 2.2.2). */
_Static_assert(sizeof(struct first_frame) - offsetof(struct first_frame, stacd) == 16, "first_frame");

void task_first_frame(struct tcb *task, INT stacd)
{
    struct first_frame *frame = (struct first_frame *)stack_end(task) - 1;

    *frame = (struct first_frame){.begin = task_begin, .stacd = stacd};
    task->esp = (UW)frame;
}
