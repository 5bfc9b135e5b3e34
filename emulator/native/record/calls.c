/* The record of calls: who called a function with what, and what came of it.
 *
 * A call is open from its entry to the `ret` that is executed with ESP where the return address lay at entry. That pairs
 * them without knowing tasks: each call in the guest has a return address of its own, wherever its stack is. It holds for
 * recursion, for calls inside calls, for interrupts, and for functions left by a jump: the `ret` of the last function
 * of such a chain ends all of them. Jumps to recorded functions are watched: one that comes back to a function at the
 * same place on the stack is no new call from there.
 *
 * A call that is left in another way (longjmp, a task that is deleted) stays open until its place on the stack is
 * used again; it did not return.
 */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

enum { OPEN_MAX = 4096 }; /* calls that never return, forgotten from the oldest on */

/* -- open calls ----------------------------------------------------------------------------------- */

static bool room_for_open(struct progress *p)
{
    if (p->open_count < p->open_capacity)
        return true;
    if (p->open_count == OPEN_MAX) {
        memmove(p->open, p->open + 1, --p->open_count * sizeof *p->open);
        return true;
    }
    uint32_t capacity = p->open_capacity ? 2 * p->open_capacity : 16;
    struct open_call *open = realloc(p->open, capacity * sizeof *open);
    if (!open)
        return false;
    p->open = open;
    p->open_capacity = capacity;
    return true;
}

static void forget_open(struct progress *p, uint32_t index)
{
    if (index < --p->open_count)
        memmove(p->open + index, p->open + index + 1, (p->open_count - index) * sizeof *p->open);
}

static bool is_walked(const struct walked *walked, uint32_t slot)
{
    for (uint32_t i = 1; i < walked->count; i++)
        if (walked->slots[i] == slot)
            return true;
    return false;
}

/* Forget calls whose place on the stack was given up: it is used again (by another function with the same return address
 * it is a jump from the one to the other), or it lies among the frames of a stack that is known for sure, and is none
 * of them. */
static void forget_abandoned(kc *m, uint32_t function, const struct walked *walked)
{
    struct progress *p = &m->now;
    uint32_t esp = walked->slots[0], end = walked->slots[walked->count - 1];

    for (uint32_t i = p->open_count; i-- > 0;) {
        const struct open_call *open = &p->open[i];
        bool is_reused = open->esp == esp &&
                         (open->caller != walked->frames[0] || (open->function == function && !p->jumps));
        bool is_skipped = walked->sure && open->esp > esp && open->esp < end && !is_walked(walked, open->esp);
        if (is_reused || is_skipped)
            forget_open(p, i);
    }
}

/* The innermost open call of the present stack, or NULL: stacks do not interleave, so it is the nearest one. What the handler
 * of an interrupt does is no part of what it has interrupted. */
static const struct open_call *find_parent(kc *m, const struct walked *walked)
{
    const struct open_call *parent = NULL;
    uint32_t esp = walked->slots[0];

    for (uint32_t i = m->now.open_count; i-- > 0;) {
        const struct open_call *open = &m->now.open[i];
        if (parent && open->esp - esp >= parent->esp - esp)
            continue;
        if (open->esp == esp || is_walked(walked, open->esp) ||
            (!walked->sure && kc_grew_from(m, esp, walked->frames[0], open)))
            parent = open;
    }
    return parent && kc_is_interrupted(m, esp, parent->esp) ? NULL : parent;
}

/* -- events --------------------------------------------------------------------------------------- */

static uint64_t now_ns(const kc *m) { return m->clock_ns + m->executed * m->instruction_ns; }

static uint32_t next_event(kc *m, bool is_exit)
{
    uint32_t event = ++m->now.events;

    if (event == m->stop_event || event == UINT32_MAX) {
        m->event_is_exit = is_exit;
        m->now.stopped_ns = now_ns(m);
        kc_end(m, KC_EVENT);
    }
    return event;
}

static void next_allocation(kc *m, uint32_t stack)
{
    if (stack && m->stacks[stack].passed)
        return;
    m->now.at_allocation = true;
    if (++m->now.allocations == m->stop_allocation) {
        m->event_is_exit = false;
        m->now.stopped_ns = now_ns(m);
        kc_end(m, KC_EVENT);
    }
}

