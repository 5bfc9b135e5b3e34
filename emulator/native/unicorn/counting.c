/* Counting instructions, and what has to be looked at between two blocks: budget, slice, interrupts.
 *
 * A translated block adds its instructions to m->executed at its start, in code of its own (translation.c). Where
 * that cannot be, a hook does it: slower, with the same result.
 */
#include <stdlib.h>

#include "machine.h"

/* -- between two blocks --------------------------------------------------------------------------- */

/* No block that starts before so many instructions has to be looked at. */
static uint64_t next_look(kc *m)
{
    uint64_t tail = m->budget > 2 * TAIL ? m->budget - 2 * TAIL : 0;

    if (m->irq_pending && kc_irq_may_come(m))
        return 0;
    return m->slice < tail ? m->slice : tail;
}

/* May the block at `pc` with `count` instructions be executed? If not, the run is ended. */
static bool may_go_on(kc *m, uint32_t pc, uint32_t count)
{
    bool inside_block = m->inside_block;

    if (m->interrupted || m->timed_out) { /* the engine may have been asked to stop before it started */
        kc_engine_stop(m);
        return false;
    }
    m->inside_block = false;
    if (m->executed + count + TAIL > m->budget)
        kc_end(m, KC_INSTRUCTIONS);
    else if (inside_block) /* no block would begin here, had the run not been stopped in the middle of one */
        return true;
    else if (m->irq_pending && kc_irq_possible_at(m, pc))
        kc_end(m, KC_IRQ);
    else if (m->executed >= m->slice)
        kc_end(m, KC_SLICE);
    else
        return true;
    return false;
}

/* The block that was translated for an address; it is translated if there was none. The constant of unicorn.h overflows. */
static uc_err block_at(kc *m, uint64_t pc, uc_tb *tb)
{
    const uint32_t request = UC_CTL_TB_REQUEST_CACHE | 2u << 26 | (uint32_t)UC_CTL_IO_READ_WRITE << 30;
    return U.uc_ctl(m->uc, (uc_control_type)request, pc, tb);
}

/* The first block that a machine runs shows whether its instructions are counted right. */
static bool is_right(kc *m, uint32_t pc, uint32_t count)
{
    uc_tb tb;

    if (!m->proved && block_at(m, pc, &tb) == UC_ERR_OK)
        m->proved = tb.icount == count;
    return m->proved;
}

void kc_block_starts(kc *m, uint32_t pc, uint32_t count)
{
    /* The order matters to a stop from outside, which asks the engine first. */
    __atomic_store_n(&m->look_at, next_look(m), __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (is_right(m, pc, count))
        may_go_on(m, pc, count);
    else
        kc_counting_by_hooks(m);
}

void kc_look_soon(kc *m) { __atomic_store_n(&m->look_at, 0, __ATOMIC_SEQ_CST); }

/* -- by hooks ------------------------------------------------------------------------------------- */

#define BLOCKS 65536u

static uint32_t block_slot(uint32_t pc) { return (pc * 2654435761u) >> 16; }

static void block_learn(kc *m, const uc_tb *tb)
{
    uint32_t slot = block_slot((uint32_t)tb->pc);
    m->blocks[slot].pc = (uint32_t)tb->pc;
    m->blocks[slot].icount = tb->icount;
}

static void on_new_block(uc_engine *uc, uc_tb *current, uc_tb *previous, void *data)
{
    (void)uc, (void)previous;
    block_learn(data, current);
}

static void on_block(uc_engine *uc, uint64_t address, uint32_t size, void *data)
{
    kc *m = data;
    uint32_t slot = block_slot((uint32_t)address);
    (void)uc;

    if (m->one_by_one)
        return;
    if (m->blocks[slot].pc != (uint32_t)address || !m->blocks[slot].icount) {
        uc_tb tb;
        m->stop.uc_error = block_at(m, address, &tb);
        if (m->stop.uc_error) {
            kc_end(m, KC_FAILED);
            return;
        }
        block_learn(m, &tb);
    }
    if (!may_go_on(m, (uint32_t)address, m->blocks[slot].icount))
        return; /* the check at the start of the block comes after this hook: it is not executed */
    m->executed += m->blocks[slot].icount;
    m->last = (struct last){(uint32_t)address, (uint16_t)m->blocks[slot].icount, (uint16_t)size};
}

/* -- start ---------------------------------------------------------------------------------------- */

static bool by_hooks; /* blocks of this libunicorn cannot count themselves */

bool kc_counts_itself(const kc *m) { return !by_hooks && !m->reference && m->interposed; }

void kc_counting_by_hooks(kc *m)
{
    by_hooks = true;
    m->recount = true;
    kc_engine_stop(m);
}

void kc_counting_start(kc *m)
{
    if (m->blocks || kc_counts_itself(m))
        return;
    m->blocks = calloc(BLOCKS, sizeof *m->blocks);
    if (!m->blocks || kc_hook(m, UC_HOOK_BLOCK, on_block, m, 1, 0, 0)
        || kc_hook(m, UC_HOOK_EDGE_GENERATED, on_new_block, m, 1, 0, 0)) {
        kc_no_memory(m);
        return;
    }
    kc_flush_code(m); /* blocks translated before have no hook */
}
