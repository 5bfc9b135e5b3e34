/* The record of calls: who called a function with what, and what came of it.
 *
 * A call is open from its entry to the `ret` that is executed with ESP where the return address lay at entry (see slots.c). That
 * pairs them without knowing tasks: each call in the guest has a return address of its own, wherever its stack is. It holds for
 * recursion, for calls inside calls, for interrupts, and for functions left by a jump: the `ret` of the last function
 * of such a chain ends all of them. Jumps to recorded functions are watched: one that comes back to a function at the
 * same slot of the stack is no new call from there.
 */
#include <stdlib.h>
#include <string.h>

#include "core/mmu.h"
#include "core/reports.h"
#include "record/blocks.h"
#include "record/calls.h"
#include "record/code.h"
#include "record/late_returns.h"
#include "record/open_calls.h"
#include "record/stack_numbers.h"
#include "record/unwinding.h"
#include "record/values.h"
#include "unicorn/counting.h"

/* How far the record is, which a snapshot keeps. */
struct progress {
    uint32_t events, calls, allocations;
    struct open_calls open;
    bool at_allocation;  /* the newest allocation is the event at which the last run has ended */
    bool jumps;          /* the next instruction is a function's entry, reached by a jump */
    uint32_t resumed_at; /* linear: an iret has led there, and nothing was recorded since; 0: none has */
    uint64_t stopped_ns; /* virtual time of the event at which a run has ended */
};

/* A function's entry; takes_first_words: the values of its calls are the words above the return address, in order. */
struct entry { bool takes_first_words; kc_call_entry as; struct code code; };

struct calls {
    kc_calls *rows; /* NULL: not recording */
    uint32_t recordings, stop_event, stop_allocation;
    uint32_t notify_every, until_notice; /* calls */
    uint32_t entry_count, value_count; /* value_count: of the entry with most of them */
    bool hand_over;
    bool at_stop; /* an event happens at the time of the one before it */
    struct progress now;
    struct late_returns late;
    kc_operation operations[KC_OPERATIONS];
    struct entry entries[KC_ENTRIES];
};

/* -- events --------------------------------------------------------------------------------------- */

static uint64_t now_ns(const kc *m) { return m->calls->at_stop ? m->calls->now.stopped_ns : kc_clock_ns(m); }

static SELDOM void end_here(kc *m, const struct reached *probe, bool is_exit)
{
    m->calls->now.stopped_ns = now_ns(m);
    kc_end_at_event(m, probe, is_exit);
}

static uint32_t next_event(kc *m, const struct reached *probe, bool is_exit)
{
    uint32_t event = ++m->calls->now.events;

    if (event == m->calls->stop_event || event == UINT32_MAX)
        end_here(m, probe, is_exit);
    return event;
}

static void next_allocation(kc *m, const struct reached *probe, uint32_t stack)
{
    struct calls *c = m->calls;

    if (stack && kc_stack_is_passed(m, stack))
        return;
    c->now.at_allocation = true;
    if (++c->now.allocations == c->stop_allocation)
        end_here(m, probe, false);
}

/* Full rows are handed over by the call after them: the newest call is always there. Ctrl-C that came shortly before is raised by
 * Python as soon as it is called, so it may do nothing the first time. */
static SELDOM void make_room(kc *m)
{
    const kc_calls *c = m->calls->rows;

    for (int tries = m->calls->hand_over ? 2 : 0; tries && c->rows == KC_ROWS; tries--)
        python.calls(m->handle);
    if (c->rows == KC_ROWS) /* nobody took them */
        kc_calls_taken(m);
}

void kc_on_resumption(kc *m) { m->calls->now.resumed_at = kc_recording(m) ? kc_pc(m) : 0; }

/* Has the function's first instruction raised an exception, and comes again? Then its call is in the list already. */
static SELDOM bool starts_again(kc *m, uint32_t entry, uint32_t address, uint32_t esp)
{
    const struct open_calls *open = &m->calls->now.open;
    uint32_t resumed_at = m->calls->now.resumed_at, memory;

    m->calls->now.resumed_at = 0;
    if (resumed_at != address)
        return false;
    memory = kc_slot_memory(m, esp);
    for (uint32_t i = open->count; i-- > 0;)
        if (open->list[i].slot.physical == memory)
            return open->list[i].entry == entry;
    return false;
}

