/* Blocks: what the calls of allocators do to memory, as a profile explains their functions.
 *
 * Theory of operation. emulator/trace/blocks says what calls mean; here they mean the same, as they return. A call makes a block when it
 * returns, and gives one back when it is entered. What calls do to an area inside of another call that changes it is kept until that
 * one has returned (its root): an inner call that was about the same memory has done its part for the outer one, and does not
 * count. Then all of it happens, in the order of events: blocks live and die, and the shadow follows (poisoning.c). So
 * nothing changes below an allocator that is at work.
 *
 * Shortcomings. Of tasks that take turns inside of allocators, one's frees may be seen after what the other has made of them. A block that
 * turns out to have been an allocator's stock has been a block until then. A block whose pages are not mapped when its call returns has
 * no memory, nor has the part of it after the first such page.
 */
#include <stdlib.h>
#include <string.h>

#include "analysis/block_calls.h"
#include "core/mmu.h"
#include "core/run.h"
#include "core/shadow.h"
#include "record/blocks.h"
#include "record/calls.h"
#include "record/poisoning.h"

enum { MAKES = 1, CHANGES = 2, SEEDS = 4 };
enum { NEAR_PAGES = 1 };

enum kind { BIRTH, DEATH, DEFERRED, SHARED, RESET };

struct operation {
    uint32_t event, address, call, size, pool; /* blocks have an event and its call side by side: they are not loaded in one where they were stored apart */
    enum kind kind;
    uint8_t area;
    bool knows_pool, is_nested;
    bool may_be_empty; /* its function can be asked for no bytes */
    bool is_frame;     /* the address is a physical one */
    bool is_resized;   /* of a death: the block lives on at its place, with another size */
    uint64_t inside[KC_AREA_WORDS];
};

/* A call that is open, or that has left and has done something inside of one that is. */
struct active {
    uint32_t call, parent, entered;
    uint32_t top;     /* the outermost call around it that has a role, or itself; 0: none has */
    uint8_t function, does;
};

struct known {
    struct block_table table;
    struct active *calls; /* in order of their numbers */
    struct operation *operations;
    uint32_t call_count, call_capacity, operation_count, operation_capacity;
};

/* What a snapshot keeps of it. */
struct kept_blocks {
    struct kept_table *table;
    struct active *calls;
    struct operation *operations;
    uint32_t call_count, operation_count;
};

/* A function as the profile explains it, and what is the same of all its calls. */
struct function {
    kc_block_function is;
    uint8_t does;
    bool seeds;               /* its return may give memory to the allocator */
    bool says_size, is_plain; /* is_plain: a call of it is no more than a birth or a death */
    struct operation plain;   /* what is the same of all of them */
};

struct blocks {
    struct function *functions; /* NULL: blocks are not followed */
    uint32_t *failures;
    struct objects objects;
    uint32_t function_count, recording, openings, shown_capacity, mine_capacity;
    kc_block *shown; /* for Python */
    struct operation *mine; /* of the call that has ended */
    struct known now;
};

static const uint8_t effects[] = {
    [KC_ROLE_ALLOC] = MAKES | CHANGES, [KC_ROLE_REALLOC] = MAKES | CHANGES, [KC_ROLE_FREE] = CHANGES, [KC_ROLE_SHARE] = CHANGES,
    [KC_ROLE_RESET] = CHANGES, [KC_ROLE_DEFER] = CHANGES, [KC_ROLE_SEED] = SEEDS, [KC_ROLE_OTHER] = 0,
};

static const uint8_t kinds[] = {
    [KC_ROLE_ALLOC] = BIRTH, [KC_ROLE_REALLOC] = BIRTH, [KC_ROLE_FREE] = DEATH, [KC_ROLE_SHARE] = SHARED, [KC_ROLE_RESET] = RESET,
    [KC_ROLE_DEFER] = DEFERRED, [KC_ROLE_SEED] = RESET, [KC_ROLE_OTHER] = RESET,
};

static struct function understood(const kc_block_function *f)
{
    return (struct function){
        .is = *f, .does = effects[f->role], .seeds = f->role == KC_ROLE_SEED || (f->role == KC_ROLE_RESET && !f->pages),
        .says_size = kc_says_size(f), .is_plain = f->role == KC_ROLE_ALLOC || f->role == KC_ROLE_FREE,
        .plain = {.kind = kinds[f->role], .size = f->is_one_page ? PAGE_SIZE : 0, .area = f->area, .knows_pool = f->pool != KC_NO_VALUE, .may_be_empty = kc_may_be_empty(f),
                  .is_frame = f->result == KC_RESULT_FRAME},
    };
}

bool kc_follows_blocks(const kc *m) { return m->blocks->functions && m->blocks->recording == kc_recording(m); }

static SELDOM void *grow(void *list, uint32_t *capacity, size_t size)
{
    uint32_t larger = *capacity ? 2 * *capacity : 64;

    list = realloc(list, larger * size);
    if (list)
        *capacity = larger;
    return list;
}

