/*
 * The lives of the blocks of flat areas, in one pass over the calls.
 *
 * Theory. A block is made when its call returns, and given back when one is entered. Calls come in the order of their entries; those that are
 * open wait for their returns in a heap, so that all of it happens in order of events. Most calls return at the next event and wait
 * for nothing. A hash table knows by address the block that was made there last, and a bitmap which memory live blocks cover. Where
 * all blocks are forgotten, or those of a pool, all of the table is looked at.
 *
 * Whatever takes more than that, such as an allocator that calls itself, or a run of pages that is given back in parts, ends the flatness of
 * the area: emulator/trace/blocks/history.py knows what it means.
 */

#include <stdlib.h>
#include <string.h>

#include "analysis/analysis.h"
#include "analysis/bitmaps.h"
#include "analysis/block_calls.h"
#include "analysis/inlined.h"

enum { AREAS = 64, VALUES = 8, FIRST_BITS = 10 };
enum { MOST_LOOKED_AT = 1 << 26 }; /* places of an area, for blocks that are forgotten together */
/* Log2 of the bytes that a bit stands for: at first, and the least; of an area of pages it is KC_PAGE_BITS. */
enum { FIRST_UNIT = 4, LEAST_UNIT = 2 };
enum { LEAF_BITS = 18, LEAVES = 1 << (32 - LEAST_UNIT - LEAF_BITS), LONGEST = 1 << LEAF_BITS, LEAF_WORDS = LONGEST / 64 };
#define NEVER UINT32_MAX

/* -- which memory live blocks cover -------------------------------------------------------------- */

/* A bit for each unit, in leaves that are there once they are needed. */
typedef struct {
    uint64_t *leaves[LEAVES];
    uint8_t unit;
} cover;

static uint64_t **leaf_of(cover *c, uint32_t word) { return &c->leaves[word / LEAF_WORDS]; }

enum covered { WAS_FREE, WAS_COVERED, NO_MEMORY };

/* The units of a block. Nearly all are short: they lie in one or two words of a leaf. No jump depends on which of both: nobody foresees it. */
typedef struct {
    uint32_t first, last;     /* numbers of units */
    uint32_t word, more;      /* of the first one; and how many words the last one is behind it */
    uint64_t bits, more_bits; /* of a short one: in that word, and in the other one, if there is one */
    bool is_short;
} units;

static inline units units_of(const cover *c, uint32_t address, uint32_t size)
{
    uint64_t end = (uint64_t)address + size - 1;
    units of = {.first = address >> c->unit, .last = (uint32_t)(end < UINT32_MAX ? end : UINT32_MAX) >> c->unit};

    of.word = of.first / KC_WORD_BITS;
    of.more = of.last / KC_WORD_BITS - of.word;
    of.is_short = of.more < 2 && of.word % LEAF_WORDS < LEAF_WORDS - 1;
    uint64_t until_last = ~0ull >> (KC_WORD_BITS - 1 - of.last % KC_WORD_BITS), if_more = -(uint64_t)(of.more != 0);
    of.bits = ~0ull << of.first % KC_WORD_BITS & (until_last | if_more);
    of.more_bits = until_last & if_more;
    return of;
}

/* Cover [address, address + size), and say whether a part of it was covered. */
static INLINED enum covered cover_block(cover *c, uint32_t address, uint32_t size)
{
    units of = units_of(c, address, size);
    enum covered found = WAS_FREE;

    if (of.is_short && *leaf_of(c, of.word)) {
        uint64_t *words = *leaf_of(c, of.word) + of.word % LEAF_WORDS;
        found = (words[0] & of.bits) | (words[of.more] & of.more_bits) ? WAS_COVERED : WAS_FREE;
        words[0] |= of.bits;
        words[of.more] |= of.more_bits;
        return found;
    }
    for (uint32_t at = of.word; at <= of.last / KC_WORD_BITS; at++) {
        uint64_t mask = kc_mask_in(at, of.first, of.last), **leaf = leaf_of(c, at);
        if (!*leaf && !(*leaf = calloc(LEAF_WORDS, sizeof(uint64_t))))
            return NO_MEMORY;
        if ((*leaf)[at % LEAF_WORDS] & mask)
            found = WAS_COVERED;
        (*leaf)[at % LEAF_WORDS] |= mask;
    }
    return found;
}

