/* Virtual time, and timers that need no device model to tick. */
#ifndef KMEMU_CLOCK_H
#define KMEMU_CLOCK_H

#include "machine.h"

int kc_clock_init(kc *m);
void kc_clock_free(kc *m);
int kc_clock_save(kc *m, void **saved);
int kc_clock_restore(kc *m, const void *saved);

/* Let timers tick that are due. True: so is a timer of Python's. */
bool kc_clock_tick(kc *m);
/* The same of the timers whose line waits already: what they ask for is there before somebody looks at the line, or serves it. */
void kc_clock_tick_waiting(kc *m);
/* How many instructions of this run there will be when the next timer is due. */
uint64_t kc_clock_due(const kc *m);
/* How many instructions of this run there will be at a time, 0 if it is over. */
uint64_t kc_clock_count_at(const kc *m, uint64_t ns);
/* The CPU waits: jump to the next tick that can wake it. False: that is Python's to find out. */
bool kc_clock_skip(kc *m);
/* Nanoseconds before the instruction that is executed; `done` are the instructions of this run before it. */
uint64_t kc_clock_at(const kc *m, uint64_t done);

/* A timer that raises a line at start_ns + n * clocks / frequency for n = 1 (if it is periodic: 1, 2 ...), rounded up to
 * nanoseconds; clocks 0: it is off. `ticks` of these have come. */
typedef struct {
    uint64_t start_ns, ticks;
    uint32_t clocks, frequency, line;
    bool periodic;
} kc_timer;
enum { KC_PIT_TIMER, KC_TIMERS };
void kc_timer_set(kc *m, int number, const kc_timer *timer);

/* Instructions of all runs before the present one. */
uint64_t kc_clock_past(const kc *m);

#endif
