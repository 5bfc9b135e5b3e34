/*
 * Theory of operation
 *
 * A task is linked, by ids, into at most one queue: the ready queue of its priority (the running task stays in
 * it, at the head), or the queue of the pool that it waits for. Order in a ready queue is FIFO; in a pool's
 * queue it is FIFO or by priority. All functions only move words, so that a model of them can leave the same
 * ones.
 *
 * Shortcomings
 *
 * Entering a pool's queue scans it. Ids in the queues are trusted.
 */

#include "btron/task.h"

struct tcb tcb_table[TASK_MAX + 1];
ID ready_head[PRIORITY_MAX + 1];
ID ready_tail[PRIORITY_MAX + 1];
ID current_task;
UW sys_dispatch_disabled;
UW need_dispatch;
UW sys_tick;

/* Puts a task between two neighbours (0: none) of the queue that begins at `*first`. */
static void link_between(struct tcb *task, ID previous, ID next, ID *first)
{
    task->prev = previous;
    task->next = next;
    if (previous != 0) {
        tcb_table[previous].next = task->tskid;
    } else {
        *first = task->tskid;
    }
    if (next != 0) {
        tcb_table[next].prev = task->tskid;
    }
}

/* Takes a task out of the queue that begins at `*first`. Its own links stay as they are. */
static void unlink(const struct tcb *task, ID *first)
{
    if (task->prev != 0) {
        tcb_table[task->prev].next = task->next;
    } else {
        *first = task->next;
    }
    if (task->next != 0) {
        tcb_table[task->next].prev = task->prev;
    }
}

void ready_add(struct tcb *task)
{
    link_between(task, ready_tail[task->priority], 0, &ready_head[task->priority]);
    ready_tail[task->priority] = task->tskid;
    task->state = TASK_READY;
    if (current_task == 0 || task->priority < tcb_table[current_task].priority) {
        need_dispatch = 1;
    }
}

void ready_remove(struct tcb *task)
{
    unlink(task, &ready_head[task->priority]);
    if (ready_tail[task->priority] == task->tskid) {
        ready_tail[task->priority] = task->prev;
    }
}

ID ready_first(void)
{
    for (PRI priority = PRIORITY_MIN; priority <= PRIORITY_MAX; priority++) {
        if (ready_head[priority] != 0) {
            return ready_head[priority];
        }
    }
    return 0;
}

static void enqueue(struct tcb *task, ID *first_waiter, ATR order)
{
    ID previous = 0;
    ID next = *first_waiter;

    while (next != 0 && !(order == TA_TPRI && tcb_table[next].priority > task->priority)) {
        previous = next;
        next = tcb_table[next].next;
    }
    link_between(task, previous, next, first_waiter);
}

void wait_begin(ID *first_waiter, ATR order, TMO tmout)
{
    struct tcb *task = &tcb_table[current_task];

    ready_remove(task);
    task->state = TASK_WAIT;
    task->has_deadline = tmout != TMO_FEVR;
    if (task->has_deadline) {
        task->deadline_lo = sys_tick + (UW)tmout;
    }
    if (first_waiter != NULL) {
        enqueue(task, first_waiter, order);
    }
}

void wait_end(ID *first_waiter, struct tcb *task, ER code)
{
    if (first_waiter != NULL) {
        unlink(task, first_waiter);
    }
    task->wait_kind = WAIT_NONE;
    task->wercd = code;
    task->has_deadline = 0;
    ready_add(task);
}
