/*
 * Theory of operation
 *
 * A pool's area is a row of blocks without gaps, each an 8-byte record (body size, tag) and a body. The tag
 * says whether the block is free or which pool handed it out. Free blocks are chained through the first word of
 * their bodies in address order; a request takes the first that is large enough, and its low part when the rest
 * can be a block. A release puts the block back and joins it with free neighbours, then serves the queue:
 * whoever fits gets a block through the pointer in its control block. A request that is not smaller than one
 * that failed before it cannot fit either and is passed over.
 *
 * rel_blk() trusts nothing: only a scan of the records from the start of the area that arrives exactly at a
 * record with this pool's tag makes a pointer right, and a record or a link counts only while it can be one. So
 * a double release, a pointer into a block and another pool's block are E_PAR, and a damaged pool refuses
 * calls.
 *
 * TMPL_OS is kmem with the same record in front of each block.
 *
 * Shortcomings
 *
 * A release scans all records below the block. A task may wait for more than the pool will ever have. A block
 * of TMPL_OS is known by its tag only; what lies stale in memory may look like one.
 */

#include "btron/kmem.h"
#include "btron/pools.h"
#include "btron/task.h"

struct pool_mpl mpl_table[POOL_MAX + 1];

#define RECORD_SIZE ((UW)sizeof(struct mpl_block))
#define BLOCK_MIN   (RECORD_SIZE + BLOCK_UNIT)

static inline UW address_of(const void *p)
{
    return (UW)(uintptr_t)p;
}

static inline struct mpl_block *block_after(const struct mpl_block *block)
{
    return (struct mpl_block *)(address_of(block) + RECORD_SIZE + (UW)block->size);
}

/* Can this be the record of a block of the pool? Nothing outside the area is read. */
static bool is_sound(const struct pool_mpl *pool, const struct mpl_block *block)
{
    UW offset = address_of(block) - address_of(pool->area);
    UW room = (UW)pool->area_size;

    if (room < BLOCK_MIN || offset > room - BLOCK_MIN || offset % BLOCK_UNIT != 0) {
        return false;
    }
    UW size = (UW)block->size;
    return size >= BLOCK_UNIT && size % BLOCK_UNIT == 0 && size <= room - offset - RECORD_SIZE;
}

/* Can the free list lead from `previous` (NULL: its head) to this block? */
static bool is_sound_free(const struct pool_mpl *pool, const struct mpl_block *previous, const struct mpl_block *block)
{
    return block > previous && is_sound(pool, block) && block->tag == TAG_FREE;
}

static inline UW live_tag(const struct pool_mpl *pool)
{
    return TAG_MPL | (UW)(pool - mpl_table);
}

/* Takes `body` bytes from the free block that `link` leads to. */
static VP cut_block(struct pool_mpl *pool, struct mpl_block **link, UW body)
{
    struct mpl_block *block = *link;
    struct mpl_block *next = *link_of(block);
    UW rest = (UW)block->size - body;

    if (rest >= BLOCK_MIN) {
        block->size = (W)body;
        struct mpl_block *tail = block_after(block);
        *tail = (struct mpl_block){.size = (W)(rest - RECORD_SIZE), .tag = TAG_FREE};
        *link_of(tail) = next;
        next = tail;
    }
    block->tag = live_tag(pool);
    *link = next;
    return block + 1;
}

/* Takes a block of at least `body` bytes; NULL if none fits in front of where the free list ends or is damaged. */
static VP take_fit(struct pool_mpl *pool, UW body)
{
    struct mpl_block *previous = NULL;
    struct mpl_block **link = &pool->free;

    while (*link != NULL && is_sound_free(pool, previous, *link)) {
        if ((UW)(*link)->size >= body) {
            return cut_block(pool, link, body);
        }
        previous = *link;
        link = link_of(previous);
    }
    return NULL;
}

/* Do the records from the start of the area lead to a live one at `block`? */
static bool is_live(const struct pool_mpl *pool, const struct mpl_block *block)
{
    const struct mpl_block *at = pool->area;

    while (at < block && is_sound(pool, at) && (at->tag == TAG_FREE || at->tag == live_tag(pool))) {
        at = block_after(at);
    }
    return at == block && is_sound(pool, at) && at->tag == live_tag(pool);
}