static INLINED void uncover_block(cover *c, uint32_t address, uint32_t size)
{
    units of = units_of(c, address, size);

    if (of.is_short) {
        uint64_t *words = *leaf_of(c, of.word) + of.word % LEAF_WORDS;
        words[0] &= ~of.bits;
        words[of.more] &= ~of.more_bits;
        return;
    }
    for (uint32_t at = of.word; at <= of.last / KC_WORD_BITS; at++)
        (*leaf_of(c, at))[at % LEAF_WORDS] &= ~kc_mask_in(at, of.first, of.last);
}

/* -- what was made at an address last ------------------------------------------------------------ */

typedef struct {
    uint32_t address, size, born, born_call; /* of the block that was made there last */
    uint32_t longest;                        /* of those that do not live any more */
    uint32_t block, pool;                    /* its number, from 0, and of which pool it is */
    bool is_used : 1, is_live : 1, has_pool : 1;
    bool is_forgotten : 1; /* nobody has given it back, but it lives no more */
    bool is_of_all : 1;    /* the address stands for all blocks of no bytes, and is no memory */
} place;

typedef struct {
    place *places;
    uint32_t bits, used;
} table;

static place *find(const table *t, uint32_t address)
{
    uint32_t mask = (1u << t->bits) - 1, at = address * 2654435769u >> (32 - t->bits);

    while (t->places[at].is_used && t->places[at].address != address)
        at = (at + 1) & mask;
    return &t->places[at];
}

static bool grow(table *t)
{
    table larger = {calloc(2ull << t->bits, sizeof(place)), t->bits + 1, t->used};

    if (!larger.places)
        return false;
    for (uint64_t i = 0; i < 1ull << t->bits; i++)
        if (t->places[i].is_used)
            *find(&larger, t->places[i].address) = t->places[i];
    free(t->places);
    *t = larger;
    return true;
}

/* -- areas ---------------------------------------------------------------------------------------- */

typedef struct {
    kc_flat_area *out;
    table table;
    cover cover;
    int64_t bytes;
    uint32_t blocks; /* that live */
    uint32_t places_of_all;
    bool strayed_low; /* something was given back in the page of the null pointer, where nothing was */
    uint64_t looked_at; /* places, for all that was forgotten so */
} area;
#define NO_POOL UINT64_MAX /* it is not known of which pool a block is */

/* A call that makes a block, if it returns. */
typedef struct {
    uint32_t call, left, result, out, size, stack;
    uint8_t function;
    uint64_t pool;
} waiting;

/* The memory that a call is about: `end` is 0 where it is about none, and FAR behind `start` where its size is not known. */
typedef struct {
    uint64_t start, end;
} span;
#define FAR (1ull << 32)

/* What a call does to the blocks of its area. */
typedef struct {
    span made, given; /* given back */
    bool makes;       /* blocks, if it does not fail */
} deed;

/* A call inside of which others may be, and the areas that it and the calls around it are about. */
typedef struct {
    uint32_t call, left, parent;
    uint64_t areas, own; /* own: of the call itself, one bit or none */
    deed deed;
} open;

/* A function, and which of its calls' values are used. */
typedef struct {
    kc_block_function as;
    area *area;            /* NULL: it is not followed */
    const uint32_t *plain; /* the column of the only value that counts of a call that is alone; NULL: more does */
    uint8_t used[VALUES], used_count;
} function;

/* Some calls, whose columns are as wide as they are read. */
enum { ROWS = 512 };
typedef struct {
    uint32_t count, first_call;
    uint32_t function[ROWS], parent[ROWS], entered[ROWS], left[ROWS], result[ROWS], out[ROWS], stack[ROWS], values[VALUES][ROWS];
    uint32_t ends[ROWS]; /* of a column with fewer rows */
} rows;