/* A list with room for one more than `count`. NULL: no memory. */
static void *grown(void *list, uint32_t count, uint32_t *capacity, size_t size) { return count < *capacity ? list : grow(list, capacity, size); }

/* -- calls that are open ------------------------------------------------------------------------- */

/* One that is not the newest. */
static SELDOM struct active *find_older_call(struct known *known, uint32_t call)
{
    uint32_t low = 0, high = known->call_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (known->calls[middle].call < call)
            low = middle + 1;
        else
            high = middle;
    }
    return low < known->call_count && known->calls[low].call == call ? &known->calls[low] : NULL;
}

static inline struct active *find_call(struct known *known, uint32_t call)
{
    struct active *newest = known->call_count ? &known->calls[known->call_count - 1] : NULL;
    return newest && newest->call == call ? newest : find_older_call(known, call);
}

static const struct active *parent_of(struct known *known, const struct active *call)
{
    return call->parent ? find_call(known, call->parent) : NULL;
}

static const struct function *function_of(const kc *m, const struct active *call) { return &m->blocks->functions[call->function]; }

/* false: no memory. */
static SELDOM bool make_room_for_call(kc *m)
{
    struct known *known = &m->blocks->now;
    void *calls = grow(known->calls, &known->call_capacity, sizeof *known->calls);

    if (!calls) {
        kc_no_memory(m);
        return false;
    }
    known->calls = calls;
    return true;
}

void kc_blocks_entered(kc *m, const struct open_call *call, uint32_t function, uint32_t parent, uint32_t event)
{
    struct known *known = &m->blocks->now;
    if (function >= m->blocks->function_count)
        return; /* of which nothing is said */
    const struct function *f = &m->blocks->functions[function];
    const struct active *around = parent ? find_call(known, parent) : NULL;
    uint32_t top = around && around->top ? around->top : f->is.role == KC_ROLE_OTHER ? 0 : call->call;
    bool counts = f->is.when == KC_NO_VALUE || call->values[f->is.when];
    if (!known->call_count)
        kc_shadow_begin_call(m);
    if (known->call_count == known->call_capacity && !make_room_for_call(m))
        return;
    known->calls[known->call_count++] = (struct active){
        .call = call->call, .parent = parent, .entered = event, .top = top, .function = (uint8_t)function, .does = counts ? f->does : 0,
    };
}

/* What the calls around one do to its area, the outermost of them that changes it, or itself, and the other areas whose calls these
 * are. */
struct surroundings { uint8_t does; uint32_t root; uint64_t inside[KC_AREA_WORDS]; };

static inline struct surroundings surroundings_of(kc *m, const struct active *call)
{
    struct surroundings found = {.root = call->call};
    uint8_t area = function_of(m, call)->is.area;

    for (const struct active *each = call; (each = parent_of(&m->blocks->now, each));) {
        uint8_t other = function_of(m, each)->is.area;
        if (other != area) {
            found.inside[other / 64] |= UINT64_C(1) << (other % 64);
            continue;
        }
        found.does |= each->does;
        if (each->does & CHANGES)
            found.root = each->call;
    }
    return found;
}

/* Forget calls that nothing needs any more: those inside of a call that has left, and it. */
static SELDOM void forget_calls(struct known *known, uint32_t top)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < known->call_count; i++)
        if (known->calls[i].call != top && known->calls[i].top != top)
            known->calls[kept++] = known->calls[i];
    known->call_count = kept;
}

/* -- what a call says ---------------------------------------------------------------------------- */

static bool add_operation(kc *m, const struct operation *operation)
{
    struct known *known = &m->blocks->now;
    void *operations = grown(known->operations, known->operation_count, &known->operation_capacity, sizeof *operation);

    if (!operations) {
        kc_no_memory(m);
        return false;
    }
    known->operations = operations;
    known->operations[known->operation_count++] = *operation;
    return true;
}

/* An operation of a call, without its event and its address. */
static INLINED void describe(const struct function *f, const struct active *call, const uint32_t *values, struct operation *out)
{
    *out = f->plain;
    out->call = call->call;
    if (f->says_size)
        out->size = kc_size_of(&f->is, values);
    if (f->plain.knows_pool)
        out->pool = values[f->is.pool];
}

static inline bool has_failed(const struct function *f, const kc_late *how) { return how && f->is.result == KC_RESULT_ERROR && how->result; }

/* Has a call made a block? */
static INLINED bool has_made(const kc *m, const struct function *f, const kc_late *how, struct operation *out)
{
    out->event = how->left;
    return kc_has_made(&f->is, m->blocks->failures, how->result, how->out, &out->address);
}

/* Does it mean a block, as a call that has not failed? */
static INLINED bool has_meant(const struct function *f, const uint32_t *values, const kc_late *how, uint32_t event, struct operation *out)
{
    out->event = event;
    out->address = kc_named_by(&f->is, values);
    return !has_failed(f, how) && kc_names_block(&f->is, values, f->is.pages);
}

