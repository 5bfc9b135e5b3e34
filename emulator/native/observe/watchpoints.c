/* Watchpoints: the last write to a few bytes of memory, and those that changed them, and where the kernel was then. */
#include <stdlib.h>
#include <string.h>

#include "core/ram.h"
#include "core/reports.h"
#include "core/windows.h"
#include "observe/watchpoints.h"
#include "record/stack_numbers.h"
#include "record/unwinding.h"
#include "unicorn/state.h"

enum { ACCESS_MAX = 16 }; /* bytes; no access is longer */

struct watchpoint {
    struct watchpoint *next;
    kc *machine;
    uc_hook hook;
    uint32_t number, at, size;
    kc_writes writes;
};

struct watchpoints {
    struct watchpoint *first;
    uint32_t opened;
};

static uint32_t watched_bytes(const struct watchpoint *w)
{
    uint32_t value = 0;

    if ((uint64_t)w->at + w->size <= w->machine->memory_end)
        memcpy(&value, kc_at(w->machine, w->at), w->size);
    return value;
}

/* Before the write: what the watched bytes will be, which the access may cover in part. */
static uint32_t bytes_after(const struct watchpoint *w, uint32_t address, uint32_t size, uint64_t value)
{
    uint32_t after = watched_bytes(w);

    for (uint32_t i = 0; i < size && i < sizeof value; i++)
        if (address + i - w->at < w->size)
            memcpy((uint8_t *)&after + (address + i - w->at), (const uint8_t *)&value + i, 1);
    return after;
}

/* The guest is at the instruction that makes the watched bytes what they will be. */
static void note(struct watchpoint *w, uint32_t after)
{
    kc *m = w->machine;
    uint32_t eip = kc_reg(m, UC_X86_REG_EIP);

    w->writes.last = (kc_write){
        .eip = eip,
        .pc = kc_pc(m),
        .event = kc_events(m),
        .before = watched_bytes(w),
        .after = after,
        .stack = kc_stack_of_other(m, kc_stack_at(m, eip)),
        .count = w->writes.last.count + 1,
    };
    if (w->writes.last.before == w->writes.last.after)
        return;
    w->writes.last_change = w->writes.last;
    if (!w->writes.first_change.count)
        w->writes.first_change = w->writes.last;
}

static void on_write(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value, void *data)
{
    struct watchpoint *w = data;
    (void)uc, (void)type;

    if (address + (uint64_t)size > w->at && address < (uint64_t)w->at + w->size)
        note(w, bytes_after(w, (uint32_t)address, (uint32_t)size, (uint64_t)value));
}

void kc_on_dma(kc *m, uint64_t physical, const uint8_t *bytes, uint32_t size)
{
    for (struct watchpoint *w = m->watchpoints->first; w; w = w->next) {
        uint32_t after = watched_bytes(w);
        if (physical + size <= w->at || physical >= (uint64_t)w->at + w->size)
            continue;
        for (uint32_t i = 0; i < w->size; i++)
            if (w->at + i >= physical && w->at + i < physical + size)
                ((uint8_t *)&after)[i] = bytes[w->at + i - physical];
        note(w, after);
    }
}

int32_t kc_watchpoint_open(kc *m, uint32_t physical, uint32_t size)
{
    uint64_t first = physical < ACCESS_MAX ? 0 : physical - (ACCESS_MAX - 1);

    if (size < 1 || size > sizeof(uint32_t))
        return -UC_ERR_ARG;
    struct watchpoint *w = calloc(1, sizeof *w);
    if (!w)
        return -UC_ERR_NOMEM;
    w->machine = m;
    w->at = physical;
    w->size = size;
    int error = U.uc_hook_add(m->uc, &w->hook, UC_HOOK_MEM_WRITE, (void *)on_write, w, first, (uint64_t)physical + size - 1);
    if (error) {
        free(w);
        return -error;
    }
    w->number = ++m->watchpoints->opened;
    w->next = m->watchpoints->first;
    m->watchpoints->first = w;
    kc_windows_suspend(m, true);
    kc_flush_tlb(m);
    return (int32_t)w->number;
}

bool kc_watchpoint_writes(const kc *m, uint32_t number, kc_writes *out)
{
    for (const struct watchpoint *w = m->watchpoints->first; w; w = w->next)
        if (w->number == number) {
            *out = w->writes;
            return true;
        }
    return false;
}

void kc_watchpoint_close(kc *m, uint32_t number)
{
    for (struct watchpoint **at = &m->watchpoints->first, *w; (w = *at); at = &w->next) {
        if (w->number != number)
            continue;
        *at = w->next;
        kc_windows_suspend(m, false);
        kc_unhook(m, w->hook);
        free(w);
        return;
    }
}

int kc_watchpoints_init(kc *m) { return KC_NEW(m->watchpoints); }

void kc_watchpoints_free(kc *m)
{
    for (struct watchpoint *w = m->watchpoints ? m->watchpoints->first : NULL, *next; w; w = next) {
        next = w->next;
        free(w);
    }
    free(m->watchpoints);
}