struct kc_flat {
    rows rows;
    bool uses_value[VALUES];
    function *functions;
    uint32_t *failures;
    uint32_t function_count, area_count, flat_count;
    area areas[AREAS];
    waiting *heap; /* by `left` */
    open *opened;  /* by `call` */
    uint32_t heap_count, heap_capacity, open_count, open_capacity;
    bool has_memory;
};

static bool no_memory(kc_flat *p)
{
    p->has_memory = false;
    return false;
}

static bool reserve(void *list, uint32_t count, uint32_t *capacity, size_t size)
{
    void *now, *larger;
    uint32_t room = *capacity ? 2 * *capacity : 64;

    if (count < *capacity)
        return true;
    memcpy(&now, list, sizeof now);
    if (!(larger = realloc(now, room * size)))
        return false;
    memcpy(list, &larger, sizeof larger);
    *capacity = room;
    return true;
}

static void forget_area(kc_flat *p, area *a)
{
    if (!a->out->is_flat)
        return;
    a->out->is_flat = false;
    p->flat_count--;
}

static uint32_t whole_pages(uint32_t size)
{
    return size ? kc_limited(((uint64_t)size + KC_PAGE_BYTES - 1) >> KC_PAGE_BITS << KC_PAGE_BITS) : KC_PAGE_BYTES;
}

static uint32_t longest_of(const place *at) { return at->size > at->longest ? at->size : at->longest; }

/* A live block is given back, or its address is handed out again: then no call has done that. */
static void die(area *a, place *at, uint32_t event, uint32_t call)
{
    if (a->out->died) {
        a->out->died[at->block] = event;
        a->out->died_call[at->block] = call;
    }
    at->is_live = false;
    at->longest = longest_of(at);
    a->bytes -= at->size;
    a->blocks--;
}

/* A live block is given back, or forgotten, and its memory with it. */
static INLINED void take_back(area *a, place *at, uint32_t event, uint32_t call)
{
    die(a, at, event, call);
    if (!a->out->may_overlap)
        uncover_block(&a->cover, at->address, at->size ? at->size : 1);
}

/* Let a bit stand for so few bytes that a block at an address begins a unit: then blocks have units in common only if they overlap. */
static enum covered take_smaller_units(area *a, uint32_t address)
{
    enum covered found = WAS_FREE;

    while (a->cover.unit > LEAST_UNIT && address & ((1u << a->cover.unit) - 1))
        a->cover.unit--;
    for (uint32_t leaf = 0; leaf < LEAVES; leaf++)
        if (a->cover.leaves[leaf])
            memset(a->cover.leaves[leaf], 0, LEAF_WORDS * sizeof(uint64_t));
    for (uint64_t i = 0; i < 1ull << a->table.bits && found == WAS_FREE; i++) {
        const place *each = &a->table.places[i];
        if (each->is_live)
            found = cover_block(&a->cover, each->address, each->size ? each->size : 1);
    }
    return found;
}

/* Note that a block that is made covers memory. Call before it has its place. False: there is no memory. */
static INLINED bool cover_memory(kc_flat *p, area *a, uint32_t address, uint32_t size)
{
    enum covered was = WAS_FREE;

    if (a->out->may_overlap)
        return true;
    if (!a->out->pages && a->cover.unit > LEAST_UNIT && address & ((1u << a->cover.unit) - 1))
        was = take_smaller_units(a, address);
    if (was == WAS_FREE)
        was = size >> a->cover.unit > LONGEST ? WAS_COVERED : cover_block(&a->cover, address, size ? size : 1);
    if (was == NO_MEMORY)
        return no_memory(p);
    if (was == WAS_COVERED && a->out->pages)
        forget_area(p, a);
    a->out->may_overlap |= was == WAS_COVERED;
    return true;
}

