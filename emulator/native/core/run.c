/* One run with its budgets: how it starts, what is looked at between two blocks, and how it ends. */
#include <stdlib.h>
#include <string.h>

#include "core/bus.h"
#include "core/clock.h"
#include "core/host_faults.h"
#include "core/interrupts.h"
#include "core/limits.h"
#include "core/mmu.h"
#include "core/reports.h"
#include "core/run.h"
#include "core/spinning.h"
#include "core/windows.h"
#include "unicorn/counting.h"
#include "unicorn/delivery.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"
#include "unicorn/state.h"

enum { INVALID_OPCODE = 6 };
enum { SPIN_LOOK_NS = 200000000 };

/* -- how a run ends ------------------------------------------------------------------------------ */

kc_stop *kc_ends(kc *m, enum kc_reason reason)
{
    if (!kc_run_goes_on(m))
        return NULL;
    m->run->stop.reason = reason;
    return &m->run->stop;
}

void kc_end(kc *m, enum kc_reason reason)
{
    kc_ends(m, reason);
    kc_engine_stop(m);
}

/* Of a rest, that of the whole. */
uint64_t kc_block_end(const kc *m)
{
    const struct run *run = m->run;
    uint64_t end = kc_count(m);

    return run->rest_until && end - kc_last_block(m).count == run->rest_from ? run->rest_until : end;
}

void kc_end_before(kc *m, enum kc_reason reason, uintptr_t host_pc)
{
    uint32_t pc = kc_pc(m);

    kc_ends(m, reason);
    kc_engine_stop(m);
    if (host_pc) {
        uint64_t end = kc_counts_one_by_one(m) ? 0 : kc_block_end(m);
        kc_count_up_to(m, pc, false);
        m->run->kept.has_rest = true;
        m->run->kept.rest_at = pc;
        m->run->kept.rest_left = end > kc_count(m) ? (uint32_t)(end - kc_count(m)) : 0;
    }
    kc_leave_block(m, host_pc);
}

void kc_restart_instruction(kc *m, uintptr_t host_pc)
{
    struct run *run = m->run;

    run->rest_until = kc_block_end(m);
    kc_count_up_to(m, kc_pc(m), false);
    run->rest_from = kc_count(m);
    run->is_rest = true;
    kc_look_soon(m);
    kc_leave_block(m, host_pc);
}

void kc_end_rest(kc *m, uint64_t count, bool is_first, uintptr_t host_pc)
{
    struct run *run = m->run;

    if (is_first && count != run->rest_from) /* a block that has begun by itself */
        run->rest_until = 0;
    if (!run->rest_until || count < run->rest_until)
        return;
    run->rest_until = 0;
    kc_restore_eip(m, host_pc);
    kc_count_up_to(m, kc_pc(m), false);
    kc_leave_block(m, host_pc);
}

void kc_end_at_event(kc *m, const struct reached *probe, bool is_exit)
{
    m->run->ends_at = *probe;
    m->run->ends_at_exit = is_exit;
    kc_end(m, KC_EVENT);
}

SELDOM void kc_no_memory(kc *m)
{
    m->run->no_memory = true;
    kc_end(m, KC_NO_MEMORY);
}

void kc_stop_request(kc *m) { kc_end(m, KC_ASKED); }

void kc_stop_exactly(kc *m)
{
    if (!m->run->exactly) {
        m->run->exactly = true;
        kc_flush_code(m);
    }
}

uint64_t kc_executed(kc *m) { return kc_count(m); }

/* -- what the engine reports --------------------------------------------------------------------- */

bool kc_goes_on(const kc *m) { return kc_run_goes_on(m); }

void kc_on_last_out(kc *m) { m->run->in_out = true; }

void kc_on_failure(kc *m, int error)
{
    kc_stop *stop = kc_ends(m, KC_FAILED);

    if (stop)
        stop->uc_error = error;
}

static void on_interrupt(uc_engine *uc, uint32_t vector, void *data)
{
    (void)uc;
    kc_take_exception(data, vector, true);
}

/* The engine hands out #UD in another way; whatever is raised with its vector comes so. */
static bool on_invalid_instruction(uc_engine *uc, void *data)
{
    (void)uc;
    kc_take_exception(data, INVALID_OPCODE, false);
    return true;
}

/* -- between two blocks -------------------------------------------------------------------------- */

/* When it is looked first, not before a time, whether the guest spins: at multiples, which depend on nothing but the guest. */
static uint64_t spin_look_ns(uint64_t ns) { return (ns + SPIN_LOOK_NS - 1) / SPIN_LOOK_NS * SPIN_LOOK_NS; }

