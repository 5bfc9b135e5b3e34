/* Counting instructions, and starting the engine so that they are counted.
 *
 * A translated block adds its instructions to the count at its start, in code of its own (translation.c), and asks between two
 * blocks whether the run goes on where it may have to end. Where that cannot be, a hook does it: slower, with the same result.
 */
#include <stddef.h>
#include <stdlib.h>

#include "unicorn/count_register.h"
#include "unicorn/counting.h"
#include "unicorn/delivery.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"

/* -- blocks that count themselves ---------------------------------------------------------------- */

/* The block that was translated for an address; it is translated if there was none. The constant of unicorn.h overflows. */
static uc_err block_at(kc *m, uint64_t pc, uc_tb *tb)
{
    const uint32_t request = UC_CTL_TB_REQUEST_CACHE | 2u << 26 | (uint32_t)UC_CTL_IO_READ_WRITE << 30;
    return U.uc_ctl(m->uc, (uc_control_type)request, pc, tb);
}

/* The first block that a machine runs shows whether its instructions are counted right. */
static bool is_right(kc *m, uint32_t pc, uint32_t count)
{
    struct counting *c = m->counting;
    uc_tb tb;

    if (!c->proved && block_at(m, pc, &tb) == UC_ERR_OK)
        c->proved = tb.icount == count;
    return c->proved;
}

/* The next look, as blocks count. */
static uint64_t look_at(kc *m)
{
    uint64_t next = kc_next_look(m), now = kc_count(m), executed = m->counting->counter->executed;

    return next <= now ? 0 : next - now > UINT64_MAX - executed ? UINT64_MAX : executed + (next - now);
}