/* A block is made by a call that returns at an event; at a place where none lives. False: there is no memory. */
static INLINED bool make(kc_flat *p, area *a, place *at, uint32_t address, uint32_t size, uint32_t event, uint32_t call, uint32_t stack,
                        uint64_t pool)
{
    kc_flat_area *out = a->out;
    uint32_t block = out->block_count++;

    if (!cover_memory(p, a, address, size))
        return false;
    a->table.used += !at->is_used;
    *at = (place){address, size, event, call, at->longest, block, (uint32_t)pool, true, true, pool != NO_POOL, false, false};
    if (out->address) {
        out->address[block] = address;
        out->size[block] = size;
        out->born[block] = event;
        out->born_call[block] = call;
        out->stack[block] = stack;
    }
    a->bytes += size;
    a->blocks++;
    if (a->bytes > out->peak_bytes) {
        out->peak_bytes = a->bytes;
        out->peak_blocks = a->blocks;
        out->peak_event = event;
    }
    return true;
}

/* May a block of no bytes be taken for one like any other? Its address may be the one that stands for all such blocks: it lies in the page
 * of the null pointer, or is answered again before it was given back. */
static bool takes_empty(kc_flat *p, area *a, place *at, uint32_t address)
{
    if (at->is_of_all)
        return false;
    if (at->is_used ? longest_of(at) || (!at->is_live && !at->is_forgotten && address >= KC_PAGE_BYTES) : address >= KC_PAGE_BYTES)
        return true;
    if (at->is_used || a->strayed_low) {
        forget_area(p, a);
        return false;
    }
    *at = (place){.address = address, .is_used = true, .is_of_all = true};
    a->table.used++;
    a->places_of_all++;
    return false;
}

/* A call has returned. */
static bool leave(kc_flat *p, const waiting *w)
{
    const kc_block_function *f = &p->functions[w->function].as;
    area *a = &p->areas[f->area];
    kc_flat_area *out = a->out;
    uint32_t address, size = w->size;

    if (!out->is_flat)
        return true;
    if (!kc_has_made(f, p->failures, w->result, w->out, &address)) {
        if (f->role == KC_ROLE_ALLOC || !kc_may_be_empty(f) || size)
            out->failed[out->failed_count++] = w->call;
        return true;
    }
    if (a->out->pages) {
        size = whole_pages(size);
        if (address % KC_PAGE_BYTES || (uint64_t)address + size > UINT32_MAX) {
            forget_area(p, a);
            return true;
        }
    }
    if (a->table.used >= 1u << (a->table.bits - 1) && !grow(&a->table))
        return no_memory(p);
    place *at = find(&a->table, address);
    if (!size && kc_may_be_empty(f)) {
        if (!takes_empty(p, a, at, address))
            return true;
    } else if (at->is_of_all) {
        forget_area(p, a);
        return true;
    }
    if (at->is_live)
        die(a, at, w->left, 0);
    return make(p, a, at, address, size, w->left, w->call, w->stack, w->pool);
}

/* A block is given back by a call that is entered. */
static void give_back(kc_flat *p, area *a, const kc_block_function *f, const uint32_t *values, uint32_t event, uint32_t call)
{
    kc_flat_area *out = a->out;
    uint32_t address = kc_named_by(f, values);
    uint32_t given = f->role == KC_ROLE_FREE ? kc_size_of(f, values) : 0;
    place *at = find(&a->table, address);

    if (at->is_of_all)
        return;
    if (!at->is_live || (a->out->pages && given && whole_pages(given) != at->size)) {
        if (a->out->pages)
            forget_area(p, a);
        else
            out->stray[out->stray_count++] = call;
        a->strayed_low |= address < KC_PAGE_BYTES;
        return;
    }
    out->pools_fit &= f->pool == KC_NO_VALUE || !at->has_pool || values[f->pool] == at->pool;
    out->sizes_fit &= f->role != KC_ROLE_FREE || !kc_says_size(f) || !at->size || given == at->size;
    take_back(a, at, event, call);
}

static uint64_t pool_of(const kc_block_function *f, const uint32_t *values) { return f->pool != KC_NO_VALUE ? values[f->pool] : NO_POOL; }

/* All blocks, or those of a pool, are forgotten by a call that is entered. Mostly that is rare; else it would take too long. */
static void forget_blocks(kc_flat *p, area *a, uint64_t pool, uint32_t event, uint32_t call)
{
    uint64_t count = a->blocks ? 1ull << a->table.bits : 0;

    if ((a->looked_at += count) > MOST_LOOKED_AT) {
        forget_area(p, a);
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        place *at = &a->table.places[i];
        if (at->is_live && (pool == NO_POOL || (at->has_pool && at->pool == pool))) {
            take_back(a, at, event, call);
            at->is_forgotten = true;
        }
    }
}

