/* Stops: in front of which instructions runs end, at breakpoints and at moments.
 *
 * Theory of operation. An instruction at a breakpoint is told before it is executed. For a moment, the block in which it lies is looked up as one of which each
 * instruction is told (KC_TRACKS, definedness.c has it from there): blocks before it are as fast as others. Blocks are as long as they would be otherwise, and a run that has
 * ended in the middle of one goes on with the rest of it (core/run.c): interrupts come where they would have come.
 *
 * Python is asked in the middle of the block, so that a condition that does not hold costs a call and no start of the engine.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/run.h"
#include "observe/definedness.h"
#include "observe/stops.h"
#include "observe/watchpoints.h"
#include "unicorn/counting.h"
#include "unicorn/delivery.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"
#include "unicorn/state.h"

enum { SLOTS = 256 };

struct breakpoint {
    struct breakpoint *next; /* at the same hash */
    uint32_t address, number;
    bool asks;
};

struct stops {
    struct breakpoint *slots[SLOTS];
    uint32_t added, count;
    int mode; /* enum kc_stopping */
    kc_moment notes_before;
    uint64_t steps;  /* instructions that may still begin; 0: any number */
    kc_moment begun; /* the newest of them */
    bool settles;    /* the next instruction ends the run, whatever it is */
    bool is_asking;
    kc_moment here;    /* while Python is asked */
    uint32_t reached;  /* the newest breakpoint, and when */
    kc_moment reached_at;
    kc_position *trail; /* the newest instructions, in a ring; NULL: they are not kept */
    uint32_t trail_size;
    uint64_t trail_count;
};

static struct breakpoint **slot_of(const kc *m, uint32_t address) { return &m->stops->slots[address * 2654435761u >> 24]; }

static const struct breakpoint *first_at(const struct breakpoint *b, uint32_t address)
{
    while (b && b->address != address)
        b = b->next;
    return b;
}

bool kc_breaks_at(const kc *m, uint32_t linear)
{
    return m && m->stops->count && first_at(*slot_of(m, linear), linear);
}

/* Does a stop count, where the machine is now? */
static bool counts(kc *m, uint32_t number, bool asks)
{
    struct stops *s = m->stops;

    if (s->mode == KC_IGNORES || (s->mode == KC_NOTES && !kc_is_later(&s->notes_before, &s->here)))
        return false;
    if (!asks)
        return true;
    s->is_asking = true;
    bool yes = python.stops(m->handle, number);
    s->is_asking = false;
    return yes;
}

/* Is there a breakpoint that counts at an instruction? */
static bool breaks(kc *m, uint32_t linear, kc_moment here, uintptr_t host_pc)
{
    struct stops *s = m->stops;
    bool any = false;

    s->here = here;
    for (const struct breakpoint *b = s->count && s->mode != KC_IGNORES ? *slot_of(m, linear) : NULL; b; b = b->next) {
        if (b->address != linear)
            continue;
        kc_restore_eip(m, host_pc);
        if (!counts(m, b->number, b->asks))
            continue;
        s->reached = b->number;
        s->reached_at = here;
        any = true;
    }
    return any && s->mode == KC_STOPS;
}

static void note_position(kc *m, uint32_t linear, kc_moment here)
{
    struct stops *s = m->stops;
    kc_position *newest = s->trail_count ? &s->trail[(s->trail_count - 1) % s->trail_size] : NULL;

    if (newest && !kc_is_later(&here, &newest->moment)) /* it comes again */
        s->trail_count--;
    s->trail[s->trail_count++ % s->trail_size] = (kc_position){here, linear, kc_esp(m), kc_begins_handler(m, &here), 0};
}

/* Have accesses been made since the last instruction that end the run? */
static bool has_watched(kc *m, kc_moment here, uintptr_t host_pc)
{
    struct stops *s = m->stops;

    kc_restore_eip(m, host_pc);
    s->here = here;
    uint32_t reached = kc_watchpoint_due(m, &here, counts);
    if (reached) {
        s->reached = reached;
        s->reached_at = here;
    }
    return reached && s->mode == KC_STOPS;
}

/* Has the last instruction that may begin done so before this one? */
static bool is_last_step(kc *m, kc_moment here)
{
    struct stops *s = m->stops;

    if (!s->steps || !kc_is_later(&here, &s->begun))
        return false;
    s->begun = here;
    return --s->steps == 0;
}

static bool is_stop(kc *m, uint32_t linear, kc_moment here, uintptr_t host_pc)
{
    bool is_last = is_last_step(m, here);

    return breaks(m, linear, here, host_pc) || is_last || kc_is_stop(m, &here);
}

