/* Definedness: values that were never written, from where they are read to where something depends on them.
 *
 * Theory of operation. The shadow (core/shadow.h) tells which bytes of a block were never written. Reads of them are told, as bad accesses
 * are; that is no mistake yet: whoever copies a structure reads its padding. So the instruction comes again, in blocks of which
 * each instruction is told before it is executed (KC_TRACKS is one of the flags that a block is translated for), and from there on dataflow.c
 * follows which bits of the registers are not defined. Once none is for a while, blocks are as fast as before. So what costs
 * time is only the use of values that are not defined.
 *
 * A byte that is stored with undefined bits is KC_MARKED in the shadow; its mark says which bits, and where they come from.
 *
 * What a fault undoes is undone here, too: the instruction comes again.
 *
 * Shortcomings. Where instructions are executed one by one, at the end of a budget, what is in registers counts as defined; so does
 * everything where blocks cannot count themselves. While a register that nobody uses holds undefined bits, code is slow. Of blocks that
 * are copied on and on, the first ORIGINS reads are told apart.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/mmu.h"
#include "core/ram.h"
#include "core/reports.h"
#include "core/run.h"
#include "core/shadow.h"
#include "observe/checked_accesses.h"
#include "observe/definedness.h"
#include "record/blocks.h"
#include "unicorn/counting.h"
#include "unicorn/delivery.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"
#include "unicorn/state.h"

enum { IDLE_MOST = 64 };         /* instructions that are told, while no register holds anything undefined */
enum { ORIGINS = 1 << 15, ORIGINS_TOGETHER = 32, SLOTS = 1 << 10 };
enum { SCREEN = 0xa0000, SCREEN_END = 0xc0000 }; /* physical: memory of the display (IBM PC/AT Technical Reference) */

/* What is kept of a byte that is KC_MARKED. */
struct mark { uint8_t bits, unused; uint16_t origin; uint32_t distance; };

struct definedness {
    struct mark *marks;         /* one for each byte of RAM; NULL: nothing is followed */
    struct kept_array pages;    /* of marks */
    uint32_t openings;
    struct followed {
        struct values now, before;  /* the instruction that is told, and what it has found */
        uint32_t linear;
        uint32_t idle;          /* instructions since something was not defined */
        bool knows_stores;      /* those of the instruction that is told are known */
        bool stores_undefined;
        uint32_t origin_count;
    } is;
    struct kept_array origins;  /* by their numbers, from 1; 0: there were too many */
    uint16_t slots[SLOTS];      /* numbers of some origins, by hash */
};

static bool follows(const kc *m) { return m->definedness->marks && kc_tells_uninitialised(m); }

/* -- where values come from ------------------------------------------------------------------------ */

static struct origin *origin_at(const kc *m, uint32_t number) { return (struct origin *)m->definedness->origins.bytes + number; }

static uint16_t origin_of(kc *m, const kc_block *block, uint32_t pc)
{
    struct definedness *d = m->definedness;
    uint16_t *slot = &d->slots[(block->born * 31 + block->area + pc) * 2654435761u >> 22];
    const struct origin *known = *slot ? origin_at(m, *slot) : NULL;

    if (known && known->block.born == block->born && known->block.area == block->area && known->block.start == block->start && known->read_at == pc)
        return *slot;
    if (d->is.origin_count + 1 == ORIGINS)
        return 0;
    if (!kc_array_keep(&d->origins, (d->is.origin_count + 1) / ORIGINS_TOGETHER)) {
        kc_no_memory(m);
        return 0;
    }
    d->is.origin_count++;
    *origin_at(m, d->is.origin_count) = (struct origin){*block, pc};
    return *slot = (uint16_t)d->is.origin_count;
}

struct origin kc_origin(const kc *m, struct undefined value)
{
    return value.origin ? *origin_at(m, value.origin) : (struct origin){{0}, 0};
}

/* -- memory ------------------------------------------------------------------------------------------ */

static int64_t physical_of(kc *m, uint32_t linear)
{
    int64_t at = kc_translate_used(m, linear);
    return at >= 0 && (uint64_t)at < m->memory_end ? at : -1;
}

/* A byte that nobody has written: of a block; elsewhere that is nobody's mistake. */
static struct undefined fresh_byte(kc *m, uint64_t physical, uint32_t pc)
{
    kc_block block;
    uint32_t distance;

    if (kc_block_over(m, physical, &block, &distance))
        return (struct undefined){UINT8_MAX, origin_of(m, &block, pc), distance};
    kc_shadow_wrote(m, physical, 1, false);
    return (struct undefined){0};
}

static struct undefined undefined_byte(kc *m, uint64_t physical, uint32_t pc)
{
    uint8_t shadow = *kc_shadow_at(m, physical);
    const struct mark *mark = &m->definedness->marks[physical];

