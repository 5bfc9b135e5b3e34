/* Watchpoints: accesses of some bytes of memory. They keep the last write, and those that changed the bytes; or end runs.
 *
 * Theory of operation. A page with watched bytes is not shown by the window (core/windows.c), for loads only where these are watched, and the TLB has it as one whose
 * accesses are told (core/mmu.c). All other pages are as fast as without. So what costs time are accesses of that page. Where only stores are watched, one page
 * is shown all the same: translated stores compare their addresses with its watched bytes, and what lies between these.
 *
 * An access is told before it is made, and what the bytes are after it is seen at the next one, or when somebody asks. Where it is to end the run, the
 * instruction comes again in a block of which each is told (observe/stops.c): the run ends in front of the next one.
 *
 * Devices and models write in the middle of an instruction. Such a write ends the run at the end of the block.
 */
#include <stdlib.h>
#include <string.h>

#include "core/ram.h"
#include "core/reports.h"
#include "core/windows.h"
#include "observe/watchpoints.h"
#include "record/stack_numbers.h"
#include "record/unwinding.h"
#include "unicorn/counting.h"
#include "unicorn/delivery.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"
#include "unicorn/state.h"

struct watchpoint {
    struct watchpoint *next;
    uint32_t number, at, size;
    uint32_t access;    /* bits 1 << KC_READ, 1 << KC_WRITE */
    bool ends_runs, asks;
    bool only_keeps;    /* the newest access, whoever makes it */
    bool is_pending;    /* the newest access may not have been made yet */
    bool is_by_itself;  /* it is no instruction's at a place in translated code */
    kc_watch_hit hit, counted; /* that access, and the newest that has counted */
    kc_writes writes;
    uint8_t bytes[];    /* before and after them */
};

struct watchpoints {
    struct watchpoint *first;
    uint32_t opened;
};

static bool is_within(const kc *m, const struct watchpoint *w) { return (uint64_t)w->at + w->size <= m->memory_end; }

static void read_bytes(const kc *m, const struct watchpoint *w, uint8_t *to)
{
    if (is_within(m, w))
        memcpy(to, kc_at(m, w->at), w->size);
    else
        memset(to, 0, w->size);
}

static uint32_t word_of(const struct watchpoint *w, const uint8_t *bytes)
{
    uint32_t word = 0;

    memcpy(&word, bytes, w->size < sizeof word ? w->size : sizeof word);
    return word;
}

static uint8_t *bytes_after(struct watchpoint *w) { return w->bytes + w->size; }

/* The newest access has been made. */
static void settle(kc *m, struct watchpoint *w)
{
    if (!w->is_pending)
        return;
    w->is_pending = false;
    read_bytes(m, w, bytes_after(w));
    if (w->ends_runs || w->only_keeps)
        return;
    w->writes.last.after = word_of(w, bytes_after(w));
    if (memcmp(w->bytes, bytes_after(w), w->size) == 0)
        return;
    w->writes.last_change = w->writes.last;
    if (!w->writes.first_change.count)
        w->writes.first_change = w->writes.last;
}

/* -- accesses -------------------------------------------------------------------------------------- */

static bool is_same(const kc_moment *a, const kc_moment *b) { return a->instructions == b->instructions && a->faults == b->faults; }

/* Who makes an access. */
enum maker { INSTRUCTION, MACHINE /* the CPU by itself, or a device */, MODEL };

/* An access is going to be made, at which EIP is exact. */
static void note(kc *m, struct watchpoint *w, bool is_write, enum maker maker, kc_moment here)
{
    uint32_t eip = kc_reg(m, UC_X86_REG_EIP), pc = kc_pc(m);

    if (w->is_pending && is_same(&w->hit.moment, &here) && w->hit.pc == pc) {
        w->hit.is_write |= is_write; /* it comes again, or another part of it does */
        return;
    }
    settle(m, w);
    read_bytes(m, w, w->bytes);
    w->is_pending = true;
    w->is_by_itself = maker != INSTRUCTION;
    w->hit = (kc_watch_hit){here, eip, pc, is_write, maker == INSTRUCTION, maker == MODEL, w->hit.count + 1, w->bytes, bytes_after(w)};
    if (!w->ends_runs && !w->only_keeps)
        w->writes.last = (kc_write){
            .eip = eip,
            .pc = pc,
            .event = kc_events(m),
            .before = word_of(w, w->bytes),
            .stack = kc_stack_of_other(m, kc_stack_at(m, eip)),
            .count = w->writes.last.count + 1,
        };
}