/* -- the order of events -------------------------------------------------------------------------- */

static bool wait_for(kc_flat *p, const waiting *w)
{
    if (!reserve(&p->heap, p->heap_count, &p->heap_capacity, sizeof *p->heap))
        return no_memory(p);
    uint32_t at = p->heap_count++;
    for (; at && p->heap[(at - 1) / 2].left > w->left; at = (at - 1) / 2)
        p->heap[at] = p->heap[(at - 1) / 2];
    p->heap[at] = *w;
    return true;
}

/* Let all calls return that do so before an event. */
static bool return_until(kc_flat *p, uint32_t event)
{
    while (p->heap_count && p->heap[0].left < event) {
        waiting first = p->heap[0], last = p->heap[--p->heap_count];
        uint32_t at = 0;
        for (uint32_t child; (child = 2 * at + 1) < p->heap_count; at = child) {
            child += child + 1 < p->heap_count && p->heap[child + 1].left < p->heap[child].left;
            if (p->heap[child].left >= last.left)
                break;
            p->heap[at] = p->heap[child];
        }
        p->heap[at] = last;
        if (!leave(p, &first))
            return false;
    }
    return true;
}

/* A call around others; NULL: it is not known. */
static const open *opened_call(const kc_flat *p, uint32_t call)
{
    uint32_t low = 0, high = p->open_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p->opened[middle].call < call)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->open_count && p->opened[low].call == call ? &p->opened[low] : NULL;
}

/* The areas that the calls around a call are about; all where they are not known. */
static uint64_t areas_around(const kc_flat *p, uint32_t parent)
{
    const open *around = parent ? opened_call(p, parent) : NULL;
    return around ? around->areas : parent ? UINT64_MAX : 0;
}

/* -- calls inside of calls about the same area ------------------------------------------------------ */

static span span_of(const area *a, uint32_t address, uint32_t size)
{
    uint64_t start = a->out->pages ? address & ~(uint64_t)(KC_PAGE_BYTES - 1) : address;
    return (span){start, start + (size ? size : a->out->pages ? KC_PAGE_BYTES : FAR)};
}

/* Does an inner call only do for the call around it what that does? Where a size is not known both have to begin at one address. */
static bool is_part(span inner, span outer)
{
    if (!inner.end)
        return true;
    if (inner.start == outer.start)
        return outer.end;
    return inner.end - inner.start < FAR && outer.end - outer.start < FAR && inner.start < outer.end && outer.start < inner.end;
}

/* The same of all that it does: then nothing else knows of it. */
static bool is_done_around(const kc_flat *p, uint32_t parent, uint64_t own, const deed *inner)
{
    const open *around = opened_call(p, parent);

    while (around && !(around->own & own))
        around = opened_call(p, around->parent);
    return around && is_part(inner->made, around->deed.made) && is_part(inner->given, around->deed.given) &&
           (around->deed.makes || !inner->makes); /* whose failure is a matter of the call around it */
}

/* What a call of an area does, which is in row `row`, with its values and the size that they say. */
static deed deed_of(const kc_flat *p, const rows *c, uint32_t row, const uint32_t *values, uint32_t size)
{
    const kc_block_function *f = &p->functions[c->function[row]].as;
    const area *a = &p->areas[f->area];
    uint32_t left = c->left[row], result = c->result[row], address;
    deed deed = {.makes = f->role == KC_ROLE_ALLOC || f->role == KC_ROLE_REALLOC};
    bool has_made = deed.makes && left && kc_has_made(f, p->failures, result, c->out[row], &address);
    bool gives_back = f->role == KC_ROLE_FREE ? !(left && f->result == KC_RESULT_ERROR && result)
                                              : f->role == KC_ROLE_REALLOC && left && (has_made || (kc_may_be_empty(f) && !size));

    if (has_made)
        deed.made = span_of(a, address, size);
    if (gives_back && kc_names_block(f, values, a->out->pages && !deed.makes))
        deed.given = (span){kc_named_by(f, values), kc_named_by(f, values) + 1ull};
    return deed;
}