static bool spins(kc *m)
{
    uint64_t now = kc_clock_ns(m);

    if (now < m->run->kept.spin_look_ns)
        return false;
    m->run->kept.spin_look_ns = spin_look_ns(now + 1);
    return kc_spins(m);
}

/* -- moments ------------------------------------------------------------------------------------- */

kc_moment kc_moment_at(const kc *m, uint64_t count)
{
    uint64_t instructions = kc_clock_past(m) + count;

    return (kc_moment){instructions, m->run->kept.fault.instructions == instructions ? m->run->kept.fault.faults : 0, 0};
}

static void note_fault(kc *m)
{
    kc_moment fault = kc_moment_at(m, kc_count(m));
    m->run->kept.fault_before = m->run->kept.fault;
    fault.faults++;
    m->run->kept.fault = fault;
    if (m->run->stops_at_faults)
        kc_stop_soon(m, &fault);
}

void kc_note_handler(kc *m, bool is_fault)
{
    if (is_fault)
        note_fault(m);
    m->run->kept.handler = kc_moment_at(m, kc_count(m));
}

bool kc_at_handler(const kc *m)
{
    kc_moment here = kc_moment_at(m, 0);
    return kc_begins_handler(m, &here);
}

void kc_faults(const kc *m, kc_moment *newest, kc_moment *before)
{
    *newest = m->run->kept.fault;
    *before = m->run->kept.fault_before;
}

void kc_stop_at_faults(kc *m, bool yes) { m->run->stops_at_faults = yes; }

bool kc_is_stop(const kc *m, const kc_moment *here)
{
    bool is_handler = m->run->stops_at_faults && m->run->kept.fault.instructions == here->instructions && here->faults;
    return !kc_is_later(&m->run->stop_at, here) || is_handler;
}

void kc_stop_soon(kc *m, const kc_moment *moment)
{
    if (kc_is_later(&m->run->kept.soon, moment))
        m->run->kept.soon = *moment;
    kc_look_soon(m);
}

bool kc_is_due(kc *m, const kc_moment *here)
{
    if (kc_is_later(&m->run->kept.soon, here))
        return false;
    m->run->kept.soon.instructions = UINT64_MAX;
    return true;
}

bool kc_stop_at(kc *m, const kc_moment *moment)
{
    m->run->stop_at = *moment;
    m->run->passed = kc_moment_at(m, 0);
    return kc_counts_itself(m);
}

/* The count of this run at which it is to stop. */
static uint64_t stop_count(const kc *m)
{
    uint64_t at = m->run->stop_at.instructions, soon = m->run->kept.soon.instructions, past = kc_clock_past(m);

    at = soon < at ? soon : at;
    return at == UINT64_MAX ? at : at > past ? at - past : 0;
}

bool kc_has_to_be_told(const kc *m, uint64_t end)
{
    return m->run->tells_all || stop_count(m) < end || (m->run->rest_until && end > m->run->rest_until);
}

/* A block that may be executed. Where it has to be told, another one is looked up for it. */
static bool go_on(kc *m, uint32_t count)
{
    struct run *run = m->run;

    if (kc_count(m) != run->rest_from)
        run->rest_until = 0;
    if (kc_counts_itself(m) && !kc_tracks(m) && kc_has_to_be_told(m, kc_count(m) + count)) {
        kc_track(m, true);
        run->is_rest = true;
        kc_look_up_again(m);
    }
    return true;
}

uint64_t kc_next_look(kc *m)
{
    const struct run *run = m->run;
    uint64_t next = run->budget > 2 * TAIL ? run->budget - 2 * TAIL : 0, due = kc_clock_due(m);
    uint64_t spin_look = kc_clock_count_at(m, run->kept.spin_look_ns), stop = stop_count(m);

    if (kc_calls_go_on(m) || (kc_irq_waits(m) && kc_irq_may_come(m)))
        return 0;
    next = run->slice < next ? run->slice : next;
    next = spin_look < next ? spin_look : next;
    stop = stop > TAIL && !run->tells_all ? stop - TAIL : 0;
    next = stop < next ? stop : next;
    return due < next ? due : next;
}

