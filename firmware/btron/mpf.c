/*
 * Theory of operation
 *
 * A pool's area is an array of slots, one for each block: an 8-byte record (body size, tag) and the body,
 * padded to 8 bytes. Free blocks form a stack through the first word of their bodies, at first in address
 * order. A pointer is right when it leads to a slot whose tag says that this pool handed it out. A released
 * block goes onto the stack, and from there to the first waiting task.
 *
 * Shortcomings
 *
 * A write past the end of a block meets the next record: that block can then not be released any more, or, when it
 * is free and on top of the stack, the pool hands out nothing until it is deleted.
 */

#include "btron/kmem.h"
#include "btron/pools.h"
#include "btron/task.h"

struct pool_mpf mpf_table[POOL_MAX + 1];

enum { SIZE_UNIT = 4 }; /* blfsz is rounded up to it */

/* Bytes from one record to the next; `block_size` > 0. */
static inline UW stride_of(UW block_size)
{
    return (UW)sizeof(struct mpl_block) + round_up(block_size, BLOCK_UNIT);
}

/* Is this the slot of a block of the pool? */
static bool is_place(const struct pool_mpf *pool, const struct mpl_block *block)
{
    UW offset = (UW)block - (UW)pool->area;

    return offset < (UW)pool->area_size && offset % stride_of((UW)pool->block_size) == 0;
}

static inline UW live_tag(const struct pool_mpf *pool)
{
    return TAG_MPF | (UW)(pool - mpf_table);
}

/* Takes the top of the stack; NULL when nothing is free, or the stack is damaged. */
static VP pop_free(struct pool_mpf *pool)
{
    struct mpl_block *block = pool->free;

    if (block == NULL || !is_place(pool, block) || block->tag != TAG_FREE) {
        return NULL;
    }
    block->tag = live_tag(pool);
    pool->free = *link_of(block);
    pool->free_count--;
    return block + 1;
}

void mpf_serve(struct pool_mpf *pool)
{
    while (pool->first_waiter != 0) {
        VP blf = pop_free(pool);
        if (blf == NULL) {
            return;
        }
        struct tcb *task = &tcb_table[pool->first_waiter];
        *(VP *)task->wait_out = blf;
        wait_end(&pool->first_waiter, task, E_OK);
    }
}

/* Writes all records, every block free. */
static void format(struct mpl_block *block, UW count, UW block_size)
{
    for (; count > 0; count--) {
        struct mpl_block *next = (struct mpl_block *)((UW)block + stride_of(block_size));
        *block = (struct mpl_block){.size = (W)block_size, .tag = TAG_FREE};
        *link_of(block) = count > 1 ? next : NULL;
        block = next;
    }
}

ER mpf_create(ID mpfid, const T_CMPF *pk_cmpf)
{
    if (!is_pool_id(mpfid)) {
        return E_ID;
    }
    if (is_kernel_pointer(pk_cmpf) && pk_cmpf->mpfatr > TA_TPRI) {
        return E_RSATR;
    }
    if (!is_kernel_pointer(pk_cmpf) || pk_cmpf->mpfcnt <= 0 || pk_cmpf->blfsz <= 0) {
        return E_PAR;
    }
    if (mpf_table[mpfid].exists) {
        return E_OBJ;
    }
    UW block_size = round_up((UW)pk_cmpf->blfsz, SIZE_UNIT);
    uint64_t area_size = (uint64_t)pk_cmpf->mpfcnt * stride_of(block_size);
    struct mpl_block *first = area_size <= INT32_MAX ? kmem_alloc((W)area_size) : NULL;
    if (first == NULL) {
        return E_NOMEM;
    }
    format(first, (UW)pk_cmpf->mpfcnt, block_size);
    mpf_table[mpfid] = (struct pool_mpf){
        .exinf = pk_cmpf->exinf,
        .attr = pk_cmpf->mpfatr,
        .count = pk_cmpf->mpfcnt,
        .block_size = (W)block_size,
        .area = first,
        .area_size = (W)area_size,
        .free = first,
        .exists = 1,
        .free_count = (UW)pk_cmpf->mpfcnt,
    };
    return E_OK;
}

ER mpf_delete(ID mpfid)
{
    if (!is_pool_id(mpfid)) {
        return E_ID;
    }
    struct pool_mpf *pool = &mpf_table[mpfid];
    if (!pool->exists) {
        return E_NOEXS;
    }
    while (pool->first_waiter != 0) {
        wait_end(&pool->first_waiter, &tcb_table[pool->first_waiter], E_DLT);
    }
    kmem_free(pool->area, pool->area_size);
    *pool = (struct pool_mpf){0};
    return E_OK;
}

ER mpf_get(VP *p_blf, ID mpfid, TMO tmout)
{
    if (!is_pool_id(mpfid)) {
        return E_ID;
    }
    if (!is_kernel_pointer(p_blf) || tmout < TMO_FEVR) {
        return E_PAR;
    }
    if (tmout != TMO_POL && !may_wait()) {
        return E_CTX;
    }
    struct pool_mpf *pool = &mpf_table[mpfid];
    if (!pool->exists) {
        return E_NOEXS;
    }
    VP blf = pop_free(pool);
    if (blf != NULL) {
        *p_blf = blf;
        return E_OK;
    }
    if (tmout == TMO_POL) {
        return E_TMOUT;
    }
    struct tcb *task = &tcb_table[current_task];
    task->wait_kind = WAIT_MPF;
    task->wait_id = mpfid;
    task->wait_size = 0;
    task->wait_out = p_blf;
    wait_begin(&pool->first_waiter, pool->attr, tmout);
    return E_WAITING;
}

ER mpf_release(ID mpfid, VP blf)
{
    struct mpl_block *block = (struct mpl_block *)((UW)blf - sizeof(struct mpl_block));

    if (!is_pool_id(mpfid)) {
        return E_ID;
    }
    struct pool_mpf *pool = &mpf_table[mpfid];
    if (!pool->exists) {
        return E_NOEXS;
    }
    if (!is_place(pool, block) || block->tag != live_tag(pool)) {
        return E_PAR;
    }
    block->tag = TAG_FREE;
    *link_of(block) = pool->free;
    pool->free = block;
    pool->free_count++;
    mpf_serve(pool);
    return E_OK;
}

ER mpf_refer(T_RMPF *pk_rmpf, ID mpfid)
{
    if (!is_pool_id(mpfid)) {
        return E_ID;
    }
    if (!is_kernel_pointer(pk_rmpf)) {
        return E_PAR;
    }
    const struct pool_mpf *pool = &mpf_table[mpfid];
    if (!pool->exists) {
        return E_NOEXS;
    }
    *pk_rmpf = (T_RMPF){.exinf = pool->exinf, .wtsk = pool->first_waiter, .frbcnt = (INT)pool->free_count};
    return E_OK;
}