/* The same of a call that is alone, of a function of which only one value counts; false: it takes more than that, and nothing is done yet,
 * or there is no memory. */
static inline bool enter_plain(kc_flat *p, const rows *c, uint32_t row, const function *of)
{
    const kc_block_function *f = &of->as;
    area *a = of->area;
    uint32_t value = of->plain[row], call = c->first_call + row, address;
    place *at;

    if (!a->out->is_flat)
        return true;
    if (f->role == KC_ROLE_FREE) {
        if (!value)
            return true;
        if (!(at = find(&a->table, value))->is_live)
            return false;
        take_back(a, at, c->entered[row], call);
        return true;
    }
    if (!kc_has_made(f, p->failures, c->result[row], 0, &address) || !value || a->table.used >= 1u << (a->table.bits - 1))
        return false;
    at = find(&a->table, address);
    return !at->is_live && !at->is_of_all && make(p, a, at, address, value, c->left[row], call, c->stack[row], NO_POOL);
}

/* A call is entered; it is in row `row`. */
static bool enter(kc_flat *p, const rows *c, uint32_t row)
{
    uint32_t call = c->first_call + row, entered = c->entered[row], left = c->left[row], parent = c->parent[row], values[VALUES];
    const function *of = &p->functions[c->function[row]];
    const kc_block_function *f = &of->as;
    area *a = of->area;
    uint64_t around = areas_around(p, parent), own = 0;
    uint32_t size = 0;
    deed deed = {0};

    if (a && f->role != KC_ROLE_OTHER && (f->when == KC_NO_VALUE || c->values[f->when][row]))
        own = 1ull << f->area;
    bool counts = own && a->out->is_flat && f->role != KC_ROLE_SEED;
    if (counts) {
        for (uint32_t i = 0; i < of->used_count; i++)
            values[of->used[i]] = c->values[of->used[i]][row];
        size = kc_size_of(f, values);
        deed = deed_of(p, c, row, values, size);
    }
    if (left != entered + 1) {
        while (p->open_count && p->opened[p->open_count - 1].left < entered)
            p->open_count--;
        if (!reserve(&p->opened, p->open_count, &p->open_capacity, sizeof *p->opened))
            return no_memory(p);
        p->opened[p->open_count++] = (open){call, left ? left : NEVER, parent, around | own, own, deed};
    }
    if (!counts)
        return true;
    if (around & own && left && (deed.makes || f->role == KC_ROLE_FREE) && is_done_around(p, parent, own, &deed))
        return true;
    if (around & own || (!deed.makes && f->role != KC_ROLE_FREE && f->role != KC_ROLE_RESET)) {
        forget_area(p, a);
        return true;
    }
    if (f->role == KC_ROLE_RESET && !(left && f->result == KC_RESULT_ERROR && c->result[row]))
        forget_blocks(p, a, pool_of(f, values), entered, call);
    if (deed.given.end)
        give_back(p, a, f, values, entered, call);
    if (!deed.makes || !left)
        return true;
    waiting w = {call, left, c->result[row], c->out[row], size, c->stack[row], (uint8_t)c->function[row], pool_of(f, values)};
    return left == entered + 1 ? leave(p, &w) : wait_for(p, &w);
}

static bool follow_rows(kc_flat *p)
{
    const rows *c = &p->rows;

    for (uint32_t row = 0; row < c->count && p->flat_count; row++) {
        if (c->function[row] >= p->function_count) { /* of which nothing is said */
            for (uint32_t i = 0; i < p->area_count; i++)
                forget_area(p, &p->areas[i]);
            break;
        }
        const function *of = &p->functions[c->function[row]];
        uint32_t entered = c->entered[row];
        if (p->heap_count && p->heap[0].left < entered && !return_until(p, entered))
            return false;
        bool is_plain = of->plain && !c->parent[row] && c->left[row] == entered + 1;
        if (is_plain && enter_plain(p, c, row, of))
            continue;
        if (!p->has_memory || !enter(p, c, row))
            return false;
    }
    return true;
}