/* Finds the free blocks on both sides (NULL: none). False when the free list is damaged up to there. */
static bool find_neighbours(const struct pool_mpl *pool, const struct mpl_block *block, struct mpl_block **previous,
                            struct mpl_block **next)
{
    struct mpl_block *below = NULL;
    struct mpl_block *above = pool->free;

    while (above != NULL && is_sound_free(pool, below, above) && above < block) {
        below = above;
        above = *link_of(above);
    }
    *previous = below;
    *next = above;
    return above == NULL || is_sound_free(pool, below, above);
}

/* Makes a live block free. False, with nothing changed, when `block` is not one. */
static bool release(struct pool_mpl *pool, struct mpl_block *block)
{
    struct mpl_block *previous;
    struct mpl_block *next;

    if (!is_live(pool, block) || !find_neighbours(pool, block, &previous, &next)) {
        return false;
    }
    block->tag = TAG_FREE;
    *link_of(block) = next;
    if (block_after(block) == next) {
        block->size += (W)RECORD_SIZE + next->size;
        *link_of(block) = *link_of(next);
    }
    if (previous == NULL) {
        pool->free = block;
    } else if (block_after(previous) == block) {
        previous->size += (W)RECORD_SIZE + block->size;
        *link_of(previous) = *link_of(block);
    } else {
        *link_of(previous) = block;
    }
    return true;
}

void mpl_serve(struct pool_mpl *pool)
{
    UW failed = UINT32_MAX; /* the smallest request that did not fit */
    ID next;

    for (ID id = pool->first_waiter; id != 0; id = next) {
        struct tcb *task = &tcb_table[id];
        next = task->next;
        if ((UW)task->wait_size >= failed) {
            continue;
        }
        VP blk = take_fit(pool, (UW)task->wait_size);
        if (blk == NULL) {
            failed = (UW)task->wait_size;
            continue;
        }
        *(VP *)task->wait_out = blk;
        wait_end(&pool->first_waiter, task, E_OK);
    }
}

ER mpl_create(ID mplid, const T_CMPL *pk_cmpl)
{
    if (!is_pool_id(mplid)) {
        return E_ID;
    }
    if (is_kernel_pointer(pk_cmpl) && pk_cmpl->mplatr > TA_TPRI) {
        return E_RSATR;
    }
    if (!is_kernel_pointer(pk_cmpl) || pk_cmpl->mplsz <= 0) {
        return E_PAR;
    }
    if (mpl_table[mplid].exists) {
        return E_OBJ;
    }
    UW body = round_up((UW)pk_cmpl->mplsz, BLOCK_UNIT);
    W area_size = (W)(body + RECORD_SIZE); /* negative where it does not fit: kmem has no such area */
    struct mpl_block *block = kmem_alloc(area_size);
    if (block == NULL) {
        return E_NOMEM;
    }
    *block = (struct mpl_block){.size = (W)body, .tag = TAG_FREE};
    *link_of(block) = NULL;
    mpl_table[mplid] = (struct pool_mpl){
        .exinf = pk_cmpl->exinf,
        .attr = pk_cmpl->mplatr,
        .size = (W)body,
        .area = block,
        .area_size = area_size,
        .free = block,
        .exists = 1,
    };
    return E_OK;
}

ER mpl_delete(ID mplid)
{
    if (!is_pool_id(mplid)) {
        return E_ID;
    }
    struct pool_mpl *pool = &mpl_table[mplid];
    if (!pool->exists) {
        return E_NOEXS;
    }
    while (pool->first_waiter != 0) {
        wait_end(&pool->first_waiter, &tcb_table[pool->first_waiter], E_DLT);
    }
    kmem_free(pool->area, pool->area_size);
    *pool = (struct pool_mpl){0};
    return E_OK;
}