static bool meets(const struct watchpoint *w, uint64_t physical, uint64_t size, bool is_write)
{
    return w->access >> (is_write ? KC_WRITE : KC_READ) & 1 && physical + size > w->at && physical < (uint64_t)w->at + w->size;
}

bool kc_has_watchpoints(const kc *m) { return m->watchpoints->first; }

static bool any_meets(const kc *m, uint64_t physical, uint64_t size, bool is_write)
{
    for (const struct watchpoint *w = m->watchpoints->first; w; w = w->next)
        if (meets(w, physical, size, is_write))
            return true;
    return false;
}

bool kc_watches_page(const kc *m, uint64_t physical, bool store) { return any_meets(m, physical & ~(uint64_t)PAGE_MASK, PAGE_SIZE, store); }

/* Note it in all watchpoints that it meets. True: one of them may end the run. What a model writes is the model's, and nothing to who asks which instruction of the kernel's did. */
static bool note_all(kc *m, uint64_t physical, uint64_t size, bool is_write, enum maker maker, kc_moment here)
{
    bool ends = false;

    for (struct watchpoint *w = m->watchpoints->first; w; w = w->next)
        if (meets(w, physical, size, is_write) && (w->ends_runs || w->only_keeps || maker != MODEL)) {
            note(m, w, is_write, maker, here);
            ends |= w->ends_runs;
        }
    return ends;
}

void kc_on_access(kc *m, uint32_t linear, uint32_t size, bool write, uintptr_t host_pc)
{
    uint64_t start = linear, length = size;
    int64_t page = m->watchpoints->first ? kc_translate_used(m, linear & ~PAGE_MASK) : -1;

    if (page < 0 || !kc_whole_access(host_pc, &start, &length))
        return;
    uint64_t first = linear & ~(uint64_t)PAGE_MASK, low = start > first ? start : first, high = start + length;
    high = high < first + PAGE_SIZE ? high : first + PAGE_SIZE;
    if (high <= low || !any_meets(m, (uint64_t)page + (low - first), high - low, write))
        return;
    bool is_told = kc_tracks(m), is_in_code = host_pc && kc_running() && kc_has_counted_itself(m);
    if (host_pc)
        kc_restore_eip(m, host_pc);
    kc_moment here = kc_moment_at(m, host_pc ? kc_count_here(m) : kc_count(m)), next = here;
    if (!note_all(m, (uint64_t)page + (low - first), high - low, write, is_in_code ? INSTRUCTION : MACHINE, here))
        return;
    next.faults += is_in_code;
    kc_stop_soon(m, &next);
    if (!is_in_code || is_told || !kc_run_goes_on(m))
        return;
    kc_track(m, true);
    kc_restart_instruction(m, host_pc);
}

static void note_other(kc *m, uint64_t physical, uint64_t size, enum maker maker)
{
    if (!any_meets(m, physical, size, true))
        return;
    uintptr_t from = maker == MODEL ? kc_hooks_called_from() : 0;
    if (from)
        kc_restore_eip(m, from);
    kc_moment here = kc_moment_at(m, kc_count_here(m)), end = kc_moment_at(m, kc_block_end(m));
    if (note_all(m, physical, size, true, maker, here))
        kc_stop_soon(m, &end);
}

void kc_on_dma(kc *m, uint64_t physical, uint64_t size) { note_other(m, physical, size, MACHINE); }

void kc_write_follows(kc *m, uint64_t physical, uint64_t size)
{
    if (m->watchpoints->first)
        note_other(m, physical, size, MODEL);
}

void kc_settle_accesses(kc *m)
{
    for (struct watchpoint *w = m->watchpoints->first; w; w = w->next)
        settle(m, w);
}

/* -- watchpoints that end runs ----------------------------------------------------------------------- */