/* A call that gives a block back, and makes another one of it. */
static uint32_t resize(const kc *m, const struct function *f, const struct active *call, const uint32_t *values, const kc_late *how,
                       struct operation out[2])
{
    struct operation birth = *out;
    bool makes = has_made(m, f, how, &birth), empties = makes || (birth.may_be_empty && !birth.size);

    if (empties && kc_names_block(&f->is, values, false)) {
        out->kind = DEATH;
        out->event = call->entered;
        out->address = kc_named_by(&f->is, values);
        out->is_resized = makes && birth.address == out->address;
        out->size = 0;
        out[1] = birth;
        return 1u + makes;
    }
    *out = birth;
    return makes;
}

/* What a call has done to its area, in the order of events. Returns how many operations that are. */
static uint32_t operations_of(const kc *m, const struct active *call, const struct surroundings *around, const uint32_t *values,
                              const kc_late *how, struct operation out[2])
{
    const struct function *f = function_of(m, call);

    describe(f, call, values, out);
    out->is_nested = around->does & CHANGES;
    memcpy(out->inside, around->inside, sizeof out->inside);
    switch (f->is.role) {
    case KC_ROLE_ALLOC:
        return how && has_made(m, f, how, out);
    case KC_ROLE_REALLOC:
        return how ? resize(m, f, call, values, how, out) : 0;
    case KC_ROLE_FREE:
    case KC_ROLE_DEFER:
        return has_meant(f, values, how, call->entered, out) && !(around->does & SEEDS);
    case KC_ROLE_SHARE:
        return how && has_meant(f, values, how, how->left, out);
    case KC_ROLE_RESET:
        out->event = call->entered;
        return !has_failed(f, how);
    default:
        return 0;
    }
}

/* -- what happens to blocks ---------------------------------------------------------------------- */

/* Where a byte of a block lies now; -1: nowhere in RAM. base: of the segment that addresses are in. */
static INLINED int64_t physical_of(kc *m, uint32_t base, uint32_t address, bool is_frame)
{
    int64_t at = is_frame ? (int64_t)address : kc_translate_now(m, base + address);
    return at >= 0 && (uint64_t)at < m->memory_end ? at : -1;
}

/* Say where a block lies, page by page. One of no bytes has a piece of none. Returns the block, as it may have moved. */
static INLINED struct block *add_pieces(kc *m, struct block *block, uint32_t address, uint32_t size, uint32_t offset, bool is_frame)
{
    struct block_table *t = &m->blocks->now.table;
    uint32_t base = is_frame ? 0 : kc_segment_base(m, DS), done = 0, part, pages = 0;

    do {
        uint32_t left = PAGE_SIZE - ((base + address + done) & PAGE_MASK);
        int64_t physical = physical_of(m, base, address + done, is_frame);
        part = left < size - done ? left : size - done;
        if (physical < 0)
            return block;
        struct block *now = kc_piece_add(t, block, (uint64_t)physical, part, offset + done);
        if (!now) {
            kc_no_memory(m);
            return block;
        }
        block = now;
        done += part;
    } while (done < size && ++pages <= t->page_count);
    return block;
}

static __attribute__((noinline)) void die(kc *m, uint32_t number, uint32_t event, uint32_t call, bool is_resized)
{
    struct block_table *t = &m->blocks->now.table;

    kc_poison_freed(m, t, kc_block_die(t, number, event, call), is_resized);
}

/* The place of a block is handed out again, without a free. */
static SELDOM void displace(kc *m, const struct operation *o, uint32_t number)
{
    struct block_table *t = &m->blocks->now.table;
    struct place *place = kc_place_at(t, o->area, kc_block_at(t, number)->life.address);

    if (!place) {
        kc_no_memory(m);
        return;
    }
    die(m, number, o->event, 0, false);
    place->displaced = t->now.deaths;
}

/* One block [start, start + size), of an area of pages one page of it. */
static __attribute__((noinline)) void make(kc *m, const struct operation *o, uint32_t start, uint32_t size, uint32_t address, bool is_page)
{
    struct block_table *t = &m->blocks->now.table;
    uint32_t live = kc_block_find(t, o->area, address);

    if (live)
        displace(m, o, live);
    struct block *block = kc_block_add(t, o->area, address, o->is_nested);
    if (!block) {
        kc_no_memory(m);
        return;
    }
    block->life.as.start = start;
    block->life.as.size = size;
    block->life.as.born = o->event;
    block->life.as.birth = o->call;
    block->life.is_page = is_page;
    block->pool = o->pool;
    block->knows_pool = o->knows_pool;
    memcpy(block->inside, o->inside, sizeof block->inside);
    if (size || o->may_be_empty) {
        block = add_pieces(m, block, address, is_page ? PAGE_SIZE : size, address - start, o->is_frame);
        kc_poison_around(m, t, &m->blocks->objects, &block->life);
        return;
    }
    int64_t physical = physical_of(m, kc_segment_base(m, DS), address, o->is_frame);
    if (physical >= 0)
        kc_unpoison_unsized(m, t, (uint64_t)physical);
}

