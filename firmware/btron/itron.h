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
    ATR tskatr; /* TA_ASM or TA_HLNG */
    FP task;
    PRI itskpri; /* 1..31 */
    INT stksz;
} T_CTSK;

_Static_assert(sizeof(T_CMPL) == 12, "T_CMPL");
_Static_assert(sizeof(T_RMPL) == 16, "T_RMPL");
_Static_assert(sizeof(T_CMPF) == 16, "T_CMPF");
_Static_assert(sizeof(T_RMPF) == 12, "T_RMPF");
_Static_assert(sizeof(T_CTSK) == 20, "T_CTSK");

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

/* Tasks; ids 1..32. E_OBJ: the task is not in a state that the call is for. */
ER cre_tsk(ID tskid, const T_CTSK *pk_ctsk); /* takes a stack of whole pages from pmem; E_NOMEM */
ER del_tsk(ID tskid);                        /* of a dormant task; gives its stack back */
ER sta_tsk(ID tskid, INT stacd);             /* of a dormant task */
__attribute__((noreturn)) void ext_tsk(void);
ER ter_tsk(ID tskid); /* of another task that is not dormant; blocks that it holds stay taken */
ER slp_tsk(void);     /* until wup_tsk; at once if that was called before; E_RLWAI, E_CTX */
ER wup_tsk(ID tskid); /* of another task that is not dormant; E_QOVR after 255 that were not slept for */
ER rel_wai(ID tskid); /* of a waiting task, which gets E_RLWAI */
ER dis_dsp(void);     /* E_CTX outside a task */
ER ena_dsp(void);

#endif
