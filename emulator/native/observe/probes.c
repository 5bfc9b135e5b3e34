/* Probes: instructions at which the core does something, found by their address. */
#include <stdlib.h>

#include "core/reports.h"
#include "core/windows.h"
#include "observe/checked_accesses.h"
#include "observe/probes.h"
#include "record/calls.h"
#include "unicorn/reports.h"
#include "unicorn/state.h"

#define PROBE_BUCKETS 1024
#define NOT_ONE UINT32_MAX

struct probe {
    struct probe *next; /* at the same hash */
    struct reached at;  /* recorded_entry: as long as it records */
    kc *machine;
    uc_hook hook;
    uint32_t number;
    uint32_t recording; /* that it belongs to */
    uint16_t kind, actions;
    bool off;
};

/* The probes of a hash; and, where it is one that only records, what that needs to know of it: then all of it is here. */
struct bucket {
    struct probe *first;
    uint32_t address, number, recording; /* recording NOT_ONE: there are several, or one that does more */
    uint16_t kind;
};

struct probes {
    struct bucket buckets[PROBE_BUCKETS];
    uint32_t added;
    bool records_nothing;
};

/* A probe that records has nothing to do once another recording has begun. */
static bool is_of_now(const kc *m, uint32_t recording) { return recording == kc_recording(m) && !m->probes->records_nothing; }

static bool records(const struct probe *p) { return (p->actions & KC_RECORD) && is_of_now(p->machine, p->recording); }

static bool is_recorded_entry(const struct probe *p) { return p->kind == KC_ENTRY && records(p); }

static inline void record(kc *m, const struct reached *at, uint32_t kind, uint32_t number, uint32_t esp)
{
    kc_windows_exempt(m, false);
    if (kind == KC_ENTRY)
        kc_call_entered(m, at, number, esp);
    else if (kind == KC_EXIT)
        kc_call_left(m, at, esp);
    else
        kc_call_jumps(m, kind == KC_JUMP);
}

/* Tell others than the record of calls. */
static __attribute__((noinline)) void tell(kc *m, const struct probe *p, uint32_t esp)
{
    if (p->actions & KC_REPORT)
        kc_on_report(m, p->number);
    if (p->actions & (KC_NOTIFY | KC_REPLACE)) {
        uint32_t eax = python.probe(m->handle, p->number, p->kind, esp, kc_eax(m));
        if (kc_seeks_stale(m))
            kc_on_entries_changed(m); /* by a model */
        kc_windows_on_writes(m);
        if (p->actions & KC_REPLACE) {
            kc_on_registers_replaced(m);
            U.uc_reg_write(m->uc, UC_X86_REG_EAX, &eax);
        }
    }
}

static void reach(kc *m, const struct probe *p)
{
    uint32_t esp = kc_esp(m);

    if (kc_steps_over(m) || p->off)
        return;
    if (records(p))
        record(m, &p->at, p->kind, p->number, esp);
    if (p->actions != KC_RECORD)
        tell(m, p, esp);
}

static struct bucket *bucket_of(kc *m, uint32_t address) { return &m->probes->buckets[address * 2654435761u >> 22]; }

/* Does a probe come after another one of its instruction? Calls are recorded before anybody else knows of them, so that
 * nobody else knows of one at which the run ends. */
static bool comes_after(const struct probe *p, const struct reached *last)
{
    bool recorded_entry = is_recorded_entry(p);

    if (recorded_entry != last->recorded_entry)
        return last->recorded_entry;
    return p->at.identity > last->identity;
}

/* Reach the probes of an instruction after one of them, or all (NULL). */
static void reach_after(kc *m, uint32_t address, const struct reached *last, bool to_the_end)
{
    for (int pass = 0; pass < 2; pass++)
        for (const struct probe *p = bucket_of(m, address)->first; p; p = p->next) {
            if (p->at.address != address || is_recorded_entry(p) != (pass == 0) || (last && !comes_after(p, last)))
                continue;
            if (!to_the_end && !kc_run_goes_on(m))
                return;
            reach(m, p);
        }
}

static const struct probe *first_at(const struct probe *p, uint32_t address)
{
    while (p && p->at.address != address)
        p = p->next;
    return p;
}

static __attribute__((noinline)) void reach_all(kc *m, const struct bucket *bucket, uint32_t address)
{
    const struct probe *p = first_at(bucket->first, address);

    if (p && !first_at(p->next, address))
        reach(m, p);
    else
        reach_after(m, address, NULL, true);
}