struct page_run { uint64_t first, stop; }; /* addresses of pages */

/* The pages of an operation; without a size, those of the latest run that began there. */
static struct page_run run_of(const struct block_table *t, const struct operation *o)
{
    uint64_t start = o->address & ~PAGE_MASK, size = o->size, space = (uint64_t)KC_PAGES_4GIB << PAGE_SHIFT;

    if (o->address == KC_NOWHERE)
        return (struct page_run){space, space};
    if (!size && o->kind != BIRTH) {
        const struct place *place = kc_place_find(t, o->area, (uint32_t)start);
        size = place ? place->run : 0;
    }
    uint64_t pages = (size + PAGE_MASK) >> PAGE_SHIFT;
    uint64_t stop = start + ((pages ? pages : 1) << PAGE_SHIFT);
    return (struct page_run){start, stop < space ? stop : space};
}

/* A block that was made inside of another call, and of which the allocator hands out a part now, was none. */
static SELDOM void find_stock(kc *m, const struct operation *o, bool pages)
{
    struct block_table *t = &m->blocks->now.table;
    uint64_t start = pages ? o->address & ~PAGE_MASK : o->address, end = start + (o->size ? o->size : pages ? PAGE_SIZE : 1);
    uint32_t holder = 0;

    for (uint32_t i = 0; i < t->now.nested_count; i++) {
        const struct block_life *each = &kc_block_at(t, t->nested[i])->life;
        if (each->as.area == o->area && each->as.start <= start && (!holder || each->as.start >= kc_block_at(t, holder)->life.as.start))
            holder = t->nested[i];
    }
    if (!holder)
        return;
    const struct block_life of = kc_block_at(t, holder)->life;
    uint64_t stop = (uint64_t)of.as.start + (of.as.size ? of.as.size : pages ? PAGE_SIZE : 1);
    if (start >= stop || end > stop)
        return;
    for (uint64_t at = pages ? of.as.start : of.address; at < stop; at += PAGE_SIZE) {
        uint32_t number = kc_block_find(t, o->area, (uint32_t)at);
        if (number && kc_block_at(t, number)->life.as.born == of.as.born)
            kc_block_drop(t, number);
        if (!pages)
            return;
    }
}

static void remember_run(kc *m, uint32_t area, uint32_t first, uint32_t size)
{
    struct block_table *t = &m->blocks->now.table;
    const struct place *found = kc_place_find(t, area, first);
    uint32_t run = size == PAGE_SIZE ? 0 : size;

    if (found ? found->run == run : !run)
        return;
    struct place *place = kc_place_at(t, area, first);
    if (place)
        place->run = run;
    else
        kc_no_memory(m);
}

static __attribute__((noinline)) void make_pages(kc *m, const struct operation *o)
{
    struct block_table *t = &m->blocks->now.table;
    struct page_run run = run_of(t, o);
    uint32_t size = (uint32_t)(run.stop - run.first);
    uint64_t most = run.first + (((uint64_t)t->page_count + 1) << PAGE_SHIFT);
    for (uint64_t at = run.first; at < run.stop && at < most; at += PAGE_SIZE)
        make(m, o, (uint32_t)run.first, size, (uint32_t)at, true);
    if (size != PAGE_SIZE || kc_has_places(t, o->area))
        remember_run(m, o->area, (uint32_t)run.first, size);
}

/* The address that an allocator answers where it is asked for no bytes is no memory. */
static SELDOM bool is_of_all(kc *m, const struct operation *o, bool asks)
{
    struct block_table *t = &m->blocks->now.table;
    const struct place *found = kc_place_find(t, o->area, o->address);

    if (asks && !(found && found->is_of_all) && o->address >= PAGE_SIZE) {
        uint32_t live = kc_block_find(t, o->area, o->address);
        if (!live || kc_block_at(t, live)->life.as.size)
            return false;
        kc_block_drop(t, live);
    }
    if (asks == (found && found->is_of_all))
        return asks;
    struct place *place = kc_place_at(t, o->area, o->address);
    if (place)
        place->is_of_all = asks;
    else
        kc_no_memory(m);
    return asks;
}

static INLINED void give_birth(kc *m, const struct operation *o, bool pages)
{
    struct block_table *t = &m->blocks->now.table;
    bool asks = !o->size && o->may_be_empty;

    if (!pages && (asks || kc_has_places(t, o->area)) && is_of_all(m, o, asks))
        return;
    if (t->now.nested_count)
        find_stock(m, o, pages);
    if (pages)
        make_pages(m, o);
    else
        make(m, o, o->address, o->size, o->address, false);
}

/* A block had been given back before its place was handed out again by another task: the call that did so has returned only now. */
static SELDOM void die_earlier(kc *m, const struct place *place, const struct operation *o)
{
    struct block_table *t = &m->blocks->now.table;
    const struct block_life *block = kc_dead_at(t, place->displaced);

    if (!block || block->as.death || block->as.born > o->event || block->as.died < o->event)
        return;
    struct block_life *dead = kc_dead_change(t, place->displaced);
    dead->as.died = o->event;
    dead->as.death = o->call;
}

