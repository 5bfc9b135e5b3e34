/* SIGSEGV: the host's memory that is protected on purpose.
 *
 * Theory of operation. Pages of RAM and of windows (snapshots.c, windows.c) are protected so that an access to them is noticed. Such a
 * fault comes from one instruction, in translated code, in the engine, in Python: never from inside of the C library's allocator,
 * which has none of that memory. So whatever is needed may be called from the handler, and it may be left by a jump, as the
 * engine leaves translated code. All other faults go to whoever handled SIGSEGV before.
 *
 * The handler runs on the stack of the thread that it interrupts: what it calls may need more than an alternate stack has.
 *
 * Shortcomings. Of a thread whose stack is full no handler is called, so that Python's faulthandler prints nothing then. Who
 * handles SIGSEGV from some moment on, as faulthandler.enable() does, gets the faults of memory too, until the next run, snapshot or reset.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "core/host_faults.h"
#include "core/windows.h"
#include "unicorn/fast_accesses.h"

/* A handler in another thread may look at them: `size` is written last, and cleared first. */
enum { RANGES_MAX = 4096 };
static struct guarded {
    kc *machine; /* NULL: it belongs to none */
    kc_on_host_fault *on_fault;
    uintptr_t start;
    uint64_t size;
} ranges[RANGES_MAX];
static int used; /* no range from there on was ever given away */
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;

/* Who handled SIGSEGV before is found again and again: others take it from us, and are taken it from. Each time that is a handler of our own,
 * so that one that gives the signal back, or raises it for the one that it has found, comes to those before itself. */
enum { LEVELS = 8 };
static struct sigaction before[LEVELS];

static bool is_dealt_with(uintptr_t address, void *context)
{
    for (int i = 0; i < __atomic_load_n(&used, __ATOMIC_ACQUIRE); i++)
        if (address - ranges[i].start < __atomic_load_n(&ranges[i].size, __ATOMIC_ACQUIRE))
            return ranges[i].on_fault(ranges[i].machine, address, context);
    return false;
}

/* It is not ours. */
static void pass_on(int level, int signal, siginfo_t *info, void *context)
{
    const struct sigaction *next = &before[level];
    bool is_sent = info->si_code <= 0;

    if (next->sa_flags & SA_SIGINFO) {
        next->sa_sigaction(signal, info, context);
    } else if (next->sa_handler != SIG_DFL && next->sa_handler != SIG_IGN) {
        next->sa_handler(signal);
    } else if (!is_sent || next->sa_handler == SIG_DFL) {
        sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
        if (is_sent)
            raise(signal); /* others come again */
    }
}

static void on_fault(int level, int signal, siginfo_t *info, void *context)
{
    int saved = errno;

    uintptr_t at = (uintptr_t)info->si_addr;
    bool is_of_poison = info->si_code == SI_KERNEL || at - KC_POISONED_AT < KC_POISONED_SIZE || at >= KC_LINUX_AT;
    if (info->si_code > 0 && (is_of_poison ? kc_windows_on_poison(context) : is_dealt_with(at, context))) {
        errno = saved;
        return;
    }
    pass_on(level, signal, info, context);
}

#define LEVEL(number) \
    static void on_fault_##number(int signal, siginfo_t *info, void *context) { on_fault(number, signal, info, context); }
LEVEL(0) LEVEL(1) LEVEL(2) LEVEL(3) LEVEL(4) LEVEL(5) LEVEL(6) LEVEL(7)
static void (*const handlers[LEVELS])(int, siginfo_t *, void *) = {on_fault_0, on_fault_1, on_fault_2, on_fault_3,
                                                                   on_fault_4, on_fault_5, on_fault_6, on_fault_7};

static bool is_same(const struct sigaction *a, const struct sigaction *b)
{
    return (a->sa_flags & SA_SIGINFO) == (b->sa_flags & SA_SIGINFO) &&
           (a->sa_flags & SA_SIGINFO ? a->sa_sigaction == b->sa_sigaction : a->sa_handler == b->sa_handler);
}

void kc_host_faults_take(void)
{
    static int top = -1; /* of the levels in use */
    struct sigaction ours = {.sa_flags = SA_SIGINFO | SA_NODEFER}, now;
    int level = 0;

    sigaction(SIGSEGV, NULL, &now);
    for (int i = 0; i < LEVELS; i++)
        if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == handlers[i])
            return;
    while (level <= top && !is_same(&before[level], &now))
        level++;
    level = level < LEVELS ? level : LEVELS - 1;
    top = level > top ? level : top;
    before[level] = now;
    ours.sa_sigaction = handlers[level];
    sigaction(SIGSEGV, &ours, NULL);
}

int kc_host_faults_add(kc *m, const void *start, uint64_t size, kc_on_host_fault *callback)
{
    int i = 0;

    pthread_mutex_lock(&changing);
    while (i < used && ranges[i].machine)
        i++;
    if (i < RANGES_MAX) {
        ranges[i].machine = m;
        ranges[i].on_fault = callback;
        ranges[i].start = (uintptr_t)start;
        __atomic_store_n(&ranges[i].size, size, __ATOMIC_RELEASE);
        if (i == used)
            __atomic_store_n(&used, used + 1, __ATOMIC_RELEASE);
        kc_host_faults_take();
    }
    pthread_mutex_unlock(&changing);
    return i < RANGES_MAX ? 0 : -1;
}

void kc_host_faults_hold(bool yes)
{
    if (yes)
        pthread_mutex_lock(&changing);
    else
        pthread_mutex_unlock(&changing);
}

static void drop(kc *m, const void *start)
{
    pthread_mutex_lock(&changing);
    for (int i = 0; i < used; i++)
        if (ranges[i].machine == m && (!start || ranges[i].start == (uintptr_t)start)) {
            __atomic_store_n(&ranges[i].size, 0, __ATOMIC_RELEASE);
            ranges[i].machine = NULL;
        }
    pthread_mutex_unlock(&changing);
}

void kc_host_faults_drop(kc *m) { drop(m, NULL); }

void kc_host_faults_drop_at(kc *m, const void *start) { drop(m, start); }