    if (!(shadow & KC_POISONED) || shadow & KC_NO_ACCESS || shadow == KC_RETURN)
        return (struct undefined){0};
    return shadow & KC_MARKED ? (struct undefined){mark->bits, mark->origin, mark->distance} : fresh_byte(m, physical, pc);
}

struct undefined kc_undefined_load(kc *m, uint32_t linear, uint32_t size, uint32_t pc)
{
    struct undefined all = {0};

    for (uint32_t i = 0; i < size; i++) {
        int64_t at = physical_of(m, linear + i);
        struct undefined byte = at >= 0 && *kc_shadow_at(m, (uint64_t)at) ? undefined_byte(m, (uint64_t)at, pc) : (struct undefined){0};
        uint32_t bits = all.bits | byte.bits << 8 * i;
        all = all.bits ? all : byte;
        all.bits = bits;
    }
    m->definedness->is.idle = all.bits ? 0 : m->definedness->is.idle;
    return all;
}

static void mark(kc *m, uint64_t physical, struct undefined value, uint32_t byte)
{
    struct definedness *d = m->definedness;
    uint8_t bits = (uint8_t)(value.bits >> 8 * byte), now = *kc_shadow_at(m, physical);

    if (now & KC_NO_ACCESS) { /* an allocator's business, or a bad access */
        uint8_t *shadow = bits && now & KC_WRITTEN ? kc_shadow_change(m, physical, true) : NULL;
        if (shadow)
            *shadow &= (uint8_t)~KC_WRITTEN;
        return;
    }
    if (!bits) {
        if (now)
            kc_shadow_wrote(m, physical, 1, false);
        return;
    }
    kc_shadow_touch(m, physical);
    uint8_t *shadow = kc_shadow_change(m, physical, true);
    if (!shadow || !kc_array_keep(&d->pages, physical >> PAGE_SHIFT)) {
        kc_no_memory(m);
        return;
    }
    d->marks[physical] = (struct mark){bits, 0, (uint16_t)value.origin, value.distance};
    *shadow = KC_UNINITIALISED | KC_MARKED;
}

static bool is_output(const kc *m, int64_t physical)
{
    return physical < 0 || !kc_is_mapped(m, (uint64_t)physical) || (physical >= SCREEN && physical < SCREEN_END);
}

void kc_undefined_store(kc *m, uint32_t linear, uint32_t size, struct undefined value, uintptr_t host_pc)
{
    struct followed *is = &m->definedness->is;

    if (value.bits && kc_translate_used(m, linear) >= 0 && is_output(m, physical_of(m, linear))) {
        kc_undefined_use(m, KC_USE_OUTPUT, value, host_pc);
        return;
    }
    is->stores_undefined |= value.bits != 0;
    for (uint32_t i = 0; i < size; i++) {
        int64_t at = physical_of(m, linear + i);
        if (at >= 0)
            mark(m, (uint64_t)at, value, i);
    }
}

/* -- accesses ------------------------------------------------------------------------------------------ */

static bool is_uninitialised(kc *m, uint32_t linear, uint32_t size, uint32_t pc)
{
    for (uint32_t i = 0; i < size; i++) {
        int64_t at = physical_of(m, linear + i);
        uint8_t shadow = at >= 0 ? *kc_shadow_at(m, (uint64_t)at) : 0;
        if (shadow & KC_POISONED && !(shadow & KC_NO_ACCESS) && undefined_byte(m, (uint64_t)at, pc).bits)
            return true;
    }
    return false;
}

void kc_defined_by(kc *m, uint32_t linear, uint32_t size, bool write, uintptr_t host_pc)
{
    struct followed *is = &m->definedness->is;
    bool is_told = kc_tracks(m) && host_pc;

    if (write && !(is_told && is->knows_stores))
        for (uint32_t i = 0; i < size; i++) {
            int64_t at = physical_of(m, linear + i);
            if (at >= 0)
                kc_shadow_wrote(m, (uint64_t)at, 1, false);
        }
    if (write || is_told || !host_pc || !kc_running() || !kc_has_counted_itself(m) || !kc_goes_on(m))
        return;
    kc_restore_eip(m, host_pc);
    if (!is_uninitialised(m, linear, size, kc_pc(m)))
        return;
    *is = (struct followed){.origin_count = is->origin_count};
    kc_track(m, true);
    kc_restart_instruction(m, host_pc);
}

void kc_written_by_allocator(kc *m, uint32_t linear, uint32_t size)
{
    const struct followed *is = &m->definedness->is;

    for (uint32_t i = 0; i < size && !(kc_tracks(m) && is->stores_undefined); i++) {
        int64_t at = physical_of(m, linear + i);
        if (at >= 0)
            kc_shadow_wrote(m, (uint64_t)at, 1, true);
    }
    kc_shadow_note(m, linear, size);
}

