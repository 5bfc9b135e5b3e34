/*
 * Theory of operation
 *
 * The public face of the pools. Each call is its inner function with interrupts off; what the inner function
 * cannot do happens after it, in call_leave(): letting others run while the task waits, and making way for a
 * more urgent task that the call has made ready.
 *
 * Shortcomings
 *
 * Interrupts stay off for the length of a search.
 */

#include "btron/critical.h"
#include "btron/itron.h"
#include "btron/pools.h"
#include "btron/task.h"

ER cre_mpl(ID mplid, const T_CMPL *pk_cmpl)
{
    uint32_t flags = critical_enter();
    return call_leave(flags, mpl_create(mplid, pk_cmpl));
}

ER del_mpl(ID mplid)
{
    uint32_t flags = critical_enter();
    return call_leave(flags, mpl_delete(mplid));
}

ER tget_blk(VP *p_blk, ID mplid, INT blksz, TMO tmout)
{
    uint32_t flags = critical_enter();
    return call_leave(flags, mpl_get(p_blk, mplid, blksz, tmout));
}

ER get_blk(VP *p_blk, ID mplid, INT blksz)
{
    return tget_blk(p_blk, mplid, blksz, TMO_FEVR);
}

ER pget_blk(VP *p_blk, ID mplid, INT blksz)
{
    return tget_blk(p_blk, mplid, blksz, TMO_POL);
}

ER rel_blk(ID mplid, VP blk)
{
    uint32_t flags = critical_enter();
    return call_leave(flags, mpl_release(mplid, blk));
}

ER ref_mpl(T_RMPL *pk_rmpl, ID mplid)
{
    uint32_t flags = critical_enter();
    return call_leave(flags, mpl_refer(pk_rmpl, mplid));
}

ER cre_mpf(ID mpfid, const T_CMPF *pk_cmpf)
{
    uint32_t flags = critical_enter();
    return call_leave(flags, mpf_create(mpfid, pk_cmpf));
}

ER del_mpf(ID mpfid)
{
    uint32_t flags = critical_enter();
    return call_leave(flags, mpf_delete(mpfid));
}

ER tget_blf(VP *p_blf, ID mpfid, TMO tmout)
{
    uint32_t flags = critical_enter();
    return call_leave(flags, mpf_get(p_blf, mpfid, tmout));
}

ER get_blf(VP *p_blf, ID mpfid)
{
    return tget_blf(p_blf, mpfid, TMO_FEVR);
}

ER pget_blf(VP *p_blf, ID mpfid)
{
    return tget_blf(p_blf, mpfid, TMO_POL);
}

ER rel_blf(ID mpfid, VP blf)
{
    uint32_t flags = critical_enter();
    return call_leave(flags, mpf_release(mpfid, blf));
}

ER ref_mpf(T_RMPF *pk_rmpf, ID mpfid)
{
    uint32_t flags = critical_enter();
    return call_leave(flags, mpf_refer(pk_rmpf, mpfid));
}

ER rel_wai(ID tskid)
{
    uint32_t flags = critical_enter();
    return call_leave(flags, wait_cancel(tskid, E_RLWAI));
}