/* -- columns -------------------------------------------------------------------------------------- */

/* Loops of as many turns each time, for the compiler to take several at once. */
static void widen_bytes(uint32_t *restrict to, const uint8_t *restrict from, uint32_t lowest)
{
    for (uint32_t i = 0; i < ROWS; i++)
        to[i] = lowest + from[i];
}

static void widen_halves(uint32_t *restrict to, const uint16_t *restrict from, uint32_t lowest)
{
    for (uint32_t i = 0; i < ROWS; i++)
        to[i] = lowest + from[i];
}

static void copy_words(uint32_t *restrict to, const uint32_t *restrict from, uint32_t lowest)
{
    for (uint32_t i = 0; i < ROWS; i++)
        to[i] = lowest + from[i];
}

static void fill_words(uint32_t *restrict to, uint32_t lowest)
{
    for (uint32_t i = 0; i < ROWS; i++)
        to[i] = lowest;
}

static void add_steps(uint32_t *restrict to, uint32_t step, uint32_t lowest)
{
    for (uint32_t i = 0; i < ROWS; i++)
        to[i] += lowest + step * i;
}

static void read_column(rows *r, uint32_t *to, const kc_narrow *column, uint32_t first)
{
    const void *from = (const uint8_t *)column->above + (uint64_t)column->bytes * first;

    if (r->count < ROWS && column->bytes)
        from = memcpy(r->ends, from, column->bytes * r->count);
    if (column->bytes == sizeof(uint8_t))
        widen_bytes(to, from, column->lowest);
    else if (column->bytes == sizeof(uint16_t))
        widen_halves(to, from, column->lowest);
    else if (column->bytes)
        copy_words(to, from, column->lowest);
    else
        fill_words(to, column->lowest);
    if (column->step)
        add_steps(to, column->step, column->step * first);
}

/* Read the rows from one on, as many as are read at once. */
static void read_rows(kc_flat *p, const kc_call_columns *calls, uint32_t first)
{
    rows *r = &p->rows;

    r->count = calls->count - first < ROWS ? calls->count - first : ROWS;
    r->first_call = calls->first_call + first;
    read_column(r, r->function, &calls->function, first);
    read_column(r, r->parent, &calls->parent, first);
    read_column(r, r->entered, &calls->entered, first);
    read_column(r, r->left, &calls->left, first);
    read_column(r, r->result, &calls->result, first);
    read_column(r, r->out, &calls->out, first);
    read_column(r, r->stack, &calls->stack, first);
    for (uint32_t i = 0; i < VALUES; i++)
        if (p->uses_value[i])
            read_column(r, r->values[i], &calls->values[i], first);
}

/* -- from outside --------------------------------------------------------------------------------- */

/* Which value says all that a call of an area of bytes does, besides its result, if it returns at the next event; KC_NO_VALUE: none. */
static uint8_t plain_value(const kc_block_function *f)
{
    if (f->pages || f->when != KC_NO_VALUE || f->pool != KC_NO_VALUE)
        return KC_NO_VALUE;
    if (f->role == KC_ROLE_ALLOC && f->result == KC_RESULT_POINTER && !f->stores_block && f->count == KC_NO_VALUE)
        return f->size;
    return f->role == KC_ROLE_FREE && f->result != KC_RESULT_ERROR && !kc_says_size(f) ? f->ptr : KC_NO_VALUE;
}

static function *with_used_values(const kc_block_function *functions, uint32_t count)
{
    function *list = calloc(count + 1, sizeof *list);

    for (uint32_t i = 0; list && i < count; i++) {
        const kc_block_function *f = &functions[i];
        const uint8_t all[] = {f->ptr, f->frame, f->size, f->count, f->page_count, f->order, f->pool};
        list[i].as = *f;
        for (size_t j = 0; j < sizeof all; j++)
            if (all[j] != KC_NO_VALUE)
                list[i].used[list[i].used_count++] = all[j];
    }
    return list;
}

