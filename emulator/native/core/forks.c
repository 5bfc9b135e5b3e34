/* fork(): the child's machines have memory of their own.
 *
 * Theory of operation. RAM and its shadow are shared mappings, which a child would share with its parent. So the parent copies their files
 * before it forks, holes excepted, and the child maps the copies where the files were. Its windows are empty, its snapshots see the first write
 * to each page again. A child that executes another program, as vfork() and posix_spawn() make it, needs none of that.
 *
 * Shortcomings. A machine that another thread runs is of no use in the child, as is all that belongs to other threads. Where the host has no
 * memory for the copy, no machine runs in the child any more.
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/forks.h"
#include "core/host_faults.h"
#include "core/limits.h"
#include "core/ram.h"
#include "core/shadow.h"
#include "core/windows.h"

static kc *machines;
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER; /* held while the process forks */

static void before_fork(void)
{
    pthread_mutex_lock(&changing);
    kc_host_faults_hold(true);
    for (kc *m = machines; m; m = m->forks->next) {
        m->forks->ram = kc_copy_file(kc_ram_file(m));
        m->forks->shadow = kc_has_shadow(m) ? kc_copy_file(kc_shadow_file(m)) : -1;
    }
}

static void goes_on(void)
{
    kc_host_faults_hold(false);
    pthread_mutex_unlock(&changing);
}

static void in_parent(void)
{
    for (kc *m = machines; m; m = m->forks->next) {
        if (m->forks->ram >= 0)
            close(m->forks->ram);
        if (m->forks->shadow >= 0)
            close(m->forks->shadow);
    }
    goes_on();
}

static void in_child(void)
{
    for (kc *m = machines; m; m = m->forks->next) {
        kc_windows_forget(m);
        bool is_whole = !kc_ram_replace(m, m->forks->ram);
        if (kc_has_shadow(m))
            is_whole &= !kc_shadow_replace(m, m->forks->shadow);
        if (!is_whole || kc_time_goes_on(m))
            kc_no_memory(m);
    }
    goes_on();
}

int kc_forks_init(kc *m)
{
    static bool is_told;
    int error;

    if (KC_NEW(m->forks))
        return -1;
    pthread_mutex_lock(&changing);
    error = is_told ? 0 : pthread_atfork(before_fork, in_parent, in_child);
    is_told |= !error;
    m->forks->next = machines;
    machines = m;
    pthread_mutex_unlock(&changing);
    return error ? -1 : 0;
}

void kc_forks_free(kc *m)
{
    kc **link = &machines;

    if (!m->forks)
        return;
    pthread_mutex_lock(&changing);
    while (*link != m)
        link = &(*link)->forks->next;
    *link = m->forks->next;
    pthread_mutex_unlock(&changing);
    free(m->forks);
}
