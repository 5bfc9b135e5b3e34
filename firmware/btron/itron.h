/*
 * The public calls, as in uITRON 3.0. They may be used by tasks with interrupts on. Each returns E_OK or the
 * first error that applies, in the order E_ID, E_RSATR, E_PAR, E_CTX, E_OBJ or E_NOEXS, E_NOMEM; after an error
 * nothing has changed.
 */

#ifndef BTRON_ITRON_H
#define BTRON_ITRON_H

#include "btron/types.h"

#define TMPL_OS ((ID)-4) /* the kernel's own pool: kmem, with the sizes kept */

typedef struct {
    VP exinf;
    ATR mplatr; /* TA_TFIFO or TA_TPRI */
    INT mplsz;
} T_CMPL;

typedef struct {
    VP exinf;
    ID wtsk;    /* the first waiting task, or 0 */
    INT frsz;   /* free bytes */
    INT maxsz;  /* largest free block */
} T_RMPL;

typedef struct {
    VP exinf;
    ATR mpfatr;
    INT mpfcnt;
    INT blfsz;
} T_CMPF;

typedef struct {
    VP exinf;
    ID wtsk;
    INT frbcnt; /* free blocks */
} T_RMPF;

typedef struct {
    VP exinf;
    ATR tskatr; /* TA_ASM or TA_HLNG, | TA_USER */
    FP task;
    PRI itskpri; /* 1..31 */
    INT stksz;
} T_CTSK;

enum {
    VPROT_READ = 1,
    VPROT_WRITE = 2,
    VPROT_EXEC = 4,
    VPROT_USER = 0x10000,  /* ring 3 may use it, too */
    VPROT_STACK = 0x20000, /* without a handler, the region grows by the page touched */
};

/*
 * What T_REGION.handle points to: a kernel function that is asked when the region's task has touched a page of it that is
 * not mapped, or not so that ring 3 may. `error_code` is the CPU's (SDM volume 3, 6.15, vector 14). E_OK: the task may try
 * again, and the page has been mapped with the right that was missing; anything else ends the task. Runs in the task's
 * context.
 */
typedef ER (*REGION_HANDLER)(ID tskid, VP address, UW error_code);

typedef struct {
    VP start_addr;
    W min_size; /* bytes, whole pages */
    W max_size;
    UW permission; /* VPROT_* */
    FP handle;     /* a REGION_HANDLER, or NULL */
} T_REGION;

_Static_assert(sizeof(T_CMPL) == 12, "T_CMPL");
_Static_assert(sizeof(T_RMPL) == 16, "T_RMPL");
_Static_assert(sizeof(T_CMPF) == 16, "T_CMPF");
_Static_assert(sizeof(T_RMPF) == 12, "T_RMPF");
_Static_assert(sizeof(T_CTSK) == 20, "T_CTSK");
_Static_assert(sizeof(T_REGION) == 20, "T_REGION");

/*
 * Pools with blocks of any size; ids 1..100. get_blk waits for ever, tget_blk for `tmout` ms, pget_blk not at
 * all. Waiting ends with E_TMOUT, E_RLWAI (rel_wai) or E_DLT (del_mpl). E_CTX: tget_blk other than TMO_POL
 * while dispatching is disabled or outside a task. Of TMPL_OS only blocks can be got (never waiting), released,
 * and ref_mpl works.
 */
ER cre_mpl(ID mplid, const T_CMPL *pk_cmpl);
ER del_mpl(ID mplid);
ER get_blk(VP *p_blk, ID mplid, INT blksz);
ER pget_blk(VP *p_blk, ID mplid, INT blksz);
ER tget_blk(VP *p_blk, ID mplid, INT blksz, TMO tmout);
ER rel_blk(ID mplid, VP blk); /* E_PAR: not a block of this pool, or not in use */
ER ref_mpl(T_RMPL *pk_rmpl, ID mplid);

/* Pools with blocks of one size; ids 1..100. The rest as above. */
ER cre_mpf(ID mpfid, const T_CMPF *pk_cmpf);
ER del_mpf(ID mpfid);
ER get_blf(VP *p_blf, ID mpfid);
ER pget_blf(VP *p_blf, ID mpfid);
ER tget_blf(VP *p_blf, ID mpfid, TMO tmout);
ER rel_blf(ID mpfid, VP blf);
ER ref_mpf(T_RMPF *pk_rmpf, ID mpfid);

/*
 * Tasks; ids 1..32. E_OBJ: the task is not in a state that the call is for. A task takes a kernel stack of whole pages,
 * a page directory, and, with TA_USER, the memory of its user program (task_memory.h), whose stack then grows to
 * `stksz`. When it ends, all that is mapped in its user space is given back.
 */
ER cre_tsk(ID tskid, const T_CTSK *pk_ctsk); /* E_NOMEM; E_PAR also: TA_USER, and `task` is not in the text */
ER del_tsk(ID tskid);                        /* of a dormant task; gives the rest of its memory back */
ER sta_tsk(ID tskid, INT stacd);             /* of a dormant task; with TA_USER also as task_memory_start() */
__attribute__((noreturn)) void ext_tsk(void);
ER ter_tsk(ID tskid); /* of another task that is not dormant; blocks that it holds stay taken */
ER slp_tsk(void);     /* until wup_tsk; at once if that was called before; E_RLWAI, E_CTX */
ER wup_tsk(ID tskid); /* of another task that is not dormant; E_QOVR after 255 that were not slept for */
ER rel_wai(ID tskid); /* of a waiting task, which gets E_RLWAI */
ER dis_dsp(void);     /* E_CTX outside a task */
ER ena_dsp(void);

/*
 * Regions of a task's user space, [0, 0x80000000); at most 8, which do not overlap. `start` is any address in the region
 * unless another meaning is given. E_PAR: no permission of READ, WRITE and EXEC or an unknown one, a size <= 0, what is
 * not in user space, not in a region, or not in one region altogether. E_NOMEM leaves no page and no table behind.
 */

/*
 * Makes a region that can hold `max` bytes from `start`: rounded down, and the end up, to pages. Nothing is mapped.
 * E_PAR also: min > max, a `handle` below kernel space; E_OBJ: it overlaps another; E_NOMEM: there are 8 already.
 */
ER vcre_reg(ID tskid, VP start, W min, W max, UW permission, FP handle);
ER vdel_reg(ID tskid, VP start); /* gives back what is mapped in it */

/*
 * Maps fresh zeroed pages to [start, start + size), rounded outwards to pages, with the permissions `access`, which
 * are some of the region's. E_OBJ: one is mapped already.
 */
ER vmap_reg(ID tskid, VP start, W size, UW access);
ER vunm_reg(ID tskid, VP start, W size); /* the reverse; E_OBJ: one is not mapped */

/*
 * Makes the same region in another task: its pages have one owner more. What may be executed loses VPROT_WRITE there.
 * E_PAR also: from == to; E_OBJ, E_NOMEM as vcre_reg(), and where no page is left for a table.
 */
ER vshr_reg(ID from, ID to, VP start);
ER vprt_reg(ID tskid, VP start, UW permission); /* of the region, and of all that is mapped in it now */

/*
 * Copies `size` bytes at `start` from a task's user space to the kernel address `buf`, or the other way round. E_MACV,
 * with nothing copied: not all of them are mapped, or, for vput_reg(), writable.
 */
ER vget_reg(ID tskid, VP start, W size, VP buf);
ER vput_reg(ID tskid, VP start, W size, VP buf);
ER vsts_reg(ID tskid, VP start, T_REGION *pk_region);

#endif