static bool open_area(area *a, kc_flat_area *out)
{
    a->out = out;
    a->table = (table){calloc(1 << FIRST_BITS, sizeof(place)), FIRST_BITS, 0};
    a->cover.unit = out->pages ? KC_PAGE_BITS : FIRST_UNIT;
    out->is_flat = out->pools_fit = out->sizes_fit = true;
    return a->table.places;
}

kc_flat *kc_flat_new(const kc_block_function *functions, uint32_t function_count, const uint32_t *failures, uint32_t failure_count,
                       kc_flat_area *areas, uint32_t area_count)
{
    kc_flat *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->functions = with_used_values(functions, function_count);
    p->failures = malloc(failure_count * 2 * sizeof *failures + 1);
    p->has_memory = p->functions && p->failures;
    p->function_count = function_count;
    for (; p->area_count < area_count && p->area_count < AREAS; p->area_count++)
        p->has_memory &= open_area(&p->areas[p->area_count], &areas[p->area_count]);
    p->flat_count = p->area_count;
    if (!p->has_memory) {
        kc_flat_delete(p);
        return NULL;
    }
    for (uint32_t i = 0; i < function_count; i++) {
        function *of = &p->functions[i];
        uint8_t plain = plain_value(&of->as);
        of->area = of->as.area < p->area_count ? &p->areas[of->as.area] : NULL;
        of->plain = of->area && plain != KC_NO_VALUE ? p->rows.values[plain] : NULL;
        for (uint32_t j = 0; j < of->used_count; j++)
            p->uses_value[of->used[j]] = true;
        if (of->as.when != KC_NO_VALUE)
            p->uses_value[of->as.when] = true;
    }
    memcpy(p->failures, failures, failure_count * 2 * sizeof *failures);
    return p;
}

int kc_flat_follow(kc_flat *p, const kc_call_columns *calls)
{
    for (uint32_t first = 0; first < calls->count && p->flat_count; first += ROWS) {
        read_rows(p, calls, first);
        if (!follow_rows(p))
            return -1;
    }
    return (int)p->flat_count;
}

int kc_flat_end(kc_flat *p)
{
    if (!return_until(p, NEVER))
        return -1;
    for (uint32_t number = 0; number < p->area_count; number++) {
        const area *a = &p->areas[number];
        for (uint64_t i = 0; i < 1ull << a->table.bits && a->out->died; i++)
            if (a->table.places[i].is_live) {
                a->out->died[a->table.places[i].block] = NEVER;
                a->out->died_call[a->table.places[i].block] = 0;
            }
    }
    return 0;
}

uint32_t kc_flat_places(const kc_flat *p, uint32_t number, uint32_t *address, uint32_t *longest, uint32_t *newest)
{
    const area *a = &p->areas[number];
    uint32_t count = 0;

    for (uint64_t i = 0; i < 1ull << a->table.bits && address; i++) {
        const place *each = &a->table.places[i];
        if (!each->is_used || each->is_of_all)
            continue;
        address[count] = each->address;
        longest[count] = longest_of(each);
        newest[count++] = each->born;
    }
    return a->table.used - a->places_of_all;
}

uint32_t kc_flat_live(const kc_flat *p, uint32_t number, uint32_t *address, uint32_t *size, uint32_t *born, uint32_t *born_call)
{
    const area *a = &p->areas[number];
    uint32_t count = 0;

    for (uint64_t i = 0; i < 1ull << a->table.bits && address; i++) {
        const place *each = &a->table.places[i];
        if (!each->is_live)
            continue;
        address[count] = each->address;
        size[count] = each->size;
        born[count] = each->born;
        born_call[count++] = each->born_call;
    }
    return a->blocks;
}

void kc_flat_delete(kc_flat *p)
{
    for (uint32_t i = 0; i < p->area_count; i++) {
        free(p->areas[i].table.places);
        for (uint32_t leaf = 0; leaf < LEAVES; leaf++)
            free(p->areas[i].cover.leaves[leaf]);
    }
    free(p->functions);
    free(p->failures);
    free(p->heap);
    free(p->opened);
    free(p);
}