void kc_block_starts(kc *m, uint32_t pc, uint32_t count)
{
    m->counting->counter->last.count = 0;
    /* The order matters to a stop from outside, which asks the engine first. */
    __atomic_store_n(&m->counting->counter->look_at, look_at(m), __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (m->counting->starts_only)
        kc_engine_stop(m);
    else if (is_right(m, pc, count))
        kc_may_go_on(m, count);
    else
        kc_counting_by_hooks(m);
}

/* -- in the middle of a block --------------------------------------------------------------------- */

void kc_count_up_to(kc *m, uint32_t pc, bool is_fetched)
{
    struct counting *c = m->counting;
    struct last last = c->counter->last;

    if (is_fetched || !kc_count(m))
        return;
    if (c->one_by_one) { /* it was counted before it was executed */
        c->others -= pc == c->last_instruction;
        return;
    }
    if (!last.count || pc - last.pc >= last.size)
        return;
    /* Where the state was exact anyway, the instruction ends its block. */
    bool is_known = c->restored.block == last.pc && c->restored.pc == pc;
    c->others -= is_known ? last.count - c->restored.before : 1;
    c->counter->last = (struct last){0};
}

uint64_t kc_count_here(const kc *m)
{
    const struct counting *c = m->counting;

    if (c->one_by_one)
        return kc_count(m) - 1;
    return c->restored.block == c->counter->last.pc && c->restored.before < c->counter->last.count
               ? kc_count(m) - c->counter->last.count + c->restored.before : kc_count(m);
}

/* -- by hooks ------------------------------------------------------------------------------------- */

#define BLOCKS 65536u

static uint32_t block_slot(uint32_t pc) { return (pc * 2654435761u) >> 16; }

static void block_learn(struct counting *c, const uc_tb *tb)
{
    uint32_t slot = block_slot((uint32_t)tb->pc);
    c->blocks[slot].pc = (uint32_t)tb->pc;
    c->blocks[slot].icount = tb->icount;
}

static void on_new_block(uc_engine *uc, uc_tb *current, uc_tb *previous, void *data)
{
    kc *m = data;
    (void)uc, (void)previous;
    block_learn(m->counting, current);
}

static void on_block(uc_engine *uc, uint64_t address, uint32_t size, void *data)
{
    kc *m = data;
    struct counting *c = m->counting;
    uint32_t slot = block_slot((uint32_t)address);

    if (c->one_by_one)
        return;
    if (c->starts_only) {
        kc_engine_stop(m);
        return;
    }
    if (c->blocks[slot].pc != (uint32_t)address || !c->blocks[slot].icount) {
        uc_tb tb;
        int error = block_at(m, address, &tb);
        if (error) {
            kc_on_failure(m, error);
            kc_engine_stop(m);
            return;
        }
        block_learn(c, &tb);
    }
    if (!kc_may_go_on(m, c->blocks[slot].icount)) {
        uintptr_t list = kc_hooks_called_from();
        kc_leave_if_asked(m, uc, list ? list : (uintptr_t)__builtin_return_address(0));
        return; /* the check at the start of the block comes after this hook: it is not executed */
    }
    c->others += c->blocks[slot].icount;
    c->counter->last = (struct last){(uint32_t)address, (uint16_t)c->blocks[slot].icount, (uint16_t)size};
}

/* -- start ---------------------------------------------------------------------------------------- */

static bool by_hooks; /* blocks of this libunicorn cannot count themselves */

bool kc_counts_itself(const kc *m)
{
    bool is_in_place = (uint8_t *)m->counting->counter - (uint8_t *)kc_state_at(m) == KC_COUNT_AT;

    return !by_hooks && !m->reference && kc_is_interposed(m) && is_in_place && kc_has_count_register(m);
}

void kc_counting_by_hooks(kc *m)
{
    by_hooks = true;
    m->counting->recount = true;
    kc_engine_stop(m);
}

static void prepare(kc *m)
{
    struct counting *c = m->counting;

    if (c->blocks || kc_counts_itself(m))
        return;
    c->blocks = calloc(BLOCKS, sizeof *c->blocks);
    if (!c->blocks || kc_hook(m, UC_HOOK_BLOCK, on_block, 0) || kc_hook(m, UC_HOOK_EDGE_GENERATED, on_new_block, 0)) {
        kc_no_memory(m);
        return;
    }
    kc_flush_code(m); /* blocks translated before have no hook */
}

void kc_counting_start(kc *m)
{
    kc_counting_end(m);
    m->counting->counter->last.count = 0;
    prepare(m);
}

/* Nothing is executed. */
static int drop_removed_hooks(kc *m)
{
    m->counting->starts_only = true;
    kc_look_soon(m);
    int error = kc_engine_start(m, 0);
    m->counting->starts_only = false;
    kc_flush_code(m);
    kc_look_soon(m);
    return error;
}

int kc_run_fast(kc *m, bool exactly)
{
    struct interposed before = kc_interpose(m, !m->reference && !exactly);
    int error = kc_keeps_hooks(m) ? drop_removed_hooks(m) : 0;

    m->counting->recount = false;
    if (!error && kc_may_run(m) && kc_goes_on(m))
        error = kc_engine_start(m, 0);

    if (m->counting->recount) { /* nothing was executed yet */
        prepare(m);
        kc_flush_code(m);
        if (kc_may_run(m))
            error = kc_engine_start(m, 0);
    }
    kc_interpose_restore(before);
    return error;
}

static void on_instruction(uc_engine *uc, uint64_t address, uint32_t size, void *data)
{
    kc *m = data;
    struct counting *c = m->counting;
    (void)uc;

    c->others++;
    c->last_instruction = (uint32_t)address;
    c->counter->last = (struct last){(uint32_t)address, 0, (uint16_t)size};
    uintptr_t list = kc_hooks_called_from();
    kc_on_instruction(m, (uint32_t)address, list ? list : (uintptr_t)__builtin_return_address(0));
}

/* Unicorn's own counter ends the run, which needs the exit checks that fast code lacks; our hook says how many they were. */
int kc_run_exactly(kc *m, size_t count)
{
    uc_hook counter;
    int error = U.uc_hook_add(m->uc, &counter, UC_HOOK_CODE, (void *)on_instruction, m, (uint64_t)1, (uint64_t)0);

    if (error)
        return error;
    struct interposed before = kc_interpose(m, false);
    m->counting->one_by_one = true;
    m->counting->counter->last.count = 0;
    kc_flush_code(m);
    error = kc_engine_start(m, count);
    U.uc_hook_del(m->uc, counter);
    kc_flush_code(m);
    m->counting->one_by_one = false;
    kc_interpose_restore(before);
    return error;
}

void kc_counting_catch_up(kc *m, const uint8_t *tb, const void *context)
{
    m->counting->counter->executed = kc_count_in_context(context);
    m->counting->counter->last = kc_block_as_last(tb);
}

_Static_assert(offsetof(struct counter, executed) == 0 && offsetof(struct counter, added) == KC_ADDED_AT - KC_COUNT_AT &&
               offsetof(struct counter, last) + offsetof(struct last, count) == KC_IN_BLOCK_AT - KC_COUNT_AT, "count_register.c goes by it");

/* -- life ----------------------------------------------------------------------------------------- */

int kc_counting_init(kc *m)
{
    if (KC_NEW(m->counting))
        return -1;
    m->counting->counter = &m->counting->own;
    return 0;
}

void kc_counting_move(kc *m, void *place)
{
    m->counting->counter = place;
    *m->counting->counter = m->counting->own;
}

void kc_counting_free(kc *m)
{
    if (m->counting)
        free(m->counting->blocks);
    free(m->counting);
}