bool kc_may_go_on(kc *m, uint32_t count)
{
    struct run *run = m->run;
    bool inside_block = run->inside_block;

    if (kc_called_off(m)) { /* the engine may have been asked to stop before it started */
        kc_engine_stop(m);
        return false;
    }
    if (run->is_rest) { /* what it is the rest of was looked at */
        run->is_rest = false;
        return true;
    }
    run->inside_block = false;
    bool is_due = false;
    if (!inside_block) { /* else no block would begin here, had the run not been stopped in the middle of one */
        kc_on_stack_used(m, kc_esp(m));
        is_due = kc_clock_tick(m);
    }
    if (kc_count(m) + count + TAIL > run->budget)
        kc_end(m, KC_INSTRUCTIONS);
    else if (inside_block)
        return go_on(m, count);
    else if (kc_irq_waits(m) && kc_irq_possible(m))
        kc_irq_take(m);
    else if (spins(m))
        kc_end(m, KC_SPINS);
    else if (is_due || kc_code_is_old(m) || kc_count(m) >= run->slice)
        kc_end(m, KC_SLICE);
    else
        return go_on(m, count);
    return false;
}

void kc_on_instruction(kc *m, uint32_t linear, uintptr_t host_pc)
{
    kc_on_stack_used(m, kc_esp(m));
    kc_look_below_stack(m, linear, host_pc);
}

bool kc_may_run(const kc *m) { return !kc_called_off(m) && !m->run->no_memory; }

/* -- events -------------------------------------------------------------------------------------- */

bool kc_stands_at_event(kc *m) { return m->run->kept.at.identity && m->run->kept.at.address == kc_pc(m); }

/* Execute one instruction whose probes have been reached before. */
static int step_over_probes(kc *m)
{
    kc_on_untold(m);
    m->run->steps_over = true;
    int error = kc_run_exactly(m, 1);
    m->run->steps_over = false;
    return error;
}

/* The rest of an instruction at which an event ended the last run: a function's first one may be its `ret`, too. */
static int finish_instruction(kc *m, const struct reached *last)
{
    kc_count_more(m, 1); /* for the time of events: the instruction is counted before its probes are reached */
    kc_probes_after(m, last);
    kc_count_more(m, -1);
    return kc_run_goes_on(m) ? step_over_probes(m) : 0;
}

/* A run that an event ended: at a function's entry it stays there, at a ret it goes on to the caller. */
static int finish_event(kc *m)
{
    struct run *run = m->run;
    struct last block = kc_last_block(m);
    int error = 0;

    run->stop.address = kc_pc(m);
    if (run->ends_at_exit) {
        run->stop.reason = KC_RUNNING;
        error = step_over_probes(m);
        kc_put_last_block(m, block);
        if (!error && run->stop.reason == KC_RUNNING)
            run->stop.reason = KC_EVENT;
    } else {
        run->kept.at = run->ends_at;
    }
    return error;
}

/* -- one run ------------------------------------------------------------------------------------- */

/* After the last instruction of a budget: was it hlt? */
static bool is_halted(kc *m)
{
    int64_t at = kc_translate(m, kc_last_instruction(m));
    return at >= 0 && (uint64_t)at < m->memory_end && *kc_at(m, (uint64_t)at) == 0xf4 &&
           kc_pc(m) == kc_last_instruction(m) + 1;
}

/* A run that a device ended stands at the `out`: go on after it. (outs stays: it would have to change registers.) */
static void skip_out(kc *m)
{
    uint32_t eip = kc_reg(m, UC_X86_REG_EIP), pc = kc_pc(m);
    uint8_t code;
    int length = 0;

    for (;; length++) {
        int64_t at = kc_translate(m, pc + (uint32_t)length);
        if (at < 0 || (uint64_t)at >= m->memory_end)
            return;
        code = *kc_at(m, (uint64_t)at);
        if (code != 0x66) /* operand size prefix */
            break;
    }
    if (code == 0xe6 || code == 0xe7)
        length += 2;
    else if (code == 0xee || code == 0xef)
        length += 1;
    else
        return;
    eip += (uint32_t)length;
    U.uc_reg_write(m->uc, UC_X86_REG_EIP, &eip);
}

static void finish(kc *m, int error)
{
    struct run *run = m->run;
    kc_stop *stop = &run->stop;

    if (stop->reason == KC_RUNNING) {
        enum kc_reason outside = kc_called_off(m);
        stop->uc_error = error;
        stop->reason = error ? KC_FAILED : outside != KC_RUNNING ? outside : KC_HALTED;
    }
    if (run->no_memory)
        stop->reason = KC_NO_MEMORY;
    if (stop->reason == KC_INTERRUPTED)
        kc_interruption_taken(m);
    if (run->in_out)
        skip_out(m);
    if (stop->reason != KC_NO_MEMORY && kc_is_undelivered(m, stop))
        stop->reason = KC_EXCEPTION;
    stop->eip = kc_reg(m, UC_X86_REG_EIP);
    stop->pc = kc_pc(m);
    if (stop->reason == KC_UNMAPPED && kc_count(m) && !kc_last_block(m).count && stop->pc == kc_last_instruction(m))
        kc_count_more(m, -1); /* one by one, an instruction is counted before it is executed */
}