/* Full rows are handed over by the call behind them: the newest call is always there. */
static void make_room(kc *m)
{
    if (m->calls->rows < KC_ROWS)
        return;
    if (m->hand_over)
        python.calls(m->handle);
    if (m->calls->rows == KC_ROWS) /* nobody took them */
        kc_calls_taken(m);
}

void kc_call_entered(kc *m, uint32_t function, uint32_t esp)
{
    const kc_function *f = &m->functions[function];
    kc_calls *c = m->calls;
    uint32_t words[1 + KC_ARGUMENTS];

    m->now.at_allocation = false;
    make_room(m);
    if (m->now.events >= UINT32_MAX - 1) {
        kc_end(m, KC_EVENT);
        return;
    }
    if (!room_for_open(&m->now)) {
        kc_no_memory(m);
        return;
    }
    kc_stack_words(m, esp, words, 1 + KC_ARGUMENTS);
    struct walked *walked = kc_stack_at_entry(m, esp, words[0]);
    forget_abandoned(m, function, walked);
    m->now.jumps = false;
    const struct open_call *parent = find_parent(m, walked);
    uint8_t depth = parent ? (uint8_t)(parent->depth + (parent->depth < UINT8_MAX)) : 0;
    uint32_t call = ++m->now.calls, row = c->rows;

    c->parent[row] = parent ? parent->call : 0;
    c->depth[row] = depth;
    c->function[row] = (uint8_t)function;
    c->entered[row] = next_event(m, false);
    c->time_ns[row] = now_ns(m);
    for (int i = 0; i < f->arguments; i++)
        c->arguments[i][row] = words[1 + i];
    for (int i = f->arguments; i < KC_ARGUMENTS; i++)
        c->arguments[i][row] = 0;
    c->esp[row] = esp;
    c->stack[row] = kc_stack_number(m, walked, call);
    c->left[row] = c->result[row] = c->out[row] = 0;
    c->left_time_ns[row] = 0;
    c->returned[row] = 0;
    if (f->takes)
        next_allocation(m, c->stack[row]);
    m->now.open[m->now.open_count++] =
        (struct open_call){call, esp, words[0], f->out < 0 ? 0 : words[1 + f->out], (uint8_t)function, depth};
    c->rows++;
    if (m->tell_every && --m->until_told == 0) {
        m->until_told = m->tell_every;
        python.entered(m->handle);
    }
}

static void late_return(kc *m, const kc_late *late)
{
    if (m->late_count == m->late_capacity) {
        uint32_t capacity = m->late_capacity ? 2 * m->late_capacity : 16;
        kc_late *list = realloc(m->late, capacity * sizeof *list);
        if (!list) {
            kc_no_memory(m);
            return;
        }
        m->late = list;
        m->late_capacity = capacity;
    }
    m->late[m->late_count++] = *late;
}

static void return_from(kc *m, const struct open_call *open)
{
    kc_calls *c = m->calls;
    kc_late call = {.left_time_ns = now_ns(m), .call = open->call, .left = next_event(m, true), .result = kc_eax(m)};

    if (m->functions[open->function].out >= 0)
        kc_words(m, kc_segment_base(m, DS) + open->out_address, &call.out, 1);
    if (open->call < c->first_call) {
        if (m->hand_over)
            late_return(m, &call);
        return;
    }
    uint32_t row = open->call - c->first_call;
    c->left[row] = call.left;
    c->left_time_ns[row] = call.left_time_ns;
    c->result[row] = call.result;
    c->out[row] = call.out;
    c->returned[row] = 1;
}

void kc_call_left(kc *m, uint32_t esp)
{
    struct progress *p = &m->now;

    for (uint32_t i = p->open_count; i-- > 0;) {
        if (p->open[i].esp != esp)
            continue;
        struct open_call open = p->open[i];
        forget_open(p, i);
        return_from(m, &open);
    }
}

/* -- for Python ----------------------------------------------------------------------------------- */

int kc_record(kc *m, const kc_function *functions, uint32_t count)
{
    kc_probes_stop_recording(m);
    free(m->calls);
    free(m->now.open);
    m->calls = NULL;
    memset(&m->now, 0, sizeof m->now);
    m->late_count = 0;
    if (!count)
        return 0;
    m->calls = calloc(1, sizeof *m->calls);
    if (!m->calls)
        return -1;
    m->calls->first_call = 1;
    memset(m->functions, 0, sizeof m->functions);
    memcpy(m->functions, functions, count * sizeof *functions);
    return 0;
}

const kc_calls *kc_calls_now(kc *m) { return m->calls; }