/* A free of what does not live, or was made only after it. */
static SELDOM void free_again(kc *m, const struct operation *o, uint32_t address, bool lives)
{
    struct block_table *t = &m->blocks->now.table;
    const struct place *place = kc_place_find(t, o->area, address);

    if (place && place->deferred && !lives)
        kc_place_change(t, place)->deferred--;
    else if (place)
        die_earlier(m, place, o);
}

/* A block, or a page, gets an owner, or loses one. */
static INLINED void change_owners(kc *m, const struct operation *o, enum kind kind, uint32_t address)
{
    struct block_table *t = &m->blocks->now.table;
    uint32_t number = kc_block_find(t, o->area, address);
    struct block *block = number ? kc_block_change(t, number) : NULL;

    if (block && block->deferred && kind == DEATH)
        block->deferred--;
    else if (!block || block->life.as.born > o->event) {
        if (kind == DEATH)
            free_again(m, o, address, block);
    } else {
        block->deferred += kind == DEFERRED;
        block->owners += kind == SHARED ? 1 : -1;
        if (!block->owners)
            die(m, number, o->event, o->call, o->is_resized);
    }
}

static SELDOM void reset(kc *m, const struct operation *o)
{
    struct block_table *t = &m->blocks->now.table;

    for (uint32_t number = t->now.live[o->area].oldest, next; number; number = next) {
        const struct block *block = kc_block_at(t, number);
        next = block->next;
        if (block->life.as.born < o->event && (!o->knows_pool || (block->knows_pool && block->pool == o->pool)))
            die(m, number, o->event, o->call, false);
    }
}

static __attribute__((noinline)) void change_pages(kc *m, const struct operation *o)
{
    struct page_run run = run_of(&m->blocks->now.table, o);

    for (uint64_t at = run.first; at < run.stop; at += PAGE_SIZE)
        change_owners(m, o, o->kind, (uint32_t)at);
}

static void happen(kc *m, const struct operation *o, bool pages)
{
    if (o->kind == RESET)
        reset(m, o);
    else if (o->kind == BIRTH)
        give_birth(m, o, pages);
    else if (pages)
        change_pages(m, o);
    else
        change_owners(m, o, o->kind, o->address);
}

/* -- the end of a root --------------------------------------------------------------------------- */

/* The memory that an operation is about. */
static void span_of(const struct operation *o, bool pages, uint64_t *start, uint64_t *end)
{
    uint64_t unknown = pages ? PAGE_SIZE : o->kind == BIRTH ? UINT64_C(1) << 32 : 1;

    *start = pages ? o->address & ~PAGE_MASK : o->address;
    *end = *start + (o->size ? o->size : unknown);
}

/* Is it about memory of an operation of a call around it? */
static bool is_repeated(kc *m, const struct operation *inner, const struct operation *all, uint32_t count, bool pages)
{
    struct known *known = &m->blocks->now;
    const struct active *call = find_call(known, inner->call);
    uint64_t start, end, outer_start, outer_end;

    if (!call || inner->kind == RESET || inner->kind == DEFERRED)
        return false;
    span_of(inner, pages, &start, &end);
    while ((call = parent_of(known, call)))
        for (uint32_t i = 0; i < count; i++) {
            if (all[i].call != call->call || (all[i].kind != inner->kind && !(inner->kind == SHARED && all[i].kind == BIRTH)))
                continue;
            span_of(&all[i], pages, &outer_start, &outer_end);
            if (start < outer_end && outer_start < end)
                return true;
        }
    return false;
}

static bool is_inside(struct known *known, uint32_t call, uint32_t root)
{
    const struct active *each = find_call(known, call);

    while (each && each->call != root)
        each = parent_of(known, each);
    return each;
}

/* Put an operation among others, by its event. */
static void insert(struct operation *list, uint32_t count, const struct operation *operation)
{
    for (; count && list[count - 1].event > operation->event; count--)
        list[count] = list[count - 1];
    list[count] = *operation;
}

/* All that was done to an area inside of a call happens. */
static SELDOM void settle(kc *m, uint32_t root, uint32_t area, bool pages)
{
    struct blocks *b = m->blocks;
    struct known *known = &b->now;
    uint32_t kept = 0, count = 0;

    for (uint32_t i = 0; i < known->operation_count; i++) {
        const struct operation *each = &known->operations[i];
        if (each->area == area && is_inside(known, each->call, root)) {
            struct operation *mine = grown(b->mine, count, &b->mine_capacity, sizeof *mine);
            if (!mine) {
                kc_no_memory(m);
                return;
            }
            b->mine = mine;
            insert(mine, count++, each);
        } else if (find_call(known, each->call)) /* else its root was never seen to end */
            known->operations[kept++] = *each;
    }
    known->operation_count = kept;
    for (uint32_t i = 0; i < count; i++)
        if (!b->mine[i].is_nested || !is_repeated(m, &b->mine[i], b->mine, count, pages))
            happen(m, &b->mine[i], pages);
}