/* A piece of a function goes on with a call that has begun there; elsewhere compilers have put the beginning into the caller. */
static SELDOM bool goes_on(kc *m, const kc_call_entry *e, const struct slot *slot, uint32_t caller)
{
    const struct open_calls *open = &m->calls->now.open;

    if (caller - 1 - e->head_start < e->head_end - e->head_start)
        return true;
    for (uint32_t i = open->count; m->calls->now.jumps && i-- > 0;)
        if (kc_slot_is(m, &open->list[i].slot, slot, caller))
            return m->calls->entries[open->list[i].entry].as.function == e->function;
    return false;
}

enum { MOSTLY = 2 }; /* so many values have most calls, at most */

/* The row of a call that has not returned. */
static inline void add_row(kc *m, const struct reached *probe, const kc_call_entry *e, const struct open_call *call, uint32_t parent)
{
    kc_calls *c = m->calls->rows;
    uint32_t row = c->rows;

    c->parent[row] = parent;
    c->depth[row] = call->depth;
    c->function[row] = (uint8_t)e->function;
    c->entered[row] = next_event(m, probe, false);
    c->time_ns[row] = now_ns(m);
    for (uint32_t i = 0; i < MOSTLY; i++)
        c->values[i][row] = call->values[i];
    for (uint32_t i = MOSTLY; i < m->calls->value_count; i++)
        c->values[i][row] = call->values[i];
    c->esp[row] = call->slot.esp;
    c->left[row] = c->result[row] = c->out[row] = 0;
    c->left_time_ns[row] = 0;
    c->returned[row] = 0;
}

static bool has_numbers(const kc *m) { return m->calls->now.events < UINT32_MAX - 1; }

/* There is no row left, or no number for two events. */
static SELDOM bool has_made_room(kc *m, const struct reached *probe)
{
    if (m->calls->rows->rows == KC_ROWS)
        make_room(m);
    if (has_numbers(m))
        return true;
    kc_end_at_event(m, probe, false);
    return false;
}

static bool has_room(kc *m, const struct reached *probe)
{
    m->calls->now.at_allocation = false;
    return (m->calls->rows->rows < KC_ROWS && has_numbers(m)) || has_made_room(m, probe);
}

static void notify(kc *m)
{
    if (m->calls->notify_every && --m->calls->until_notice == 0) {
        m->calls->until_notice = m->calls->notify_every;
        python.entered(m->handle);
    }
}

/* words: at ESP. */
static inline void new_call(kc *m, uint32_t entry, const struct slot *slot, const uint32_t words[KC_WORDS_AT_ENTRY], const struct open_call *parent,
                            struct open_call *out)
{
    const struct entry *e = &m->calls->entries[entry];
    uint8_t depth = parent ? (uint8_t)(parent->depth + (parent->depth < UINT8_MAX)) : 0;

    *out = (struct open_call){.slot = *slot, .call = ++m->calls->now.calls, .caller = words[0], .entry = (uint16_t)entry, .depth = depth};
    if (e->takes_first_words) /* mostly */
        for (uint32_t i = 0; i < e->as.value_count; i++)
            out->values[i] = words[1 + i];
    else
        kc_values_at_entry(m, &e->as, m->calls->operations, slot->esp, words, out->values);
}

/* A copy inside of another function is passed, and not called: it ends where it begins. */
static SELDOM void passed(kc *m, const struct reached *probe, uint32_t entry, const struct slot *slot, uint32_t words[KC_WORDS_AT_ENTRY])
{
    kc_calls *c = m->calls->rows;
    struct backtrace *backtrace = kc_stack_at(m, kc_reg(m, UC_X86_REG_EIP));
    const struct open_call *parent = kc_open_parent(m, &m->calls->now.open, backtrace);
    uint32_t parent_call = parent ? parent->call : 0, row = c->rows;
    struct open_call call;

    words[0] = 0; /* it has no caller */
    new_call(m, entry, slot, words, parent, &call);
    add_row(m, probe, &m->calls->entries[entry].as, &call, parent_call);
    c->left[row] = c->entered[row];
    c->left_time_ns[row] = c->time_ns[row];
    c->returned[row] = 1;
    c->stack[row] = kc_stack_number(m, backtrace, call.call);
    c->rows++;
    notify(m);
}

