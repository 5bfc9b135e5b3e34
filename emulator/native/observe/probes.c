/* Probes: instructions at which the core does something, found by their address. */
#include <stdlib.h>

#include "machine.h"

static bool is_recorded_entry(const struct probe *p) { return (p->actions & KC_RECORD) && p->kind == KC_ENTRY; }

static void reach(kc *m, const struct probe *p)
{
    uint32_t esp = kc_esp(m);

    if (m->probes_off || p->off)
        return;
    if ((p->actions & KC_RECORD) && m->calls) {
        m->event_probe = p;
        if (p->kind == KC_ENTRY)
            kc_call_entered(m, p->number, esp);
        else if (p->kind == KC_EXIT)
            kc_call_left(m, esp);
        else
            m->now.jumps = p->kind == KC_JUMP;
    }
    if (p->actions & (KC_TELL | KC_REPLACE)) {
        uint32_t eax = python.probe(m->handle, p->number, p->kind, esp, kc_eax(m));
        if (p->actions & KC_REPLACE)
            U.uc_reg_write(m->uc, UC_X86_REG_EAX, &eax);
    }
}

static struct probe **slot_of(kc *m, uint32_t address) { return &m->probes[address * 2654435761u >> 22]; }

/* The probes of an instruction behind one of them, or all. Calls are recorded before anybody else knows of them, so that nobody
 * else knows of one at which the run ends. */
static void reach_behind(kc *m, uint32_t address, const struct probe *behind, bool to_the_end)
{
    for (int pass = 0; pass < 2; pass++)
        for (const struct probe *p = *slot_of(m, address); p; p = p->next) {
            if (p->address != address || is_recorded_entry(p) != (pass == 0))
                continue;
            if (!behind && !to_the_end && m->stop.reason != KC_RUNNING)
                return;
            if (!behind)
                reach(m, p);
            else if (behind == p)
                behind = NULL;
        }
}

void kc_probes_reached(kc *m, uint32_t address) { reach_behind(m, address, NULL, true); }

void kc_probes_behind(kc *m, const struct probe *p) { reach_behind(m, p->address, p, false); }

/* The engine calls this for each probe of an instruction. */
static void on_probe(uc_engine *uc, uint64_t address, uint32_t size, void *data)
{
    const struct probe *p = data, *first = *slot_of(p->machine, p->address);
    (void)uc, (void)address, (void)size;
    while (first->address != p->address)
        first = first->next;
    if (first == p) /* else it was reached with that one */
        reach_behind(p->machine, p->address, NULL, false);
}

int kc_probe_add(kc *m, uint32_t address, uint32_t number, int kind, int actions)
{
    struct probe *p = malloc(sizeof *p), **slot = slot_of(m, address);

    if (!p)
        return UC_ERR_NOMEM;
    *p = (struct probe){m, NULL, address, number, (uint16_t)kind, (uint16_t)actions, false};
    int error = kc_hook(m, UC_HOOK_CODE, on_probe, p, address, address, 0);
    if (error) {
        free(p);
        return error;
    }
    while (*slot) /* probes of one address are reached in the order in which they were added */
        slot = &(*slot)->next;
    *slot = p;
    return 0;
}

void kc_probes_switch(kc *m, uint32_t number, bool on)
{
    for (int i = 0; i < PROBE_SLOTS; i++)
        for (struct probe *p = m->probes[i]; p; p = p->next)
            if (p->number == number && (p->actions & (KC_TELL | KC_REPLACE)))
                p->off = !on;
}

void kc_probes_stop_recording(kc *m)
{
    for (int i = 0; i < PROBE_SLOTS; i++)
        for (struct probe *p = m->probes[i]; p; p = p->next)
            p->actions &= (uint16_t)~KC_RECORD;
}

void kc_probes_free(kc *m)
{
    for (int i = 0; i < PROBE_SLOTS; i++)
        for (struct probe *p = m->probes[i], *next; p; p = next) {
            next = p->next;
            free(p);
        }
}

_Static_assert(PROBE_SLOTS == 1 << (32 - 22), "slot_of() takes the upper 10 bits");
