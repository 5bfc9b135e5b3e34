/* Step logs: each instruction of a run, and what it loads and stores. */
#include <stdlib.h>
#include <string.h>

#include "core/kasan.h"
#include "core/ram.h"
#include "core/run.h"
#include "core/windows.h"
#include "observe/step_logs.h"
#include "unicorn/engine.h"

struct step_log {
    struct step_log *next;
    const kc *machine;
    uc_hook instructions, accesses;
    uint32_t number, count, limit;
    kc_step steps[];
};

struct step_logs {
    struct step_log *first;
    uint32_t opened;
};

static void add(struct step_log *log, kc_step step)
{
    if (log->count < log->limit)
        log->steps[log->count++] = step;
}

static void on_step(uc_engine *uc, uint64_t address, uint32_t size, void *data)
{
    (void)uc;
    add(data, (kc_step){0, (uint32_t)address, (uint16_t)size, KC_INSTRUCTION});
}

static void on_access(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value, void *data)
{
    struct step_log *log = data;
    const kc *m = log->machine;
    uint16_t kind = type == UC_MEM_WRITE ? KC_STORE : KC_LOAD;
    (void)uc;

    if (address >= KASAN_ENGINE_AT) /* it is no memory of the guest's */
        return;
    if (kind == KC_LOAD) {
        value = 0;
        if (size <= (int)sizeof value && address + (uint64_t)size <= m->memory_end)
            memcpy(&value, kc_at(m, address), (size_t)size);
    }
    add(log, (kc_step){(uint64_t)value, (uint32_t)address, (uint16_t)size, kind});
}

static int hook_both(kc *m, struct step_log *log)
{
    int accesses = UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE;
    int error = U.uc_hook_add(m->uc, &log->instructions, UC_HOOK_CODE, (void *)on_step, log, (uint64_t)1, (uint64_t)0);

    if (error)
        return error;
    error = U.uc_hook_add(m->uc, &log->accesses, accesses, (void *)on_access, log, (uint64_t)1, (uint64_t)0);
    if (error)
        kc_unhook(m, log->instructions);
    return error;
}

int32_t kc_step_log_open(kc *m, uint32_t limit)
{
    struct step_log *log = malloc(sizeof *log + (size_t)limit * sizeof *log->steps);

    if (!log)
        return -UC_ERR_NOMEM;
    *log = (struct step_log){.machine = m, .limit = limit};
    int error = hook_both(m, log);
    if (error) {
        free(log);
        return -error;
    }
    log->number = ++m->step_logs->opened;
    log->next = m->step_logs->first;
    m->step_logs->first = log;
    kc_observe_exactly(m, true); /* hooks of every instruction are the engine's own business */
    kc_windows_suspend(m, true);
    kc_flush_tlb(m);
    return (int32_t)log->number;
}

const kc_step *kc_step_log(const kc *m, uint32_t number, uint32_t *count)
{
    for (const struct step_log *log = m->step_logs->first; log; log = log->next)
        if (log->number == number) {
            *count = log->count;
            return log->steps;
        }
    *count = 0;
    return NULL;
}

void kc_step_log_close(kc *m, uint32_t number)
{
    for (struct step_log **at = &m->step_logs->first, *log; (log = *at); at = &log->next) {
        if (log->number != number)
            continue;
        *at = log->next;
        kc_observe_exactly(m, false);
        kc_windows_suspend(m, false);
        kc_unhook(m, log->instructions);
        kc_unhook(m, log->accesses);
        free(log);
        return;
    }
}

int kc_step_logs_init(kc *m) { return KC_NEW(m->step_logs); }

void kc_step_logs_free(kc *m)
{
    for (struct step_log *log = m->step_logs ? m->step_logs->first : NULL, *next; log; log = next) {
        next = log->next;
        free(log);
    }
    free(m->step_logs);
}