uint32_t kc_watchpoint_due(kc *m, const kc_moment *here, bool counts(kc *m, uint32_t number, bool asks))
{
    uint32_t reached = 0;

    for (struct watchpoint *w = m->watchpoints->first; w; w = w->next) {
        if (!w->ends_runs || !w->is_pending)
            continue;
        bool is_made = w->is_by_itself || here->instructions > w->hit.moment.instructions; /* else a fault has undone it */
        settle(m, w);
        if (!is_made || !counts(m, w->number | KC_WATCHES, w->asks))
            continue;
        reached = w->number | KC_WATCHES;
        memcpy(w->bytes + 2 * w->size, w->bytes, 2 * w->size);
        w->counted = w->hit;
        w->counted.before = w->bytes + 2 * w->size;
        w->counted.after = w->counted.before + w->size;
    }
    return reached;
}

static struct watchpoint *find(const kc *m, uint32_t number)
{
    struct watchpoint *w = m->watchpoints->first;

    while (w && w->number != number)
        w = w->next;
    return w;
}

bool kc_watch_hit_of(const kc *m, uint32_t number, kc_watch_hit *out)
{
    const struct watchpoint *w = find(m, number);
    const kc_watch_hit *hit = w && w->only_keeps ? &w->hit : w ? &w->counted : NULL;

    if (hit)
        *out = *hit;
    return hit && hit->before;
}

/* -- life -------------------------------------------------------------------------------------------- */

/* Let stores to the watched bytes of a page be compared. False: loads are watched there, too, or bytes of the next page. */
static bool compare_page(kc *m, uint32_t page)
{
    uint64_t low = page + (uint64_t)PAGE_SIZE, high = page;

    for (const struct watchpoint *w = m->watchpoints->first; w; w = w->next) {
        uint64_t end = (uint64_t)w->at + w->size;
        if (w->at >= page + (uint64_t)PAGE_SIZE || end <= page)
            continue;
        if (w->access != 1 << KC_WRITE || w->at < page || end > page + (uint64_t)PAGE_SIZE)
            return false;
        low = w->at < low ? w->at : low;
        high = end > high ? end : high;
    }
    kc_windows_compare(m, (uint32_t)low, (uint32_t)(high - low));
    return true;
}

/* Which pages the window shows follows from what is watched. Stores are compared on one page, the newest for which that can be. */
static void show_pages(kc *m)
{
    const struct watchpoint *w = m->watchpoints->first;

    kc_windows_watch_no_more(m);
    while (w && !compare_page(m, w->at & ~(uint32_t)PAGE_MASK))
        w = w->next;
}

/* NULL: there is no memory, or no byte. */
static struct watchpoint *add(kc *m, uint32_t physical, uint32_t size, uint32_t access)
{
    struct watchpoint *w = size ? calloc(1, sizeof *w + 4 * (size_t)size) : NULL;

    if (!w)
        return NULL;
    w->at = physical;
    w->size = size;
    w->access = access;
    w->number = ++m->watchpoints->opened;
    w->next = m->watchpoints->first;
    m->watchpoints->first = w;
    show_pages(m);
    kc_windows_watch(m, physical, size);
    return w;
}

static int32_t number_of(const struct watchpoint *w, uint32_t size) { return w ? (int32_t)w->number : size ? -UC_ERR_NOMEM : -UC_ERR_ARG; }

int32_t kc_watch(kc *m, uint32_t physical, uint32_t size, uint32_t access, int then)
{
    struct watchpoint *w = add(m, physical, size, access);

    if (w) {
        w->ends_runs = then != KC_ONLY_KEEPS;
        w->only_keeps = then == KC_ONLY_KEEPS;
        w->asks = then == KC_ASKS;
    }
    return number_of(w, size);
}

int32_t kc_watchpoint_open(kc *m, uint32_t physical, uint32_t size)
{
    return number_of(add(m, physical, size, 1 << KC_WRITE), size);
}

bool kc_watchpoint_writes(kc *m, uint32_t number, kc_writes *out)
{
    struct watchpoint *w = find(m, number);

    if (!w)
        return false;
    settle(m, w);
    *out = w->writes;
    return true;
}

void kc_watchpoint_close(kc *m, uint32_t number)
{
    for (struct watchpoint **at = &m->watchpoints->first, *w; (w = *at); at = &w->next) {
        if (w->number != number)
            continue;
        *at = w->next;
        free(w);
        show_pages(m);
        return;
    }
}

/* What is pending has not happened. */
int kc_watchpoints_restore(kc *m, const void *saved)
{
    (void)saved;
    for (struct watchpoint *w = m->watchpoints->first; w; w = w->next)
        w->is_pending = false;
    return 0;
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