/* -- instructions ---------------------------------------------------------------------------------------- */

static bool has_undefined(const struct values *values)
{
    uint32_t bits = values->conditions.bits;

    for (int i = 0; i < 8; i++)
        bits |= values->general[i].bits;
    return bits;
}

void kc_undefined_use(kc *m, enum kc_use use, struct undefined value, uintptr_t host_pc)
{
    struct followed *is = &m->definedness->is;
    struct values found = is->now;

    is->now = is->before; /* should it be left here, it comes again */
    kc_on_undefined_use(m, use, value, host_pc);
    is->now = found;
}

bool kc_follows_values(kc *m, bool begins)
{
    struct followed *is = &m->definedness->is;

    if (follows(m) && (!begins || is->idle <= IDLE_MOST))
        return true;
    is->knows_stores = is->stores_undefined = false; /* those of the instruction that is told for other reasons */
    return false;
}

void kc_follow_values(kc *m, uint32_t linear, uintptr_t host_pc)
{
    struct followed *is = &m->definedness->is;

    is->before = is->now;
    is->linear = linear;
    is->stores_undefined = false;
    is->idle++;
    is->knows_stores = kc_follow(m, &is->now, linear, host_pc);
    if (has_undefined(&is->now))
        is->idle = 0;
}

void kc_on_undone(kc *m)
{
    struct followed *is = &m->definedness->is;

    if (follows(m) && kc_tracks(m) && kc_pc(m) == is->linear)
        is->now = is->before;
}

void kc_on_registers_replaced(kc *m)
{
    m->definedness->is.now = m->definedness->is.before = (struct values){0};
}

void kc_on_untold(kc *m)
{
    m->definedness->is = (struct followed){.origin_count = m->definedness->is.origin_count};
    kc_track(m, false);
}

/* -- life, snapshots --------------------------------------------------------------------------------------- */

enum { MARKS_OF_PAGE = (int)(PAGE_SIZE * sizeof(struct mark)) };

int kc_definedness_open(kc *m)
{
    struct definedness *d = m->definedness;
    size_t size = m->memory_end * sizeof *d->marks;
    void *marks = MAP_FAILED;

    if (!kc_tells_uninitialised(m))
        return 0;
    void *origins = malloc(ORIGINS * sizeof(struct origin));
    if (origins)
        marks = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    d->marks = marks == MAP_FAILED ? NULL : marks;
    bool good = kc_array_open(&d->origins, kc_kept_size(m), d->openings + 1, origins, ORIGINS_TOGETHER * sizeof(struct origin), ORIGINS / ORIGINS_TOGETHER);
    good &= kc_array_open(&d->pages, kc_kept_size(m), d->openings + 1, marks, MARKS_OF_PAGE, (m->memory_end + PAGE_MASK) >> PAGE_SHIFT);
    if (!d->marks || !good) {
        kc_definedness_close(m);
        return -1;
    }
    d->openings++;
    return 0;
}

void kc_definedness_close(kc *m)
{
    struct definedness *d = m->definedness;

    if (d->marks)
        munmap(d->marks, m->memory_end * sizeof *d->marks);
    free(d->origins.bytes);
    kc_array_close(&d->origins);
    kc_array_close(&d->pages);
    *d = (struct definedness){.openings = d->openings};
}

struct kept_definedness {
    struct kept_point *pages, *origins;
    struct followed is;
};

int kc_definedness_save(kc *m, void **out)
{
    struct definedness *d = m->definedness;
    struct kept_definedness *kept;

    *out = NULL;
    if (!d->marks)
        return 0;
    if (!(kept = calloc(1, sizeof *kept)))
        return -1;
    *out = kept;
    kept->is = d->is;
    return (kept->pages = kc_array_save(&d->pages)) && (kept->origins = kc_array_save(&d->origins)) ? 0 : -1;
}

int kc_definedness_restore(kc *m, const void *saved)
{
    struct definedness *d = m->definedness;
    const struct kept_definedness *kept = saved;

    memset(d->slots, 0, sizeof d->slots);
    if (d->marks && kept && kc_array_has(&d->pages, kept->pages)) {
        kc_array_go_to(&d->pages, kept->pages);
        kc_array_go_to(&d->origins, kept->origins);
        d->is = kept->is;
    } else {
        d->is = (struct followed){0};
    }
    return 0;
}

void kc_definedness_forget(void *saved)
{
    struct kept_definedness *kept = saved;

    if (kept) {
        kc_array_forget(kept->pages);
        kc_array_forget(kept->origins);
    }
    free(kept);
}

int kc_definedness_init(kc *m) { return KC_NEW(m->definedness); }

void kc_definedness_free(kc *m)
{
    if (m->definedness)
        kc_definedness_close(m);
    free(m->definedness);
}