__attribute__((noinline)) void kc_call_entered(kc *m, const struct reached *probe, uint32_t entry, uint32_t esp)
{
    struct calls *c = m->calls;
    const kc_call_entry *e = &c->entries[entry].as;
    struct open_calls *open = &c->now.open;
    const struct open_call *parent = NULL;
    uint32_t words[KC_WORDS_AT_ENTRY];

    if (!kc_code_is_there(m, e, &c->entries[entry].code) || (c->now.resumed_at && starts_again(m, entry, probe->address, esp)))
        return;
    const struct slot slot = kc_slot_at(m, esp);
    kc_slot_words(m, &slot, words, KC_WORDS_AT_ENTRY);
    if ((e->head_end && goes_on(m, e, &slot, words[0])) || !has_room(m, probe))
        return;
    if (e->inlined) {
        passed(m, probe, entry, &slot, words);
        return;
    }
    if (!kc_open_room(open)) {
        kc_no_memory(m);
        return;
    }
    struct backtrace *backtrace = kc_stack_at_entry(m, &slot, words[0]);
    if (open->count) {
        kc_open_forget_abandoned(m, open, entry, &slot, backtrace, c->now.jumps);
        parent = kc_open_parent(m, open, backtrace);
    }
    c->now.jumps = false;
    uint32_t parent_call = parent ? parent->call : 0;
    struct open_call *call = &open->list[open->count];

    new_call(m, entry, &slot, words, parent, call);
    add_row(m, probe, e, call, parent_call);
    uint32_t stack = c->rows->stack[c->rows->rows++] = kc_stack_number(m, backtrace, call->call);
    if (e->takes)
        next_allocation(m, probe, stack);
    open->count++;
    if (kc_follows_blocks(m))
        kc_blocks_entered(m, call, e->function, parent_call, c->now.events);
    notify(m);
}

static void return_from(kc *m, const struct reached *probe, const struct open_call *open)
{
    kc_calls *c = m->calls->rows;
    kc_late call = {.left_time_ns = now_ns(m), .call = open->call, .left = next_event(m, probe, true), .result = kc_eax(m)};

    if (m->calls->entries[open->entry].as.block >= 0)
        call.out = kc_computed(m, m->calls->operations + m->calls->entries[open->entry].as.block, open->values, call.result);
    if (kc_follows_blocks(m))
        kc_blocks_left(m, open, &call);
    if (open->call < c->first_call) {
        if (m->calls->hand_over && !kc_late_add(&m->calls->late, &call))
            kc_no_memory(m);
        return;
    }
    uint32_t row = open->call - c->first_call;
    c->left[row] = call.left;
    c->left_time_ns[row] = call.left_time_ns;
    c->result[row] = call.result;
    c->out[row] = call.out;
    c->returned[row] = 1;
}

void kc_call_left(kc *m, const struct reached *probe, uint32_t esp)
{
    struct open_calls *open = &m->calls->now.open;

    const struct slot at = kc_slot_at(m, esp);
    struct open_call left;

    if (!kc_open_take(m, open, &at, &left) && !kc_open_take_moved(m, open, &at, &left))
        return;
    do
        return_from(m, probe, &left);
    while (kc_open_take(m, open, &at, &left));
}

void kc_call_jumps(kc *m, bool yes) { m->calls->now.jumps = yes; }

void kc_on_run(kc *m) { m->calls->now.at_allocation = false; }

uint32_t kc_recording(const kc *m) { return m->calls->rows ? m->calls->recordings : 0; }

bool kc_is_in_call(kc *m, const struct backtrace *backtrace) { return kc_open_parent(m, &m->calls->now.open, backtrace); }

uint32_t kc_recorded_start(const kc *m, uint32_t entry) { return m->calls->entries[entry].as.start; }

bool kc_is_recorded_start(const kc *m, uint32_t address)
{
    for (uint32_t i = 0; i < m->calls->entry_count; i++)
        if (m->calls->entries[i].as.start == address)
            return true;
    return false;
}

/* -- for Python ----------------------------------------------------------------------------------- */

static bool takes_first_words(const kc_call_entry *entry)
{
    uint32_t i = 0;

    while (i < entry->value_count && entry->values[i].kind == KC_ON_STACK && entry->values[i].operand == 4 * (1 + i))
        i++;
    return i == entry->value_count;
}

int kc_record(kc *m, const kc_call_entry *entries, uint32_t count, const kc_operation *operations, uint32_t operation_count)
{
    struct calls *c = m->calls;
    kc_calls *rows = count ? calloc(1, sizeof *rows) : NULL;

    if (count && !rows)
        return -1;
    kc_leave_event(m);
    free(c->rows);
    free(c->now.open.list);
    c->rows = rows;
    memset(&c->now, 0, sizeof c->now);
    c->late.count = 0;
    if (!count)
        return 0;
    c->recordings++; /* probes of the one before have nothing to do any more */
    rows->first_call = 1;
    memcpy(c->operations, operations, operation_count * sizeof *operations);
    c->entry_count = count;
    c->value_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        c->value_count = entries[i].value_count > c->value_count ? entries[i].value_count : c->value_count;
        c->entries[i].as = entries[i];
        c->entries[i].takes_first_words = takes_first_words(&entries[i]);
        kc_code_keep(m, &entries[i], &c->entries[i].code);
    }
    return 0;
}

