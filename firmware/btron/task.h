/* Tasks: control blocks, the ready queues, waiting, and the dispatcher. */

#ifndef BTRON_TASK_H
#define BTRON_TASK_H

#include <stdbool.h>

#include "btron/types.h"

enum {
    TASK_MAX = 32, /* ids 1..TASK_MAX */
    PRIORITY_MIN = 1, /* the most urgent */
    PRIORITY_MAX = 31,
    WAKEUPS_MAX = 255,
};

enum { E_WAITING = 1 }; /* of inner functions: the current task waits now; its wercd will be the result */

enum task_state {
    TASK_NON_EXISTENT = 0,
    TASK_DORMANT = 1,
    TASK_READY = 2, /* also the running one */
    TASK_WAIT = 4,
};

enum wait_kind {
    WAIT_NONE = 0,
    WAIT_SLEEP = 1,
    WAIT_MPL = 2,
    WAIT_MPF = 3,
};

struct tcb {
    UW esp; /* while another task runs */
    ID tskid;
    UW state;
    W priority;
    ID next; /* in the ready queue or the pool's queue; 0: last */
    ID prev; /* 0: first */
    UW wait_kind;
    ID wait_id;    /* the pool */
    W wait_size;   /* bytes wanted, rounded up; 0 for a fixed-size pool */
    VP wait_out;   /* where the block's address goes */
    ER wercd;      /* result of the wait */
    UW wait_attr_unused;
    UW deadline_lo; /* value of sys_tick that ends the wait */
    UW has_deadline;
    UW wakeups; /* wup_tsk calls that slp_tsk has not consumed yet */
    FP start;
    VP exinf;
    VP stack;
    W stack_size; /* whole pages */
    UW reserved;
};

_Static_assert(offsetof(struct tcb, next) == 16, "tcb.next");
_Static_assert(offsetof(struct tcb, wait_out) == 36, "tcb.wait_out");
_Static_assert(offsetof(struct tcb, wakeups) == 56, "tcb.wakeups");
_Static_assert(sizeof(struct tcb) == 80, "tcb");

extern struct tcb tcb_table[TASK_MAX + 1]; /* index is the id; 0 is the idle task, in no queue */
extern ID ready_head[PRIORITY_MAX + 1];    /* index is the priority; 0: queue is empty */
extern ID ready_tail[PRIORITY_MAX + 1];
extern ID current_task; /* 0: idle, or the kernel still starts */
extern UW sys_dispatch_disabled;
extern UW need_dispatch; /* a task became ready that is more urgent than the current one */
extern UW sys_tick;      /* ms since the tasks run */

static inline bool is_task_id(ID id)
{
    return id >= 1 && id <= TASK_MAX;
}

/*
 * ready.c: the two kinds of queues. All with interrupts off, none blocks.
 */

/* Appends a task to the ready queue of its priority. */
void ready_add(struct tcb *task);

/* Takes a ready task out of its queue. */
void ready_remove(struct tcb *task);

/* The task that should run: first in the most urgent queue that has one; 0 when all are empty. */
ID ready_first(void);

/*
 * Moves the current task from the ready queue into a pool's queue, in the order of the pool's attribute; NULL:
 * into none. The reason of the wait is in its control block already. The task runs on until call_leave().
 */
void wait_begin(ID *first_waiter, ATR order, TMO tmout);

/* Ends the wait of a task, which becomes ready and gets `code`. `first_waiter` as it was for wait_begin(). */
void wait_end(ID *first_waiter, struct tcb *task, ER code);

/* May the current context call what may wait, `tmout` != TMO_POL? */
static inline bool may_wait(void)
{
    return current_task != 0 && sys_dispatch_disabled == 0;
}

/*
 * dispatch.c: the native rest.
 */

/* No tasks, the caller's context becomes the idle task; dispatching is disabled until tasks_run(). */
void tasks_init(void);

/* Starts the tick and the most urgent task; then idles. */
__attribute__((noreturn)) void tasks_run(void);

/* Gives the CPU to the task that should run, if it is another. Interrupts are off, before and after. */
void dispatch(void);

/*
 * The end of every public call that began with critical_enter(): waits if `result` is E_WAITING, makes way for a more
 * urgent task, and lets interrupts in again. Returns the call's result.
 */
ER call_leave(uint32_t flags, ER result);

/* Makes a task's kernel stack such that it begins with its start function when it is dispatched to. */
void task_first_frame(struct tcb *task, INT stacd);

/* dispatch(), if a more urgent task is ready and it is allowed now. */
void dispatch_if_needed(void);

/* One tick has passed: ends the waits whose time is up. Called with interrupts off. */
void tick_handle(void);

#endif
