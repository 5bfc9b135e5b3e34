/*
 * Theory of operation
 *
 * A wait that ends for another reason than a block (time-out, rel_wai, wup_tsk) ends here, where both kinds of
 * pools are known. Whoever stood after the task in the queue is then considered again.
 *
 * Shortcomings
 *
 * The control block's pool id is trusted.
 */

#include "btron/pools.h"
#include "btron/task.h"

ER wait_cancel(ID tskid, ER code)
{
    if (!is_task_id(tskid)) {
        return E_ID;
    }
    struct tcb *task = &tcb_table[tskid];
    if (task->state == TASK_NON_EXISTENT) {
        return E_NOEXS;
    }
    if (task->state != TASK_WAIT) {
        return E_OBJ;
    }
    if (task->wait_kind == WAIT_MPL) {
        struct pool_mpl *pool = &mpl_table[task->wait_id];
        wait_end(&pool->first_waiter, task, code);
        mpl_serve(pool);
    } else if (task->wait_kind == WAIT_MPF) {
        struct pool_mpf *pool = &mpf_table[task->wait_id];
        wait_end(&pool->first_waiter, task, code);
        mpf_serve(pool);
    } else {
        wait_end(NULL, task, code);
    }
    return E_OK;
}