void kc_probes_reached(kc *m, uint32_t address)
{
    const struct bucket *bucket = bucket_of(m, address);

    if (bucket->address == address && is_of_now(m, bucket->recording) && !kc_steps_over(m)) /* mostly */
        record(m, &bucket->first->at, bucket->kind, bucket->number, kc_esp(m));
    else
        reach_all(m, bucket, address);
}

void kc_probes_after(kc *m, const struct reached *last) { reach_after(m, last->address, last, false); }

bool kc_is_probed(kc *m, uint32_t address)
{
    return first_at(bucket_of(m, address)->first, address);
}

/* The engine calls this for each probe of an instruction. */
static void on_probe(uc_engine *uc, uint64_t address, uint32_t size, void *data)
{
    const struct probe *p = data;
    (void)uc, (void)address, (void)size;
    if (first_at(bucket_of(p->machine, p->at.address)->first, p->at.address) == p) /* else it was reached with that one */
        reach_after(p->machine, p->at.address, NULL, false);
}

static int hook(kc *m, struct probe *p) { return U.uc_hook_add(m->uc, &p->hook, UC_HOOK_CODE, (void *)on_probe, p, (uint64_t)p->at.address, (uint64_t)p->at.address); }

static void note_only(struct bucket *bucket)
{
    const struct probe *p = bucket->first;

    if (p && !p->next && p->actions == KC_RECORD)
        *bucket = (struct bucket){bucket->first, p->at.address, p->number, p->recording, p->kind};
    else
        bucket->recording = NOT_ONE;
}

int32_t kc_probe_add(kc *m, uint32_t address, uint32_t number, int kind, int actions)
{
    struct probe *p = malloc(sizeof *p);
    struct bucket *bucket = bucket_of(m, address);
    struct probe **last = &bucket->first;

    if (!p)
        return -UC_ERR_NOMEM;
    *p = (struct probe){.machine = m, .at = {m->probes->added + 1, address, kind == KC_ENTRY}, .number = number,
                        .kind = (uint16_t)kind, .actions = (uint16_t)actions, .recording = kc_recording(m)};
    int error = hook(m, p);
    if (error) {
        free(p);
        return -error;
    }
    while (*last) /* in the order of their identities, see comes_after() */
        last = &(*last)->next;
    *last = p;
    note_only(bucket);
    return (int32_t)++m->probes->added;
}

bool kc_probe_remove(kc *m, uint32_t identity)
{
    for (int i = 0; i < PROBE_BUCKETS; i++)
        for (struct probe **at = &m->probes->buckets[i].first, *p; (p = *at); at = &p->next) {
            if (p->at.identity != identity)
                continue;
            *at = p->next;
            note_only(&m->probes->buckets[i]);
            kc_unhook(m, p->hook);
            free(p);
            return true;
        }
    return false;
}

static bool only_records(kc *m, uint32_t address)
{
    for (const struct probe *p = bucket_of(m, address)->first; p; p = p->next)
        if (p->at.address == address && p->actions != KC_RECORD)
            return false;
    return true;
}

/* Code of instructions that nobody wants to know of is translated as other code. */
void kc_record_nothing(kc *m, bool nothing)
{
    if (m->probes->records_nothing == nothing || !kc_checks_rest(m, nothing))
        return;
    m->probes->records_nothing = nothing;
    for (int i = 0; i < PROBE_BUCKETS; i++)
        for (struct probe *p = m->probes->buckets[i].first; p; p = p->next) {
            if (!only_records(m, p->at.address))
                continue;
            if (nothing)
                kc_unhook(m, p->hook);
            else if (hook(m, p))
                kc_no_memory(m);
        }
    kc_flush_code(m);
}

void kc_probes_switch(kc *m, uint32_t number, bool on)
{
    for (int i = 0; i < PROBE_BUCKETS; i++)
        for (struct probe *p = m->probes->buckets[i].first; p; p = p->next)
            if (p->number == number && (p->actions & (KC_NOTIFY | KC_REPLACE)))
                p->off = !on;
}

int kc_probes_init(kc *m) { return KC_NEW(m->probes); }

void kc_probes_free(kc *m)
{
    for (int i = 0; m->probes && i < PROBE_BUCKETS; i++)
        for (struct probe *p = m->probes->buckets[i].first, *next; p; p = next) {
            next = p->next;
            free(p);
        }
    free(m->probes);
}

_Static_assert(PROBE_BUCKETS == 1 << (32 - 22), "bucket_of() takes the upper 10 bits");