/* Memory is given to an allocator at its start, or anew when it forgets its blocks. If it lies in one variable, that was made for it. */
static SELDOM void seed(kc *m, const kc_block_function *f, const uint32_t *values)
{
    static const struct objects none;
    struct block_table *t = &m->blocks->now.table;
    const struct objects *objects = &m->blocks->objects;

    if (f->start == KC_NO_VALUE || f->end == KC_NO_VALUE || values[f->end] <= values[f->start])
        return;
    uint32_t base = kc_segment_base(m, DS);
    int64_t first = physical_of(m, base, values[f->start], false), last = physical_of(m, base, values[f->end] - 1, false);
    if (first >= 0 && last >= 0 && kc_is_same_object(objects, (uint64_t)first, (uint64_t)last))
        objects = &none;
    for (uint64_t at = values[f->start], next, pages = 0; at < values[f->end] && pages <= t->page_count; at = next, pages++) {
        int64_t physical = physical_of(m, base, (uint32_t)at, false);
        next = at + PAGE_SIZE - ((base + at) & PAGE_MASK);
        next = next < values[f->end] ? next : values[f->end];
        if (physical >= 0)
            kc_poison_given(m, t, objects, (uint64_t)physical, (uint32_t)(next - at));
    }
}

/* What a call has done happens, later if a call around it is about the same. false: no memory. */
static SELDOM bool do_later(kc *m, const struct active *call, bool is_root, const struct operation *done, uint32_t count)
{
    const kc_block_function *f = &function_of(m, call)->is;

    for (uint32_t i = 0; i < count; i++)
        if (!add_operation(m, &done[i]))
            return false;
    if (is_root)
        settle(m, call->call, f->area, f->pages);
    return true;
}

/* false: no memory. */
static __attribute__((noinline)) bool take_effect(kc *m, const struct active *call, const uint32_t *values, const kc_late *how)
{
    struct surroundings around = surroundings_of(m, call);
    struct operation done[2];
    uint32_t count = operations_of(m, call, &around, values, how, done);
    bool is_root = around.root == call->call;

    if (!is_root || m->blocks->now.operation_count)
        return do_later(m, call, is_root, done, count);
    for (uint32_t i = 0; i < count; i++)
        happen(m, &done[i], function_of(m, call)->is.pages);
    return true;
}

/* The same of a call that no other one is around, and that is no more than a birth or a death. */
static INLINED void take_plain_effect(kc *m, const struct active *call, const uint32_t *values, const kc_late *how)
{
    const struct function *f = function_of(m, call);
    struct operation done;

    describe(f, call, values, &done);
    if (f->does & MAKES) {
        if (how && has_made(m, f, how, &done))
            give_birth(m, &done, f->is.pages);
    } else if (has_meant(f, values, how, call->entered, &done)) {
        if (f->is.pages)
            change_pages(m, &done);
        else
            change_owners(m, &done, DEATH, done.address);
    }
}

/* how: it has returned; NULL: it never will. */
static void end_call(kc *m, const struct open_call *open, const kc_late *how)
{
    struct known *known = &m->blocks->now;
    struct active *call = find_call(known, open->call);

    if (!call)
        return;
    const struct function *f = function_of(m, call);
    uint32_t top = call->top, before = known->operation_count;
    bool is_newest = call == &known->calls[known->call_count - 1];
    if (call->does & CHANGES && f->is_plain && !call->parent && !before)
        take_plain_effect(m, call, open->values, how);
    else if (call->does & CHANGES && !take_effect(m, call, open->values, how))
        return;
    if (known->table.is_torn)
        kc_no_memory(m);
    if (f->seeds && how && (call->does & SEEDS || f->is.role == KC_ROLE_RESET))
        seed(m, &f->is, open->values);
    bool is_top = !top || top == call->call;
    if (is_newest && (is_top || known->operation_count == before)) /* mostly */
        known->call_count--;
    else if (is_top)
        forget_calls(known, call->call);
}

void kc_blocks_left(kc *m, const struct open_call *call, const kc_late *how)
{
    end_call(m, call, how);
}

void kc_blocks_abandoned(kc *m, const struct open_call *call) { end_call(m, call, NULL); }

/* -- looking at blocks --------------------------------------------------------------------------- */

bool kc_has_had_blocks(const kc *m, uint64_t physical) { return kc_block_page(&m->blocks->now.table, physical)->newest; }

/* How far the piece of a block is from an address that may not be accessed. Far are stock, of which others are parts, as long
 * as it was not freed as a whole, and a block that has died where the address is not one of freed memory: it lay there before. */