/* Up to a number of instructions. The engine counts those that raise an exception, too, so it may stop before, and have executed none. */
static int run_exactly(kc *m, uint64_t max_instructions)
{
    int error;

    kc_on_untold(m);
    do
        error = kc_run_exactly(m, max_instructions - kc_count(m));
    while (!error && kc_may_run(m) && kc_run_goes_on(m) && !kc_has_failed(m) && kc_count(m) < max_instructions);
    return error;
}

static int run_guest(kc *m, uint64_t max_instructions)
{
    struct run *run = m->run;
    struct reached last = run->kept.at;
    bool stepped = kc_stands_at_event(m), has_rest = run->kept.has_rest && run->kept.rest_at == kc_pc(m);
    int error = 0;

    run->rest_until = has_rest ? run->kept.rest_left : 0;
    run->rest_from = 0;
    run->kept.has_rest = false;
    kc_leave_event(m);
    kc_on_run(m);
    if (stepped)
        error = finish_instruction(m, &last);
    run->inside_block = (stepped && kc_pc(m) == kc_last_block(m).pc + kc_last_block(m).size) || has_rest;
    if (error || !kc_may_run(m) || !kc_run_goes_on(m) || (stepped && is_halted(m)))
        ; /* that instruction was the last one */
    else if (!max_instructions || max_instructions > 2 * TAIL)
        error = kc_run_fast(m, run->exactly || run->observers); /* to the end, or to a block at which less than TAIL is left of the budget */
    else
        run->stop.reason = KC_INSTRUCTIONS;
    if (run->stop.reason == KC_INSTRUCTIONS) {
        run->stop.reason = KC_RUNNING;
        error = run_exactly(m, max_instructions);
        if (!error && kc_run_goes_on(m) && kc_count(m) == max_instructions && !is_halted(m))
            run->stop.reason = KC_INSTRUCTIONS;
    }
    return run->stop.reason == KC_EVENT ? finish_event(m) : error;
}

void kc_run(kc *m, uint64_t max_instructions, uint64_t slice, kc_stop *out)
{
    struct run *run = m->run;
    unsigned taken = kc_signals_take();

    memset(&run->stop, 0, sizeof run->stop);
    run->in_out = run->is_rest = false;
    run->budget = max_instructions ? max_instructions : UINT64_MAX;
    run->slice = slice ? slice : UINT64_MAX;
    kc_host_faults_take();
    kc_forget_old_code(m);
    kc_counting_start(m);
    if (!run->kept.has_rest)
        run->kept.spin_look_ns = spin_look_ns(kc_clock_ns(m));
    kc_interrupts_start(m);
    kc_look_soon(m);
    kc_run_mark(m, true);
    kc_windows_run(m, true);
    kc_checks_run(m);
    if (kc_seeks_stale(m))
        kc_on_entries_changed(m); /* memory and devices are Python's between runs */
    kc_windows_on_writes(m);
    int error = kc_may_run(m) ? run_guest(m, max_instructions) : 0;
    kc_windows_run(m, false);
    kc_run_mark(m, false);
    kc_signals_give_back(taken);
    finish(m, error);
    run->stop.instructions = kc_count(m);
    kc_bus_ran(m, kc_count(m));
    run->stop.block = kc_last_block(m).pc;
    run->stop.block_size = kc_last_block(m).size;
    run->stop.block_instructions = kc_last_block(m).count;
    kc_console_flush(m);
    kc_counting_end(m);
    *out = run->stop;
}

/* -- life, snapshots ----------------------------------------------------------------------------- */

int kc_run_save(kc *m, void **out)
{
    struct kept_run *saved = malloc(sizeof *saved);

    if (!saved)
        return -1;
    *saved = m->run->kept;
    *out = saved;
    return 0;
}

int kc_run_restore(kc *m, const void *data)
{
    m->run->kept = *(const struct kept_run *)data;
    return 0;
}

int kc_run_init(kc *m)
{
    if (KC_NEW(m->run) || U.uc_ctl(m->uc, UC_CTL_WRITE(UC_CTL_UC_USE_EXITS, 1), 1) /* no "until" address: any EIP may run */
        || kc_hook(m, UC_HOOK_INTR, on_interrupt, 0)
        || kc_hook(m, UC_HOOK_INSN_INVALID, on_invalid_instruction, 0))
        return -1;
    m->run->stop_at.instructions = m->run->kept.soon.instructions = m->run->kept.handler.instructions = UINT64_MAX;
    return 0;
}

void kc_run_free(kc *m) { free(m->run); }
