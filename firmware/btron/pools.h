/*
 * Layer 3, inner part: memory pools and waiting for them. None of these functions blocks: where a task has to
 * wait it is put into a queue, and the public call (calls.c) lets others run. Call them with interrupts off.
 */

#ifndef BTRON_POOLS_H
#define BTRON_POOLS_H

#include <stdbool.h>

#include "btron/itron.h"
#include "btron/types.h"

enum { POOL_MAX = 100 }; /* ids 1..POOL_MAX */

/* In front of each block, in use or free, of both kinds of pools. A free block's body begins with its link. */
struct mpl_block {
    W size; /* bytes of the body */
    UW tag;
};

_Static_assert(sizeof(struct mpl_block) == 8, "mpl_block");

#define TAG_FREE   0x46524545u         /* "FREE" */
#define TAG_MPL    0x4D504C00u         /* | id */
#define TAG_MPF    0x4D504600u         /* | id */
#define TAG_KERNEL (TAG_MPL | 0xFF)    /* blocks of TMPL_OS */
#define BLOCK_UNIT 8u                  /* bodies are multiples of it, as are offsets of blocks */

struct pool_mpl {
    VP exinf;
    ATR attr;
    W size;       /* body of the block that fills the whole pool */
    VP area;      /* from kmem */
    W area_size;
    struct mpl_block *free; /* in address order */
    ID first_waiter;
    UW exists;
};

_Static_assert(offsetof(struct pool_mpl, first_waiter) == 24, "pool_mpl.first_waiter");
_Static_assert(sizeof(struct pool_mpl) == 32, "pool_mpl");

struct pool_mpf {
    VP exinf;
    ATR attr;
    W count;
    W block_size; /* rounded up to 4 */
    VP area;      /* from kmem */
    W area_size;
    VP free; /* the block that comes next, last in first out */
    ID first_waiter;
    UW exists;
    UW free_count;
};

_Static_assert(offsetof(struct pool_mpf, first_waiter) == 28, "pool_mpf.first_waiter");
_Static_assert(sizeof(struct pool_mpf) == 40, "pool_mpf");

extern struct pool_mpl mpl_table[POOL_MAX + 1]; /* index is the id */
extern struct pool_mpf mpf_table[POOL_MAX + 1];

/* Pools with blocks of any size: as cre_mpl, del_mpl, tget_blk, rel_blk, ref_mpl, but E_WAITING instead of blocking. */
ER mpl_create(ID mplid, const T_CMPL *pk_cmpl);
ER mpl_delete(ID mplid);
ER mpl_get(VP *p_blk, ID mplid, INT blksz, TMO tmout);
ER mpl_release(ID mplid, VP blk);
ER mpl_refer(T_RMPL *pk_rmpl, ID mplid);

/* Gives free blocks to waiting tasks, in the order of the queue. */
void mpl_serve(struct pool_mpl *pool);

/* Pools with blocks of one size. */
ER mpf_create(ID mpfid, const T_CMPF *pk_cmpf);
ER mpf_delete(ID mpfid);
ER mpf_get(VP *p_blf, ID mpfid, TMO tmout);
ER mpf_release(ID mpfid, VP blf);
ER mpf_refer(T_RMPF *pk_rmpf, ID mpfid);
void mpf_serve(struct pool_mpf *pool);

/*
 * Ends the wait of a task, whatever it waits for; it becomes ready and gets `code`. E_ID, E_NOEXS, or E_OBJ
 * when the task is not waiting.
 */
ER wait_cancel(ID tskid, ER code);

static inline bool is_pool_id(ID id)
{
    return id >= 1 && id <= POOL_MAX;
}

/* A free block's link. */
static inline struct mpl_block **link_of(struct mpl_block *block)
{
    return (struct mpl_block **)(block + 1);
}

#endif
