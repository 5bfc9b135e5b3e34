/* Virtual time: `instruction_ns` an instruction, and a jump to the next tick where the CPU waits (docs/decisions/0006).
 *
 * A timer that raises an interrupt line at a fixed rate ticks here, without Python. What sets its rate is a device of Python's; so
 * are timers that do more than raise a line, of which only the earliest tick is known here.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/pic.h"
#include "core/run.h"
#include "unicorn/counting.h"

enum { NS_PER_S = 1000000000, DEFAULT_INSTRUCTION_NS = 10 };

/* What a snapshot keeps. */
struct time {
    uint64_t past_ns; /* at the start of the present run */
    uint64_t past;    /* instructions of all runs before it */
    kc_timer timers[KC_TIMERS];
};

struct clock {
    struct time time;
    uint64_t waited_ns; /* in hlt */
    uint64_t due_ns; /* the next tick of a timer of Python's; UINT64_MAX: never */
    uint32_t instruction_ns;
};

uint64_t kc_clock_at(const kc *m, uint64_t done) { return m->clock->time.past_ns + done * m->clock->instruction_ns; }

uint64_t kc_clock_ns(const kc *m) { return kc_clock_at(m, kc_count(m)); }

/* -- ticks ------------------------------------------------------------------------------------- */

static uint64_t tick_ns(const kc_timer *timer, uint64_t number)
{
    unsigned __int128 clocks = (unsigned __int128)timer->clocks * number;

    return timer->start_ns + (uint64_t)((clocks * NS_PER_S + timer->frequency - 1) / timer->frequency);
}

/* When a timer ticks next. */
static uint64_t next_ns(const kc_timer *timer)
{
    return !timer->clocks || (timer->ticks && !timer->periodic) ? UINT64_MAX : tick_ns(timer, timer->ticks + 1);
}

/* Count the ticks up to now. False: there was none. */
static bool take_ticks(kc_timer *timer, uint64_t now)
{
    if (next_ns(timer) > now)
        return false;
    unsigned __int128 clocks = (unsigned __int128)(now + 1 - timer->start_ns) * timer->frequency / NS_PER_S;
    uint64_t total = timer->periodic ? (uint64_t)(clocks / timer->clocks) : 1;
    timer->ticks = total > timer->ticks ? total : timer->ticks + 1;
    return true;
}

static void tick(kc *m)
{
    uint64_t now = kc_clock_ns(m);

    for (int i = 0; i < KC_TIMERS; i++) {
        kc_timer *timer = &m->clock->time.timers[i];
        if (take_ticks(timer, now))
            kc_pic_request(m, timer->line);
    }
}

bool kc_clock_tick(kc *m)
{
    tick(m);
    return m->clock->due_ns <= kc_clock_ns(m);
}

void kc_clock_tick_waiting(kc *m)
{
    uint64_t now = kc_clock_ns(m);

    for (int i = 0; i < KC_TIMERS; i++)
        if (kc_pic_is_requested(m, m->clock->time.timers[i].line))
            take_ticks(&m->clock->time.timers[i], now);
}

uint64_t kc_clock_count_at(const kc *m, uint64_t ns)
{
    const struct clock *c = m->clock;

    if (ns <= c->time.past_ns)
        return 0;
    return ns == UINT64_MAX ? ns : (ns - c->time.past_ns + c->instruction_ns - 1) / c->instruction_ns;
}

uint64_t kc_clock_due(const kc *m)
{
    const struct clock *c = m->clock;
    uint64_t due = c->due_ns;

    for (int i = 0; i < KC_TIMERS; i++) {
        const kc_timer *timer = &c->time.timers[i];
        uint64_t at = kc_pic_is_requested(m, timer->line) ? UINT64_MAX : next_ns(timer); /* no tick is noticed while one waits */
        due = at < due ? at : due;
    }
    return kc_clock_count_at(m, due);
}

/* -- waiting ----------------------------------------------------------------------------------- */

uint64_t kc_clock_next_wake(const kc *m)
{
    uint64_t due = UINT64_MAX;

    for (int i = 0; i < KC_TIMERS; i++) {
        const kc_timer *timer = &m->clock->time.timers[i];
        uint64_t at = kc_pic_is_masked(m, timer->line) ? UINT64_MAX : next_ns(timer);
        due = at < due ? at : due;
    }
    return due;
}

void kc_clock_skip_to(kc *m, uint64_t at)
{
    uint64_t now = kc_clock_ns(m);

    if (at > now) {
        m->clock->time.past_ns += at - now;
        m->clock->waited_ns += at - now;
    }
    tick(m);
}

bool kc_clock_skip(kc *m)
{
    uint64_t due = kc_clock_next_wake(m);

    if (m->clock->due_ns != UINT64_MAX && m->clock->due_ns <= due)
        return false;
    if (due != UINT64_MAX)
        kc_clock_skip_to(m, due);
    return true;
}

/* -- for Python -------------------------------------------------------------------------------- */

void kc_clock_rate(kc *m, uint32_t instruction_ns) { m->clock->instruction_ns = instruction_ns; }

bool kc_clock_ran(kc *m, uint64_t instructions)
{
    m->clock->time.past += instructions;
    m->clock->time.past_ns += instructions * m->clock->instruction_ns;
    if (kc_stands_in_block(m)) /* a run that is not ended here has no tick before the block's end */
        return false;
    tick(m);
    return true;
}

uint64_t kc_clock_past(const kc *m) { return m->clock->time.past; }

uint64_t kc_clock_waited(const kc *m) { return m->clock->waited_ns; }

void kc_clock_limit(kc *m, uint64_t due_ns)
{
    m->clock->due_ns = due_ns;
    kc_look_soon(m);
}

void kc_timer_set(kc *m, int number, const kc_timer *timer)
{
    m->clock->time.timers[number] = *timer;
    kc_look_soon(m);
}

/* -- life, snapshots --------------------------------------------------------------------------- */

int kc_clock_save(kc *m, void **out)
{
    struct time *saved = malloc(sizeof *saved);

    if (!saved)
        return -1;
    *saved = m->clock->time;
    *out = saved;
    return 0;
}

int kc_clock_restore(kc *m, const void *saved)
{
    m->clock->time = *(const struct time *)saved;
    return 0;
}

int kc_clock_init(kc *m)
{
    if (KC_NEW(m->clock))
        return -1;
    m->clock->instruction_ns = DEFAULT_INSTRUCTION_NS;
    m->clock->due_ns = UINT64_MAX;
    return 0;
}

void kc_clock_free(kc *m) { free(m->clock); }