static uint64_t distance_to(const struct block_life *block, const struct block_piece *piece, uint64_t physical, enum kc_poison poison)
{
    uint64_t end = (uint64_t)piece->physical + piece->size;

    if (block->is_held && (block->is_live || poison != KC_FREED || physical < piece->physical || physical >= end))
        return UINT64_MAX;
    if (physical < piece->physical)
        return piece->physical - physical;
    return physical >= end ? physical - end + 1 : block->is_live || poison == KC_FREED ? 0 : UINT64_MAX - 1;
}

/* The piece that is nearest to an address so far. */
struct nearest { const struct block_life *block; const struct block_piece *piece; uint64_t distance; };

/* Of two pieces as far from an address: is the first one better? */
static bool is_better(const struct nearest *one, const struct nearest *other, enum kc_poison poison)
{
    const struct block_life *a = one->block, *b = other->block;

    if (a->is_held != b->is_held)
        return b->is_held;
    if (a->is_live != b->is_live)
        return a->is_live == (poison != KC_FREED);
    if (a->as.died != b->as.died)
        return a->as.died > b->as.died;
    return !a->is_live && (one->piece->physical ^ other->piece->physical) < PAGE_SIZE && a->as.born > b->as.born;
}

static void look_at(const struct block_life *block, const struct block_piece *piece, uint64_t physical, enum kc_poison poison, struct nearest *nearest)
{
    const struct nearest it = {block, piece, distance_to(block, piece, physical, poison)};

    if (!nearest->piece || it.distance < nearest->distance || (it.distance == nearest->distance && is_better(&it, nearest, poison)))
        *nearest = it;
}

bool kc_block_near(const kc *m, uint64_t physical, kc_block *out, int32_t *distance)
{
    const struct block_table *t = &m->blocks->now.table;
    uint64_t page = physical >> PAGE_SHIFT, first = page < NEAR_PAGES ? 0 : page - NEAR_PAGES;
    enum kc_poison poison = kc_poison_at(m, physical);
    struct nearest nearest = {0};

    for (uint64_t each = first; each <= page + NEAR_PAGES && each < t->page_count; each++) {
        for (uint32_t number = kc_block_page(t, each << PAGE_SHIFT)->pieces; number; number = kc_block_piece(t, number)->next_in_page)
            look_at(&kc_block_at(t, kc_block_piece(t, number)->block)->life, kc_block_piece(t, number), physical, poison, &nearest);
        for (uint32_t death = t->now.deaths - t->now.dead_count; death++ != t->now.deaths;)
            for (const struct block_piece *piece = kc_first_piece(kc_dead_at(t, death)); piece; piece = kc_next_piece(t, piece))
                if (piece->physical >> PAGE_SHIFT == each)
                    look_at(kc_dead_at(t, death), piece, physical, poison, &nearest);
    }
    if (!nearest.piece)
        return false;
    *out = nearest.block->as;
    *distance = (int32_t)(physical - nearest.piece->physical + nearest.piece->offset);
    return true;
}

bool kc_block_over(const kc *m, uint64_t physical, kc_block *out, uint32_t *distance)
{
    const struct block_table *t = &m->blocks->now.table;

    if (!t->page_count || (!kc_block_page(t, physical)->whole && !kc_is_taken(t, physical)))
        return false;
    for (uint32_t number = kc_block_page(t, physical)->pieces; number; number = kc_block_piece(t, number)->next_in_page) {
        const struct block_piece *piece = kc_block_piece(t, number);
        if (kc_block_at(t, piece->block)->life.is_held || physical < piece->physical || physical >= (uint64_t)piece->physical + piece->size)
            continue;
        *out = kc_block_at(t, piece->block)->life.as;
        *distance = (uint32_t)physical - piece->physical + piece->offset;
        return true;
    }
    return false;
}

/* -- for Python ---------------------------------------------------------------------------------- */

static int by_place(const void *one, const void *other)
{
    const kc_block *a = one, *b = other;

    if (a->area != b->area)
        return a->area < b->area ? -1 : 1;
    return (a->start > b->start) - (a->start < b->start);
}

static bool make_room(struct blocks *b, uint32_t count)
{
    kc_block *shown = count < b->shown_capacity ? b->shown : realloc(b->shown, (count + 1) * sizeof *shown);

    if (!shown)
        return false;
    b->shown_capacity = shown == b->shown ? b->shown_capacity : count + 1;
    b->shown = shown;
    return true;
}

/* The block as it is, or its one page. */
static kc_block part_of(const struct block_life *block)
{
    kc_block part = block->as;

    part.start = block->address;
    part.size = block->is_page ? PAGE_SIZE : part.size;
    return part;
}

/* Does a page follow on another one, with the same life? */
static bool goes_on(const kc_block *one, const kc_block *next)
{
    return one->area == next->area && one->born == next->born && one->died == next->died && one->start + one->size == next->start;
}

static uint32_t join_pages(kc_block *blocks, uint32_t count)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < count; i++)
        if (kept && goes_on(&blocks[kept - 1], &blocks[i]))
            blocks[kept - 1].size += blocks[i].size;
        else
            blocks[kept++] = blocks[i];
    return kept;
}

