/*
 * Theory of operation
 *
 * The public calls for tasks. Each checks its arguments, changes control blocks and queues with interrupts off, and
 * ends in call_leave(), where the dispatcher may let another task run (dispatch.c).
 *
 * Shortcomings
 *
 * A dormant task keeps its kernel stack and its page directory until del_tsk().
 */

#include "btron/task.h"

#include "btron/critical.h"
#include "btron/itron.h"
#include "btron/pmem.h"
#include "btron/pools.h"
#include "btron/task_memory.h"

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

static bool is_for_ring_3(const T_CTSK *pk_ctsk)
{
    return (pk_ctsk->tskatr & TA_USER) != 0;
}

/* E_RSATR, E_PAR, or E_OK. */
static ER check_packet(const T_CTSK *pk_ctsk)
{
    if (pk_ctsk == NULL) {
        return E_PAR;
    }
    if ((pk_ctsk->tskatr & ~(ATR)TA_USER) > TA_HLNG) {
        return E_RSATR;
    }
    if (pk_ctsk->task == NULL || pk_ctsk->stksz <= 0 || pk_ctsk->itskpri < PRIORITY_MIN ||
        pk_ctsk->itskpri > PRIORITY_MAX) {
        return E_PAR;
    }
    if (is_for_ring_3(pk_ctsk) && (!is_user_text((UW)pk_ctsk->task) || pk_ctsk->stksz > USER_STACK_MAX)) {
        return E_PAR;
    }
    return E_OK;
}

/* Takes what a task has of memory. E_NOMEM, with nothing taken. */
static ER take_memory(ID tskid, const T_CTSK *pk_ctsk)
{
    struct tcb *task = &tcb_table[tskid];

    task->stack = pmem_alloc(task->stack_size);
    if (task->stack == NULL) {
        return E_NOMEM;
    }
    ER result = task_memory_create(tskid, is_for_ring_3(pk_ctsk), pk_ctsk->stksz);
    if (result != E_OK) {
        pmem_free(task->stack, task->stack_size);
    }
    return result;
}

static ER create(ID tskid, const T_CTSK *pk_ctsk)
{
    if (!is_task_id(tskid)) {
        return E_ID;
    }
    ER result = check_packet(pk_ctsk);
    if (result != E_OK) {
        return result;
    }
    if (tcb_table[tskid].state != TASK_NON_EXISTENT) {
        return E_OBJ;
    }
    W stack_size = is_for_ring_3(pk_ctsk) ? USER_KERNEL_STACK : pk_ctsk->stksz;
    tcb_table[tskid] = (struct tcb){
        .tskid = tskid,
        .state = TASK_DORMANT,
        .priority = pk_ctsk->itskpri,
        .start = pk_ctsk->task,
        .exinf = pk_ctsk->exinf,
        .stack_size = (W)round_up((UW)stack_size, PAGE_SIZE),
    };
    result = take_memory(tskid, pk_ctsk);
    if (result != E_OK) {
        tcb_table[tskid] = (struct tcb){0};
    }
    return result;
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
        task_memory_delete(tskid);
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
        result = task_memory_start(tskid, stacd, tcb_table[tskid].exinf);
    }
    if (result == E_OK) {
        struct tcb *task = &tcb_table[tskid];
        task_first_frame(task, stacd);
        task->wakeups = 0;
        ready_add(task);
    }
    return call_leave(flags, result);
}

/* Takes a ready task out of the running, with what it has in user space. */
static void make_dormant(ID tskid)
{
    ready_remove(&tcb_table[tskid]);
    tcb_table[tskid].state = TASK_DORMANT;
    task_memory_end(tskid);
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
