/* Probes at function entries and exits, and the ring of events that they fill. */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

/* Copy `count` words of the guest's stack; words that are not mapped read as 0. */
static void stack_words(kc *m, uint32_t linear, uint32_t *out, uint32_t count)
{
    int64_t at = kc_translate_used(m, linear);
    bool one_page = (linear & PAGE_MASK) + 4 * count <= PAGE_SIZE;

    if (one_page && at >= 0 && (uint64_t)at + 4 * count <= m->memory_end) {
        memcpy(out, m->memory + at, 4 * count);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        at = kc_translate(m, linear + 4 * i);
        out[i] = at < 0 || (uint64_t)at + 4 > m->memory_end ? 0 : kc_load32(m, (uint64_t)at);
    }
}

static void record(kc *m, const struct probe *p, uint32_t esp)
{
    kc_event *event = &m->ring[m->ring_count & (m->ring_capacity - 1)];

    event->sequence = m->ring_count++;
    event->function = p->function;
    event->kind = p->kind;
    event->esp = esp;
    if (p->kind == KC_ENTRY) {
        stack_words(m, esp, &event->caller, 5); /* the return address, then values[] */
    } else {
        stack_words(m, esp, &event->caller, 1);
        event->values[0] = m->eax ? *m->eax : kc_reg(m, UC_X86_REG_EAX);
        event->values[1] = event->values[2] = event->values[3] = 0;
    }
}

static void reach(kc *m, const struct probe *p)
{
    uint32_t esp = m->esp ? *m->esp : kc_reg(m, UC_X86_REG_ESP);

    if ((p->actions & KC_RECORD) && m->ring)
        record(m, p, esp);
    if (p->actions & (KC_TELL | KC_REPLACE)) {
        uint32_t eax = python.probe(m->handle, p->function, p->kind, esp, kc_reg(m, UC_X86_REG_EAX));
        if (p->actions & KC_REPLACE)
            U.uc_reg_write(m->uc, UC_X86_REG_EAX, &eax);
    }
}

static void on_probe(uc_engine *uc, uint64_t address, uint32_t size, void *data)
{
    const struct probe *p = data;
    (void)uc, (void)address, (void)size;
    reach(p->machine, p);
}

static struct probe **slot_of(kc *m, uint32_t address) { return &m->probes[address * 2654435761u >> 22]; }

void kc_probes_reached(kc *m, uint32_t address)
{
    for (const struct probe *p = *slot_of(m, address); p; p = p->next)
        if (p->address == address)
            reach(m, p);
}

int kc_probe_add(kc *m, uint32_t address, uint32_t function, int kind, int actions)
{
    struct probe *p = malloc(sizeof *p), **slot = slot_of(m, address);

    if (!p)
        return UC_ERR_NOMEM;
    while (*slot) /* probes of one address are reached in the order in which they were added */
        slot = &(*slot)->next;
    *p = (struct probe){m, NULL, address, function, (uint16_t)kind, (uint16_t)actions};
    *slot = p;
    return kc_hook(m, UC_HOOK_CODE, on_probe, p, address, address, 0);
}

int kc_ring(kc *m, uint32_t capacity)
{
    free(m->ring);
    m->ring = capacity ? calloc(capacity, sizeof *m->ring) : NULL;
    m->ring_capacity = m->ring ? capacity : 0;
    m->ring_count = 0;
    return capacity && !m->ring ? -1 : 0;
}

uint64_t kc_ring_count(kc *m) { return m->ring_count; }

const kc_event *kc_ring_events(kc *m) { return m->ring; }

void kc_probes_free(kc *m)
{
    for (int i = 0; i < PROBE_SLOTS; i++)
        for (struct probe *p = m->probes[i], *next; p; p = next) {
            next = p->next;
            free(p);
        }
    free(m->ring);
}

_Static_assert(PROBE_SLOTS == 1 << (32 - 22), "slot_of() takes the upper 10 bits");
_Static_assert(offsetof(kc_event, values) == offsetof(kc_event, caller) + 4, "record() copies both at once");