const kc_block *kc_live_blocks(kc *m, uint32_t *count)
{
    struct blocks *b = m->blocks;
    uint32_t found = 0;

    *count = 0;
    if (!make_room(b, b->now.table.now.block_count))
        return NULL;
    for (uint32_t number = 1; number <= b->now.table.now.block_count; number++)
        if (kc_block_at(&b->now.table, number)->life.is_live)
            b->shown[found++] = part_of(&kc_block_at(&b->now.table, number)->life);
    qsort(b->shown, found, sizeof *b->shown, by_place);
    *count = join_pages(b->shown, found);
    return b->shown;
}

const kc_block *kc_dead_blocks(kc *m, uint32_t *count)
{
    struct blocks *b = m->blocks;
    const struct block_table *t = &b->now.table;
    uint32_t found = 0;

    *count = 0;
    if (!make_room(b, t->now.dead_count))
        return NULL;
    for (uint32_t death = t->now.deaths - t->now.dead_count; death++ != t->now.deaths;)
        b->shown[found++] = part_of(kc_dead_at(t, death));
    *count = join_pages(b->shown, found);
    return b->shown;
}

/* -- life, snapshots ------------------------------------------------------------------------------ */

static bool copied(void *to, const void *from, size_t size)
{
    void *list = malloc(size + 1);

    memcpy(to, &list, sizeof list);
    if (list && size)
        memcpy(list, from, size);
    return list;
}

int kc_blocks_open(kc *m, const kc_checking *checks)
{
    struct blocks *b = m->blocks;

    b->functions = malloc(checks->function_count * sizeof *b->functions + 1);
    b->failures = malloc(checks->failure_count * 2 * sizeof *b->failures + 1);
    b->objects = (struct objects){malloc(checks->object_count * sizeof *b->objects.list + 1), checks->object_count};
    if (!kc_block_table_open(&b->now.table, kc_kept_size(m), ++b->openings, (uint32_t)(m->memory_end >> PAGE_SHIFT)) || !b->functions || !b->failures ||
        !b->objects.list) {
        kc_blocks_close(m);
        return -1;
    }
    for (uint32_t i = 0; i < checks->function_count; i++)
        b->functions[i] = understood(&checks->functions[i]);
    memcpy(b->failures, checks->failures, checks->failure_count * 2 * sizeof *b->failures);
    memcpy(b->objects.list, checks->objects, checks->object_count * sizeof *b->objects.list);
    b->function_count = checks->function_count;
    b->recording = kc_recording(m);
    return 0;
}

void kc_blocks_close(kc *m)
{
    struct blocks *b = m->blocks;

    free(b->functions);
    free(b->failures);
    free(b->objects.list);
    free(b->shown);
    free(b->mine);
    free(b->now.calls);
    free(b->now.operations);
    kc_block_table_close(&b->now.table);
    *b = (struct blocks){.openings = b->openings};
}

int kc_blocks_save(kc *m, void **out)
{
    struct known *now = &m->blocks->now;
    struct kept_blocks *kept;

    *out = NULL;
    if (!m->blocks->functions)
        return 0;
    if (!(kept = calloc(1, sizeof *kept)))
        return -1;
    *out = kept;
    kept->call_count = now->call_count;
    kept->operation_count = now->operation_count;
    kept->table = kc_block_table_save(&now->table);
    return kept->table && copied(&kept->calls, now->calls, now->call_count * sizeof *now->calls) &&
                   copied(&kept->operations, now->operations, now->operation_count * sizeof *now->operations) ? 0 : -1;
}

int kc_blocks_restore(kc *m, const void *saved)
{
    struct blocks *b = m->blocks;
    struct known *now = &b->now;
    const struct kept_blocks *kept = saved;

    if (!b->functions)
        return 0;
    if (!kept || !kc_block_table_has(&now->table, kept->table)) { /* nothing was known then */
        uint32_t page_count = now->table.page_count;
        now->call_count = now->operation_count = 0;
        kc_block_table_close(&now->table);
        return kc_block_table_open(&now->table, kc_kept_size(m), b->openings, page_count) ? 0 : -1;
    }
    kc_block_table_restore(&now->table, kept->table);
    now->call_count = kept->call_count;
    now->operation_count = kept->operation_count;
    if (kept->call_count)
        memcpy(now->calls, kept->calls, kept->call_count * sizeof *now->calls);
    if (kept->operation_count)
        memcpy(now->operations, kept->operations, kept->operation_count * sizeof *now->operations);
    return 0;
}

void kc_blocks_forget(void *saved)
{
    struct kept_blocks *kept = saved;

    if (!kept)
        return;
    kc_block_table_forget(kept->table);
    free(kept->calls);
    free(kept->operations);
    free(kept);
}

int kc_blocks_init(kc *m) { return KC_NEW(m->blocks); }

void kc_blocks_free(kc *m)
{
    if (m->blocks)
        kc_blocks_close(m);
    free(m->blocks);
}
