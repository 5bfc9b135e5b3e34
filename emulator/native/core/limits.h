/* What ends a run from outside: the host's clock, and signals. */
#ifndef KMEMU_LIMITS_H
#define KMEMU_LIMITS_H

#include <signal.h>

#include "core/run.h"

struct limits {
    volatile sig_atomic_t interrupted, timed_out; /* written by signal handlers and the watchdog's thread */
    struct watchdog *watchdog;
    bool holds;     /* signals back, which it has taken: */
    unsigned taken; /* see kc_signals_take() */
};

int kc_limits_init(kc *m);
void kc_limits_free(kc *m);

uint64_t kc_now_ns(void);
/* In the child of a fork: a limit that counts is watched by a thread of its own. -1: the host lacks something. */
int kc_time_goes_on(kc *m);
/* While machines run, SIGINT, SIGTERM and SIGHUP stop them before Python hears of it, as far as Python handles them. Returns
 * those that are now ours, a bit each; 0 also where it is done already. */
unsigned kc_signals_take(void);
void kc_signals_give_back(unsigned taken);
void kc_run_mark(kc *m, bool start);

/* KC_INTERRUPTED, KC_TIME, or KC_RUNNING: nothing has come from outside. */
static inline enum kc_reason kc_called_off(const kc *m)
{
    return m->limits->interrupted ? KC_INTERRUPTED : m->limits->timed_out ? KC_TIME : KC_RUNNING;
}

#endif