/* A block of TMPL_OS, or NULL. */
static VP get_from_kernel(UW body)
{
    struct mpl_block *block = kmem_alloc((W)(body + RECORD_SIZE));

    if (block == NULL) {
        return NULL;
    }
    *block = (struct mpl_block){.size = (W)body, .tag = TAG_KERNEL};
    return block + 1;
}

ER mpl_get(VP *p_blk, ID mplid, INT blksz, TMO tmout)
{
    if (!is_pool_id(mplid) && mplid != TMPL_OS) {
        return E_ID;
    }
    if (!is_kernel_pointer(p_blk) || blksz <= 0 || tmout < TMO_FEVR) {
        return E_PAR;
    }
    UW body = round_up((UW)blksz, BLOCK_UNIT);
    if (mplid == TMPL_OS) {
        VP blk = get_from_kernel(body);
        if (blk == NULL) {
            return tmout == TMO_POL ? E_TMOUT : E_NOMEM;
        }
        *p_blk = blk;
        return E_OK;
    }
    if (tmout != TMO_POL && !may_wait()) {
        return E_CTX;
    }
    struct pool_mpl *pool = &mpl_table[mplid];
    if (!pool->exists) {
        return E_NOEXS;
    }
    VP blk = take_fit(pool, body);
    if (blk != NULL) {
        *p_blk = blk;
        return E_OK;
    }
    if (tmout == TMO_POL) {
        return E_TMOUT;
    }
    struct tcb *task = &tcb_table[current_task];
    task->wait_kind = WAIT_MPL;
    task->wait_id = mplid;
    task->wait_size = (W)body;
    task->wait_out = p_blk;
    wait_begin(&pool->first_waiter, pool->attr, tmout);
    return E_WAITING;
}

static ER release_to_kernel(struct mpl_block *block)
{
    if (address_of(block) % BLOCK_UNIT != 0 || !kmem_owns(block, BLOCK_MIN) || block->tag != TAG_KERNEL ||
        block->size < (W)BLOCK_UNIT || block->size % (W)BLOCK_UNIT != 0) {
        return E_PAR;
    }
    return kmem_free(block, (W)((UW)block->size + RECORD_SIZE));
}

ER mpl_release(ID mplid, VP blk)
{
    struct mpl_block *block = (struct mpl_block *)(address_of(blk) - RECORD_SIZE);

    if (mplid == TMPL_OS) {
        return release_to_kernel(block);
    }
    if (!is_pool_id(mplid)) {
        return E_ID;
    }
    struct pool_mpl *pool = &mpl_table[mplid];
    if (!pool->exists) {
        return E_NOEXS;
    }
    if (!release(pool, block)) {
        return E_PAR;
    }
    mpl_serve(pool);
    return E_OK;
}

/* Free bytes and the largest free block, as far as the free list is undamaged. */
static void measure(const struct pool_mpl *pool, UW *free_bytes, UW *largest)
{
    struct mpl_block *previous = NULL;

    *free_bytes = 0;
    *largest = 0;
    for (struct mpl_block *block = pool->free; block != NULL && is_sound_free(pool, previous, block);
         block = *link_of(block)) {
        *free_bytes += (UW)block->size;
        *largest = (UW)block->size > *largest ? (UW)block->size : *largest;
        previous = block;
    }
}

ER mpl_refer(T_RMPL *pk_rmpl, ID mplid)
{
    UW free_bytes;
    UW largest;

    if (!is_pool_id(mplid) && mplid != TMPL_OS) {
        return E_ID;
    }
    if (!is_kernel_pointer(pk_rmpl)) {
        return E_PAR;
    }
    if (mplid == TMPL_OS) {
        kmem_measure(&free_bytes, &largest);
        *pk_rmpl = (T_RMPL){.frsz = (INT)free_bytes, .maxsz = (INT)largest};
        return E_OK;
    }
    const struct pool_mpl *pool = &mpl_table[mplid];
    if (!pool->exists) {
        return E_NOEXS;
    }
    measure(pool, &free_bytes, &largest);
    *pk_rmpl = (T_RMPL){
        .exinf = pool->exinf,
        .wtsk = pool->first_waiter,
        .frsz = (INT)free_bytes,
        .maxsz = (INT)largest,
    };
    return E_OK;
}
