/* What ends a run from outside: the host's clock, and signals. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "core/limits.h"
#include "unicorn/engine.h"

struct watchdog {
    kc *machine;
    uint64_t deadline_ns;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool over;
};

#define NUDGE_NS 10000000u /* a stop that falls between two runs of the engine is lost: ask again */

uint64_t kc_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *watchdog_main(void *data)
{
    struct watchdog *dog = data;
    uint64_t wake = dog->deadline_ns;

    pthread_mutex_lock(&dog->lock);
    while (!dog->over) {
        struct timespec until = {(time_t)(wake / 1000000000u), (long)(wake % 1000000000u)};
        pthread_cond_timedwait(&dog->changed, &dog->lock, &until);
        if (!dog->over && kc_now_ns() >= dog->deadline_ns) {
            dog->machine->limits->timed_out = 1;
            kc_engine_stop(dog->machine);
            wake = kc_now_ns() + NUDGE_NS;
        }
    }
    pthread_mutex_unlock(&dog->lock);
    return NULL;
}

/* Start the watchdog's thread. */
static int watch(kc *m)
{
    struct watchdog *dog = m->limits->watchdog;
    pthread_condattr_t monotonic;

    pthread_mutex_init(&dog->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&dog->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&dog->thread, NULL, watchdog_main, dog) == 0)
        return 0;
    m->limits->watchdog = NULL;
    free(dog);
    return -1;
}

int kc_time_limit(kc *m, double seconds)
{
    struct watchdog *dog = m->limits->watchdog ? NULL : calloc(1, sizeof *dog);

    if (!dog)
        return -1;
    dog->machine = m;
    dog->deadline_ns = kc_now_ns() + (uint64_t)(seconds * 1e9);
    m->limits->watchdog = dog;
    return watch(m);
}

int kc_time_goes_on(kc *m) { return m->limits->watchdog ? watch(m) : 0; }

void kc_time_unlimited(kc *m)
{
    struct watchdog *dog = m->limits->watchdog;

    if (!dog)
        return;
    pthread_mutex_lock(&dog->lock);
    dog->over = true;
    pthread_cond_signal(&dog->changed);
    pthread_mutex_unlock(&dog->lock);
    pthread_join(dog->thread, NULL);
    pthread_cond_destroy(&dog->changed);
    pthread_mutex_destroy(&dog->lock);
    free(dog);
    m->limits->watchdog = NULL;
    m->limits->timed_out = 0;
}

/* Python's own handler only sets a flag that is looked at when Python code runs again, and a running machine gives it
 * no chance: so the machines are stopped first, then Python's handler is called. */
#define RUNNING_MAX 16
static kc *volatile running[RUNNING_MAX];
static int handling; /* how many threads are in on_signal() */
static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
#define ENDING_MAX (sizeof ending / sizeof *ending)
static struct sigaction pythons[ENDING_MAX];
static int holding;                /* how many machines hold signals back */
static int held;                   /* the signal that waits until none does */
#define LET_THROUGH (-1)           /* a second one came meanwhile and was not held back */

/* Whether a signal has to wait: the first one does. */
static bool is_held(int signal)
{
    return __atomic_load_n(&holding, __ATOMIC_SEQ_CST) &&
           !__atomic_exchange_n(&held, __atomic_load_n(&held, __ATOMIC_SEQ_CST) ? LET_THROUGH : signal, __ATOMIC_SEQ_CST);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    const struct sigaction *python = pythons;

    __atomic_add_fetch(&handling, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < RUNNING_MAX; i++) {
        kc *m = __atomic_load_n(&running[i], __ATOMIC_SEQ_CST);
        if (m) {
            m->limits->interrupted = 1;
            kc_engine_stop(m);
        }
    }
    for (size_t i = 0; i < ENDING_MAX; i++)
        if (ending[i] == signal)
            python = &pythons[i];
    if (is_held(signal))
        ; /* kc_signals_release() raises it again */
    else if (python->sa_flags & SA_SIGINFO)
        python->sa_sigaction(signal, info, context);
    else
        python->sa_handler(signal);
    __atomic_sub_fetch(&handling, 1, __ATOMIC_SEQ_CST);
}

unsigned kc_signals_take(void)
{
    struct sigaction ours = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO}, old;
    unsigned taken = 0;

    for (size_t i = 0; i < ENDING_MAX; i++) {
        sigaction(ending[i], NULL, &old);
        bool is_ours = (old.sa_flags & SA_SIGINFO) && old.sa_sigaction == on_signal;
        bool nobody = !(old.sa_flags & SA_SIGINFO) && (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN);
        if (is_ours || nobody)
            continue;
        pythons[i] = old;
        sigaction(ending[i], &ours, NULL);
        taken |= 1U << i;
    }
    return taken;
}

void kc_run_mark(kc *m, bool start)
{
    for (int i = 0; i < RUNNING_MAX; i++)
        if (running[i] == (start ? NULL : m)) {
            __atomic_store_n(&running[i], start ? m : NULL, __ATOMIC_SEQ_CST);
            break;
        }
    /* Another thread may have taken a signal for this run and not yet called Python's handler, which would run once more. */
    while (!start && __atomic_load_n(&handling, __ATOMIC_SEQ_CST))
        sched_yield();
}

void kc_signals_give_back(unsigned taken)
{
    for (size_t i = 0; i < ENDING_MAX; i++)
        if (taken >> i & 1)
            sigaction(ending[i], &pythons[i], NULL);
}

void kc_signals_hold(kc *m)
{
    if (m->limits->holds)
        return;
    m->limits->holds = true;
    m->limits->taken = kc_signals_take();
    __atomic_add_fetch(&holding, 1, __ATOMIC_SEQ_CST);
}

void kc_signals_release(kc *m)
{
    if (!m->limits->holds)
        return;
    m->limits->holds = false;
    int number = __atomic_sub_fetch(&holding, 1, __ATOMIC_SEQ_CST) ? 0 : __atomic_exchange_n(&held, 0, __ATOMIC_SEQ_CST);
    kc_signals_give_back(m->limits->taken);
    if (number > 0)
        raise(number);
}

void kc_interruption_taken(kc *m) { m->limits->interrupted = 0; }

int kc_limits_init(kc *m) { return KC_NEW(m->limits); }

void kc_limits_free(kc *m) { free(m->limits); }
