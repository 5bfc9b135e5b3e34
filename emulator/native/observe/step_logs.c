/* Each instruction of a run, and what it loads and stores. */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

static void keep(kc *m, kc_step step)
{
    if (m->step_count < m->step_limit)
        m->steps[m->step_count++] = step;
}

static void on_step(uc_engine *uc, uint64_t address, uint32_t size, void *data)
{
    (void)uc;
    keep(data, (kc_step){0, (uint32_t)address, (uint16_t)size, KC_INSTRUCTION});
}

static void on_access(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value, void *data)
{
    kc *m = data;
    uint16_t kind = type == UC_MEM_WRITE ? KC_STORE : KC_LOAD;
    (void)uc;

    if (kind == KC_LOAD) {
        value = 0;
        if (size <= (int)sizeof value && address + (uint64_t)size <= m->memory_end)
            memcpy(&value, m->memory + address, (size_t)size);
    }
    keep(m, (kc_step){(uint64_t)value, (uint32_t)address, (uint16_t)size, kind});
}

int kc_keep_steps(kc *m, uint32_t limit)
{
    if (m->step_limit) {
        U.uc_hook_del(m->uc, m->step_hooks[0]);
        U.uc_hook_del(m->uc, m->step_hooks[1]);
        m->removing_hook = true;
    }
    kc_steps_free(m);
    m->steps = limit ? malloc(limit * sizeof *m->steps) : NULL;
    if (limit && !m->steps)
        return UC_ERR_NOMEM;
    int error = 0;
    if (limit) {
        int accesses = UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE;
        error = U.uc_hook_add(m->uc, &m->step_hooks[0], UC_HOOK_CODE, (void *)on_step, m, 1, 0);
        if (!error && (error = U.uc_hook_add(m->uc, &m->step_hooks[1], accesses, (void *)on_access, m, 1, 0)))
            U.uc_hook_del(m->uc, m->step_hooks[0]);
        m->step_limit = error ? 0 : limit;
        m->stops_exactly = true; /* hooks of every instruction are the engine's own business */
    }
    kc_flush_code(m);
    kc_flush_tlb(m);
    return error;
}

const kc_step *kc_steps(kc *m, uint32_t *count)
{
    *count = m->step_count;
    return m->steps;
}

void kc_steps_free(kc *m)
{
    free(m->steps);
    m->steps = NULL;
    m->step_count = m->step_limit = 0;
}