const kc_calls *kc_calls_now(kc *m) { return m->calls->rows; }

const kc_late *kc_calls_late(kc *m, uint32_t *count)
{
    *count = m->calls->late.count;
    return m->calls->late.list;
}

void kc_calls_taken(kc *m)
{
    m->calls->rows->first_call = m->calls->now.calls + 1;
    m->calls->rows->rows = 0;
    m->calls->late.count = 0;
}

void kc_notify_every(kc *m, uint32_t calls) { m->calls->notify_every = m->calls->until_notice = calls; }

void kc_calls_hand_over(kc *m, bool yes) { m->calls->hand_over = yes; }

uint32_t kc_events(kc *m) { return m->calls->now.events; }

uint32_t kc_open_calls(kc *m) { return m->calls->now.open.count; }

void kc_stop_at_event(kc *m, uint32_t event)
{
    m->calls->stop_event = event;
    if (event)
        kc_stop_exactly(m);
}

uint32_t kc_allocations(kc *m) { return m->calls->now.allocations; }

void kc_stop_at_allocation(kc *m, uint32_t n)
{
    m->calls->stop_allocation = n ? m->calls->now.allocations + n : 0;
    if (n)
        kc_stop_exactly(m);
}

uint32_t kc_at_allocation(kc *m) { return m->calls->now.at_allocation && kc_stands_at_event(m) ? m->calls->now.allocations : 0; }

int kc_return(kc *m, uint32_t eax)
{
    static const struct reached nowhere;
    struct calls *c = m->calls;
    uint32_t esp = kc_reg(m, UC_X86_REG_ESP), after = esp + 4;

    if (!kc_stands_at_event(m))
        return -1;
    c->stop_event = c->stop_allocation = 0; /* no run is there to be ended */
    kc_on_registers_replaced(m);
    kc_on_registers_set(m);
    U.uc_reg_write(m->uc, UC_X86_REG_EAX, &eax);
    c->at_stop = true; /* it returns at once */
    kc_call_left(m, &nowhere, esp);
    c->at_stop = false;
    uint32_t caller = kc_stack_word(m, esp);
    U.uc_reg_write(m->uc, UC_X86_REG_ESP, &after);
    U.uc_reg_write(m->uc, UC_X86_REG_EIP, &caller);
    kc_leave_event(m);
    c->now.at_allocation = false;
    return 0;
}

/* -- life, snapshots ------------------------------------------------------------------------------ */

int kc_calls_save(kc *m, void **out)
{
    const struct progress *from = &m->calls->now;
    struct progress *saved = malloc(sizeof *saved);

    if (!saved)
        return -1;
    *saved = *from;
    *out = saved;
    return kc_open_copy(&saved->open, &from->open) ? 0 : -1;
}

/* Rows of calls that have not happened any more are dropped, and those of calls that are open again are so. */
int kc_calls_restore(kc *m, const void *saved)
{
    const struct progress *to = saved;
    struct progress *now = &m->calls->now;
    kc_calls *c = m->calls->rows;

    if (!c)
        return 0;
    if (to->calls + 1 > c->first_call + c->rows) /* the machine goes forwards: there are calls again, and no rows of them */
        c->first_call = to->calls + 1;
    now->events = to->events;
    now->calls = to->calls;
    now->allocations = to->allocations;
    now->at_allocation = to->at_allocation;
    now->jumps = to->jumps;
    now->stopped_ns = to->stopped_ns;
    now->open.count = 0;
    for (uint32_t i = 0; i < to->open.count; i++) {
        uint32_t call = to->open.list[i].call;
        if (!kc_open_room(&now->open)) {
            kc_no_memory(m);
            break;
        }
        now->open.list[now->open.count++] = to->open.list[i];
        if (call >= c->first_call)
            c->left[call - c->first_call] = c->returned[call - c->first_call] = 0;
    }
    if (to->calls + 1 < c->first_call)
        c->first_call = to->calls + 1;
    c->rows = to->calls + 1 - c->first_call;
    kc_late_drop_after(&m->calls->late, to->events);
    return 0;
}

void kc_calls_forget(void *data)
{
    struct progress *saved = data;

    if (saved)
        free(saved->open.list);
    free(saved);
}

int kc_calls_init(kc *m) { return KC_NEW(m->calls); }

void kc_calls_free(kc *m)
{
    if (m->calls) {
        free(m->calls->rows);
        free(m->calls->now.open.list);
        free(m->calls->late.list);
    }
    free(m->calls);
}