__attribute__((noinline)) void kc_on_told(kc *m, uint32_t linear, uint32_t before, uintptr_t host_pc)
{
    uint64_t end = kc_count(m), count = end - kc_last_block(m).count + before;
    bool is_told = kc_tracks(m), follows = is_told && kc_follows_values(m, before == 0);
    kc_moment here = kc_moment_at(m, count);

    if (is_told)
        kc_end_rest(m, count, before == 0, host_pc);
    if (is_told && m->stops->trail)
        note_position(m, linear, here);
    bool settles = m->stops->settles, has_hit = !settles && kc_is_due(m, &here) && has_watched(m, here, host_pc);
    bool is_new = !settles && !kc_is_passed(m, &here) && is_stop(m, linear, here, host_pc);
    if (kc_run_goes_on(m) && (settles || has_hit || is_new)) {
        kc_restore_eip(m, host_pc);
        kc_end_before(m, KC_STOP, host_pc);
    }
    if (is_told && !follows && before == 0 && !kc_has_to_be_told(m, end)) {
        kc_track(m, false);
        kc_restore_eip(m, host_pc);
        kc_restart_instruction(m, host_pc);
    }
    if (follows)
        kc_follow_values(m, linear, host_pc);
}

void kc_moment_now(const kc *m, kc_moment *out) { *out = m->stops->is_asking ? m->stops->here : kc_moment_at(m, 0); }

int32_t kc_breakpoint_add(kc *m, uint32_t address, bool asks)
{
    struct breakpoint *b = malloc(sizeof *b), **slot = slot_of(m, address);

    if (!b)
        return -1;
    *b = (struct breakpoint){*slot, address, ++m->stops->added, asks};
    *slot = b;
    m->stops->count++;
    kc_flush_code(m);
    return (int32_t)b->number;
}

bool kc_breakpoint_remove(kc *m, uint32_t number)
{
    for (int i = 0; i < SLOTS; i++)
        for (struct breakpoint **at = &m->stops->slots[i], *b; (b = *at); at = &b->next) {
            if (b->number != number)
                continue;
            *at = b->next;
            free(b);
            m->stops->count--;
            kc_flush_code(m);
            return true;
        }
    return false;
}

void kc_stop_after(kc *m, uint64_t instructions)
{
    m->stops->steps = instructions;
    m->stops->begun = kc_moment_at(m, 0);
    kc_tell_all(m, instructions || m->stops->trail);
}

void kc_settle(kc *m, bool yes)
{
    m->stops->settles = yes;
    kc_tell_all(m, yes || m->stops->steps || m->stops->trail);
}

uint64_t kc_steps_left(const kc *m) { return m->stops->steps; }

void kc_stopping(kc *m, int mode, const kc_moment *notes_before)
{
    m->stops->mode = mode;
    m->stops->notes_before = *notes_before;
    m->stops->reached = 0;
}

uint32_t kc_breakpoint_reached(const kc *m, kc_moment *when)
{
    *when = m->stops->reached_at;
    return m->stops->reached;
}

/* -- the trail ----------------------------------------------------------------------------------- */

bool kc_trail_open(kc *m, uint32_t size)
{
    struct stops *s = m->stops;

    kc_trail_close(m);
    s->trail = malloc(size * sizeof *s->trail);
    s->trail_size = size;
    s->trail_count = 0;
    kc_tell_all(m, s->steps || s->trail);
    return s->trail;
}

void kc_trail_close(kc *m)
{
    free(m->stops->trail);
    m->stops->trail = NULL;
    kc_tell_all(m, m->stops->steps);
}

uint32_t kc_trail(const kc *m, kc_position *out)
{
    const struct stops *s = m->stops;
    uint32_t count = s->trail_count < s->trail_size ? (uint32_t)s->trail_count : s->trail_size;

    for (uint32_t i = 0; i < count; i++)
        out[i] = s->trail[(s->trail_count - count + i) % s->trail_size];
    return count;
}

/* -- life ---------------------------------------------------------------------------------------- */

int kc_stops_init(kc *m) { return KC_NEW(m->stops); }

void kc_stops_free(kc *m)
{
    for (int i = 0; m->stops && i < SLOTS; i++)
        for (struct breakpoint *b = m->stops->slots[i], *next; b; b = next) {
            next = b->next;
            free(b);
        }
    if (m->stops)
        free(m->stops->trail);
    free(m->stops);
}

_Static_assert(SLOTS == 1 << (32 - 24), "slot_of() takes the upper 8 bits");