const kc_late *kc_calls_late(kc *m, uint32_t *count)
{
    *count = m->late_count;
    return m->late;
}

void kc_calls_taken(kc *m)
{
    m->calls->first_call = m->now.calls + 1;
    m->calls->rows = 0;
    m->late_count = 0;
}

void kc_tell_every(kc *m, uint32_t calls) { m->tell_every = m->until_told = calls; }

void kc_calls_hand_over(kc *m, bool yes) { m->hand_over = yes; }

uint32_t kc_events(kc *m) { return m->now.events; }

uint32_t kc_open_calls(kc *m) { return m->now.open_count; }

void kc_clock(kc *m, uint64_t now, uint32_t instruction_ns)
{
    m->clock_ns = now;
    m->instruction_ns = instruction_ns;
}

static void stop_exactly(kc *m)
{
    if (!m->stops_exactly) {
        m->stops_exactly = true;
        kc_flush_code(m);
    }
}

void kc_stop_at_event(kc *m, uint32_t event)
{
    m->stop_event = event;
    if (event)
        stop_exactly(m);
}

uint32_t kc_allocations(kc *m) { return m->now.allocations; }

void kc_stop_at_allocation(kc *m, uint32_t n)
{
    m->stop_allocation = n ? m->now.allocations + n : 0;
    if (n)
        stop_exactly(m);
}

void kc_pass_stack(kc *m, uint32_t stack, bool yes) { m->stacks[stack].passed = yes; }

static bool at_entry(kc *m) { return m->now.reached.identity && m->now.reached.address == kc_pc(m); }

uint32_t kc_at_allocation(kc *m) { return m->now.at_allocation && at_entry(m) ? m->now.allocations : 0; }

int kc_return(kc *m, uint32_t eax)
{
    uint32_t esp = kc_reg(m, UC_X86_REG_ESP), behind = esp + 4, caller;

    if (!at_entry(m))
        return -1;
    m->stop_event = m->stop_allocation = 0; /* no run is there to be ended */
    m->clock_ns = m->now.stopped_ns;        /* it returns at once */
    kc_watch_drop_calls(m);                 /* no model refuses with it */
    U.uc_reg_write(m->uc, UC_X86_REG_EAX, &eax);
    kc_call_left(m, esp);
    kc_stack_words(m, esp, &caller, 1);
    U.uc_reg_write(m->uc, UC_X86_REG_ESP, &behind);
    U.uc_reg_write(m->uc, UC_X86_REG_EIP, &caller);
    m->now.reached.identity = 0;
    m->now.at_allocation = false;
    return 0;
}

/* -- snapshots ------------------------------------------------------------------------------------ */

int kc_progress_copy(struct progress *to, const struct progress *from)
{
    *to = *from;
    to->open_capacity = from->open_count;
    to->open = NULL;
    if (!from->open_count)
        return 0;
    to->open = malloc(from->open_count * sizeof *to->open);
    if (!to->open)
        return -1;
    memcpy(to->open, from->open, from->open_count * sizeof *to->open);
    return 0;
}

/* Rows of calls that have not happened any more are dropped, and those of calls that are open again are so. */
void kc_progress_return(kc *m, const struct progress *to)
{
    kc_calls *c = m->calls;

    if (!c)
        return;
    m->now.events = to->events;
    m->now.calls = to->calls;
    m->now.allocations = to->allocations;
    m->now.reached = to->reached;
    m->now.at_allocation = to->at_allocation;
    m->now.jumps = to->jumps;
    m->now.stopped_ns = to->stopped_ns;
    m->now.open_count = 0;
    for (uint32_t i = 0; i < to->open_count; i++) {
        uint32_t call = to->open[i].call;
        if (!room_for_open(&m->now)) {
            kc_no_memory(m);
            break;
        }
        m->now.open[m->now.open_count++] = to->open[i];
        if (call >= c->first_call)
            c->left[call - c->first_call] = c->returned[call - c->first_call] = 0;
    }
    if (to->calls + 1 < c->first_call)
        c->first_call = to->calls + 1;
    c->rows = to->calls + 1 - c->first_call;
    for (uint32_t i = m->late_count; i-- > 0;)
        if (m->late[i].left > to->events)
            m->late[i] = m->late[--m->late_count];
}

void kc_calls_free(kc *m)
{
    free(m->calls);
    free(m->now.open);
    free(m->late);
}
