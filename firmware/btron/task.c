/*
 * Theory of operation
 *
 * The task at the head of the most urgent ready queue runs. Each task has a stack of its own, and all that a
 * task is while another runs is on it: switch_context() pushes the registers that C functions keep, and the
 * stack pointer goes into the control block. A new task's stack looks as if it had been switched away from at
 * the entry of task_begin().
 *
 * Tasks are switched in two situations only, both with interrupts off: at the end of a call, and at the end of
 * the tick's interrupt, there on top of the interrupted task's registers. Whoever comes back restores its own
 * EFLAGS. The context that starts the kernel becomes the idle task, number 0, which runs when no queue has
 * anybody and waits for interrupts.
 *
 * Shortcomings
 *
 * Everything runs in ring 0, a stack that overflows is not noticed, and a task that never waits starves the
 * less urgent ones. A dormant task keeps its stack until del_tsk().
 */

#include "btron/task.h"

#include "btron/critical.h"
#include "btron/interrupts.h"
#include "btron/itron.h"
#include "btron/pmem.h"
#include "btron/pools.h"
#include "btron/space.h"
#include "common/cpu.h"

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

void dispatch(void)
{
    ID from = current_task;
    ID to = ready_first();

    need_dispatch = 0;
    if (to != from) {
        current_task = to;
        if (cpu_page_directory() != space_directory(to)) {
            cpu_set_page_directory(space_directory(to));
        }
        switch_context(&tcb_table[from].esp, tcb_table[to].esp);
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

static void make_first_frame(struct tcb *task, INT stacd)
{
    struct first_frame *frame = (struct first_frame *)((UW)task->stack + (UW)task->stack_size) - 1;

    *frame = (struct first_frame){.begin = task_begin, .stacd = stacd};
    task->esp = (UW)frame;
}

/* E_ID, E_NOEXS, or E_OK. */
static ER check_exists(ID tskid)
{
    if (!is_task_id(tskid)) {
        return E_ID;
    }
    return tcb_table[tskid].state != TASK_NON_EXISTENT ? E_OK : E_NOEXS;
}

/* The same, and E_OBJ unless the task is dormant. */
static ER check_dormant(ID tskid)
{
    ER result = check_exists(tskid);

    return result == E_OK && tcb_table[tskid].state != TASK_DORMANT ? E_OBJ : result;
}

/* The same, and E_OBJ if the task is dormant or the current one. */
static ER check_other_active(ID tskid)
{
    ER result = check_exists(tskid);

    return result == E_OK && (tcb_table[tskid].state == TASK_DORMANT || tskid == current_task) ? E_OBJ : result;
}

static ER create(ID tskid, const T_CTSK *pk_ctsk)
{
    if (!is_task_id(tskid)) {
        return E_ID;
    }
    if (pk_ctsk != NULL && pk_ctsk->tskatr > TA_HLNG) {
        return E_RSATR;
    }
    if (pk_ctsk == NULL || pk_ctsk->task == NULL || pk_ctsk->stksz <= 0 || pk_ctsk->itskpri < PRIORITY_MIN ||
        pk_ctsk->itskpri > PRIORITY_MAX) {
        return E_PAR;
    }
    if (tcb_table[tskid].state != TASK_NON_EXISTENT) {
        return E_OBJ;
    }
    VP stack = pmem_alloc(pk_ctsk->stksz);
    if (stack == NULL) {
        return E_NOMEM;
    }
    if (space_create(tskid) != E_OK) {
        pmem_free(stack, pk_ctsk->stksz);
        return E_NOMEM;
    }
    tcb_table[tskid] = (struct tcb){
        .tskid = tskid,
        .state = TASK_DORMANT,
        .priority = pk_ctsk->itskpri,
        .start = pk_ctsk->task,
        .exinf = pk_ctsk->exinf,
        .stack = stack,
        .stack_size = (W)round_up((UW)pk_ctsk->stksz, PAGE_SIZE),
    };
    return E_OK;
}

ER cre_tsk(ID tskid, const T_CTSK *pk_ctsk)
{
    uint32_t flags = critical_enter();
    return call_leave(flags, create(tskid, pk_ctsk));
}

ER del_tsk(ID tskid)
{
    uint32_t flags = critical_enter();
    ER result = check_dormant(tskid);

    if (result == E_OK) {
        space_delete(tskid);
        pmem_free(tcb_table[tskid].stack, tcb_table[tskid].stack_size);
        tcb_table[tskid] = (struct tcb){0};
    }
    return call_leave(flags, result);
}

ER sta_tsk(ID tskid, INT stacd)
{
    uint32_t flags = critical_enter();
    ER result = check_dormant(tskid);

    if (result == E_OK) {
        struct tcb *task = &tcb_table[tskid];
        make_first_frame(task, stacd);
        task->wakeups = 0;
        ready_add(task);
    }
    return call_leave(flags, result);
}

/* Takes a ready task out of the running. */
static void make_dormant(ID tskid)
{
    ready_remove(&tcb_table[tskid]);
    tcb_table[tskid].state = TASK_DORMANT;
}

void ext_tsk(void)
{
    cpu_disable_interrupts();
    make_dormant(current_task);
    sys_dispatch_disabled = 0;
    dispatch();
    __builtin_unreachable(); /* its stack is never switched to again */
}

ER ter_tsk(ID tskid)
{
    uint32_t flags = critical_enter();
    ER result = check_other_active(tskid);

    if (result == E_OK) {
        if (tcb_table[tskid].state == TASK_WAIT) {
            wait_cancel(tskid, E_OK);
        }
        make_dormant(tskid);
    }
    return call_leave(flags, result);
}

static ER sleep(void)
{
    if (!may_wait()) {
        return E_CTX;
    }
    struct tcb *task = &tcb_table[current_task];
    if (task->wakeups > 0) {
        task->wakeups--;
        return E_OK;
    }
    task->wait_kind = WAIT_SLEEP;
    wait_begin(NULL, TA_TFIFO, TMO_FEVR);
    return E_WAITING;
}

ER slp_tsk(void)
{
    uint32_t flags = critical_enter();
    return call_leave(flags, sleep());
}

static ER wake_up(ID tskid)
{
    ER result = check_other_active(tskid);

    if (result != E_OK) {
        return result;
    }
    struct tcb *task = &tcb_table[tskid];
    if (task->state == TASK_WAIT && task->wait_kind == WAIT_SLEEP) {
        return wait_cancel(tskid, E_OK);
    }
    if (task->wakeups == WAKEUPS_MAX) {
        return E_QOVR;
    }
    task->wakeups++;
    return E_OK;
}

ER wup_tsk(ID tskid)
{
    uint32_t flags = critical_enter();
    return call_leave(flags, wake_up(tskid));
}

static ER set_dispatch_disabled(UW disabled)
{
    uint32_t flags = critical_enter();

    if (current_task == 0) {
        return call_leave(flags, E_CTX);
    }
    sys_dispatch_disabled = disabled;
    return call_leave(flags, E_OK);
}

ER dis_dsp(void)
{
    return set_dispatch_disabled(1);
}

ER ena_dsp(void)
{
    return set_dispatch_disabled(0);
}
