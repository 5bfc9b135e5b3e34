/* The table of blocks: see block_table.h.
 *
 * A hash table leads from addresses to the blocks that live there, another one to what else is to be known of an address; that one only
 * grows. Lists lead from each page of RAM to the parts of live blocks in it, and a bit for each byte says whether it is in any. Where some
 * lie over each other, which is rare, the page's bits are worked out anew when one of them goes. The blocks that died last are copied to a
 * ring, in the order of their deaths, and their numbers are soon those of others: so those that live stay in the host's caches. What a birth
 * or a death costs does not depend on how many others there are.
 *
 * All are arrays that refer to each other by number; snapshots bring them back (core/kept_arrays.h). The hash table of places follows from the
 * array of places: going back takes the newest places out of it, and going forwards puts them in again.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "record/block_table.h"

enum { FIRST_BITS = 8, FIRST_CAPACITY = 64 };
enum { HASHES_A_BLOCK = 4 }; /* so few blocks have the same */
enum { TAKEN_WORDS = PAGE_SIZE / 64, ARRAYS = 6 };

_Static_assert(sizeof(struct block) == 128 && sizeof(struct block_life) == 64, "powers of two");

struct kept_table { struct kept_point *arrays[ARRAYS]; struct block_lists lists; uint32_t nested[]; };

/* -- arrays -------------------------------------------------------------------------------------- */

SELDOM void kc_table_keep(struct block_table *t, struct kept_array *a, uint64_t part) { t->is_torn |= !kc_array_keep_part(a, part); }

static inline struct block_piece *piece_change(struct block_table *t, uint32_t number) { return &kc_block_change(t, number)->life.piece; }

static inline struct page *page_change(struct block_table *t, uint64_t physical)
{
    kc_table_change(t, &t->pages, (physical >> PAGE_SHIFT) / KC_PART);
    return (struct page *)t->pages.bytes + (physical >> PAGE_SHIFT);
}

/* The bits of a page. */
static inline uint64_t *taken_change(struct block_table *t, uint64_t physical)
{
    kc_table_change(t, &t->taken, physical >> PAGE_SHIFT);
    return (uint64_t *)t->taken.bytes + (physical >> PAGE_SHIFT) * TAKEN_WORDS;
}

static inline struct place *place_of(const struct block_table *t, uint32_t number) { return (struct place *)t->places.bytes + number - 1; }

static bool has_room(struct kept_array *a, uint32_t count) { return count < a->parts * KC_PART || kc_array_grow(a, count / KC_PART + 1); }

/* -- places -------------------------------------------------------------------------------------- */

static inline uint32_t hash_of(const struct block_table *t, uint32_t area, uint32_t address)
{
    return (address ^ area << 24) * 2654435769u >> (32 - t->slot_bits);
}

static inline struct place_slot *slot_of(const struct block_table *t, uint32_t area, uint32_t address)
{
    uint32_t mask = (1u << t->slot_bits) - 1, at = hash_of(t, area, address);

    while (t->slots[at].number && (t->slots[at].address != address || place_of(t, t->slots[at].number)->area != area))
        at = (at + 1) & mask;
    return &t->slots[at];
}

const struct place *kc_place_find(const struct block_table *t, uint32_t area, uint32_t address)
{
    uint32_t number = slot_of(t, area, address)->number;
    return number ? place_of(t, number) : NULL;
}

static void put_into_slot(struct block_table *t, uint32_t number)
{
    const struct place *place = place_of(t, number);
    *slot_of(t, place->area, place->address) = (struct place_slot){number, place->address};
}

static SELDOM bool grow_slots(struct block_table *t)
{
    struct place_slot *larger = calloc(2ull << t->slot_bits, sizeof *larger);

    if (!larger)
        return false;
    free(t->slots);
    t->slots = larger;
    t->slot_bits++;
    for (uint32_t number = 1; number <= t->now.place_count; number++)
        put_into_slot(t, number);
    return true;
}

static SELDOM struct place *add_place(struct block_table *t, uint32_t area, uint32_t address)
{
    if (!has_room(&t->places, t->now.place_count) || (t->now.place_count >= 1u << (t->slot_bits - 1) && !grow_slots(t)))
        return NULL;
    uint32_t number = ++t->now.place_count;
    struct place *place = kc_place_change(t, place_of(t, number));
    *place = (struct place){.address = address, .area = area};
    t->now.has_places[area / 64] |= UINT64_C(1) << area % 64;
    put_into_slot(t, number);
    return place;
}

struct place *kc_place_at(struct block_table *t, uint32_t area, uint32_t address)
{
    uint32_t number = slot_of(t, area, address)->number;
    return number ? kc_place_change(t, place_of(t, number)) : add_place(t, area, address);
}

/* The newest places are the last ones that were put into the table: no other one was put behind them. */
static void forget_places(struct block_table *t, uint32_t count)
{
    for (; t->now.place_count > count; t->now.place_count--) {
        const struct place *place = place_of(t, t->now.place_count);
        *slot_of(t, place->area, place->address) = (struct place_slot){0};
    }
}

/* -- pieces -------------------------------------------------------------------------------------- */

/* Bits of a word of 64: those from one on, and those before another one. */
static uint64_t from_bit(uint32_t first) { return UINT64_MAX << first % 64; }
static uint64_t before_bit(uint32_t last) { return UINT64_MAX >> (63 - (last - 1) % 64); }

/* [first, last) of a page's bits, at least one. True: some were taken before. */
static bool take(uint64_t *taken, uint32_t first, uint32_t last)
{
    uint64_t *word = taken + first / 64, *end = taken + (last - 1) / 64, bits = from_bit(first), before = 0;

    for (; word < end; word++, bits = UINT64_MAX) {
        before |= *word & bits;
        *word |= bits;
    }
    bits &= before_bit(last);
    before |= *word & bits;
    *word |= bits;
    return before;
}

static void untake(uint64_t *taken, uint32_t first, uint32_t last)
{
    uint64_t *word = taken + first / 64, *end = taken + (last - 1) / 64, bits = from_bit(first);

    for (; word < end; word++, bits = UINT64_MAX)
        *word &= ~bits;
    *word &= ~(bits & before_bit(last));
}

static inline bool is_from_elsewhere(const struct block *block)
{
    uint64_t areas = 0;

    for (uint32_t i = 0; i < KC_AREA_WORDS; i++)
        areas |= block->inside[i];
    return areas;
}

static bool take_piece(uint64_t *taken, const struct block_piece *piece)
{
    uint32_t first = piece->physical & PAGE_MASK;
    return piece->size && take(taken, first, first + piece->size);
}

/* Find out anew which bytes of a page are taken. */
static SELDOM void take_again(struct block_table *t, uint32_t physical)
{
    uint64_t *taken = taken_change(t, physical);
    bool overlaps = false;

    memset(taken, 0, TAKEN_WORDS * sizeof *taken);
    for (uint32_t number = kc_block_page(t, physical)->pieces; number; number = kc_block_piece(t, number)->next_in_page) {
        const struct block_piece *each = kc_block_piece(t, number);
        if (each->size < PAGE_SIZE && !kc_block_at(t, each->block)->life.is_held)
            overlaps |= take_piece(taken, each);
    }
    page_change(t, physical)->overlaps = overlaps;
}

/* A piece that is in its page's list, of a block that is not held, is counted. */
static inline void count_piece(struct block_table *t, struct page *page, const struct block *block, const struct block_piece *piece)
{
    page->from_elsewhere += is_from_elsewhere(block);
    if (piece->size == PAGE_SIZE)
        page->whole++;
    else if (!page->is_closed)
        page->overlaps |= take_piece(taken_change(t, piece->physical), piece);
}

/* A piece of a block that is held by now, or that has left its page's list, is not counted any more. */
static inline void uncount_piece(struct block_table *t, struct page *page, const struct block *block, const struct block_piece *piece)
{
    uint32_t first = piece->physical & PAGE_MASK;

    page->from_elsewhere -= is_from_elsewhere(block);
    if (piece->size == PAGE_SIZE)
        page->whole--;
    else if (page->overlaps)
        take_again(t, piece->physical);
    else if (!page->is_closed && piece->size)
        untake(taken_change(t, piece->physical), first, first + piece->size);
}

static inline void link_piece(struct block_table *t, struct page *page, struct block_piece *piece, uint32_t number)
{
    piece->next_in_page = page->pieces;
    if (page->pieces)
        piece_change(t, page->pieces)->previous_in_page = number;
    page->pieces = number;
}

static inline void unlink_piece(struct block_table *t, struct page *page, const struct block_piece *piece)
{
    if (piece->next_in_page)
        piece_change(t, piece->next_in_page)->previous_in_page = piece->previous_in_page;
    if (piece->previous_in_page)
        piece_change(t, piece->previous_in_page)->next_in_page = piece->next_in_page;
    else
        page->pieces = piece->next_in_page;
}

static SELDOM uint32_t add_record(struct block_table *t)
{
    if (!has_room(&t->blocks, t->now.block_count))
        return 0;
    kc_block_change(t, ++t->now.block_count)->life.is_live = false;
    return t->now.block_count;
}

/* The number of a block that is not used. 0: no memory. */
static inline uint32_t take_number(struct block_table *t)
{
    uint32_t number = t->now.free_block;

    if (!number)
        return add_record(t);
    t->now.free_block = kc_block_at(t, number)->next;
    return number;
}

static inline void add_to_page(struct block_table *t, const struct block *block, struct block_piece *piece, uint32_t number)
{
    struct page *page = page_change(t, piece->physical);

    link_piece(t, page, piece, number);
    count_piece(t, page, block, piece);
    page->newest = block->life.as.born > page->newest ? block->life.as.born : page->newest;
}

static struct block *add_further_piece(struct block_table *t, uint32_t block, uint64_t physical, uint32_t size, uint32_t offset)
{
    uint32_t number = take_number(t);

    if (!number)
        return NULL;
    struct block_piece *first = piece_change(t, block), *piece = piece_change(t, number);
    *piece = (struct block_piece){(uint32_t)physical, size, offset, block, first->next_of_block, 0, 0};
    first->next_of_block = number;
    add_to_page(t, kc_block_at(t, block), piece, number);
    return kc_block_change(t, block);
}

struct block *kc_piece_add(struct block_table *t, struct block *block, uint64_t physical, uint32_t size, uint32_t offset)
{
    struct block_piece *piece = &block->life.piece;
    uint32_t number = kc_block_number(t, block);

    if (piece->block)
        return add_further_piece(t, number, physical, size, offset);
    *piece = (struct block_piece){(uint32_t)physical, size, offset, number, 0, 0, 0};
    add_to_page(t, block, piece, number);
    return block;
}

void kc_page_close(struct block_table *t, uint64_t physical, bool yes)
{
    if (kc_block_page(t, physical)->is_closed == yes)
        return;
    struct page *page = page_change(t, physical);
    page->is_closed = yes;
    page->overlaps = false;
    if (!yes)
        take_again(t, (uint32_t)physical);
}

void kc_block_hold(struct block_table *t, uint32_t number)
{
    struct block *block = kc_block_change(t, number);

    block->life.is_held = true;
    for (const struct block_piece *piece = kc_first_piece(&block->life); piece; piece = kc_next_piece(t, piece))
        uncount_piece(t, page_change(t, piece->physical), block, piece);
}

static INLINED void pieces_leave_pages(struct block_table *t, const struct block *block)
{
    for (const struct block_piece *piece = kc_first_piece(&block->life); piece; piece = kc_next_piece(t, piece)) {
        struct page *page = page_change(t, piece->physical);
        unlink_piece(t, page, piece);
        if (!block->life.is_held)
            uncount_piece(t, page, block, piece);
    }
}

static INLINED void release_number(struct block_table *t, uint32_t number)
{
    kc_block_change(t, number)->next = t->now.free_block;
    t->now.free_block = number;
}

static void release_further_pieces(struct block_table *t, const struct block_life *life)
{
    for (uint32_t number = life->piece.next_of_block, next; number; number = next) {
        next = kc_block_piece(t, number)->next_of_block;
        release_number(t, number);
    }
}

/* -- blocks by address ---------------------------------------------------------------------------- */

static inline uint32_t *hash_change(struct block_table *t, uint32_t address)
{
    uint32_t hash = kc_block_hash(t, address);

    kc_table_change(t, &t->hashes, hash / KC_PART);
    return (uint32_t *)t->hashes.bytes + hash;
}

static inline void hash_add(struct block_table *t, struct block *block, uint32_t number)
{
    uint32_t *first = hash_change(t, block->life.address);

    block->next_at_hash = *first;
    *first = number;
}

static inline void hash_remove(struct block_table *t, const struct block *block, uint32_t number)
{
    uint32_t *link = hash_change(t, block->life.address);

    while (*link != number)
        link = &kc_block_change(t, *link)->next_at_hash;
    *link = block->next_at_hash;
}

/* Make it twice as large. false: no memory. */
static SELDOM bool grow_hashes(struct block_table *t)
{
    uint32_t count = 2 * HASHES_A_BLOCK * t->now.hashes_most, parts = count / KC_PART;

    if (t->hashes.parts < parts && !kc_array_grow(&t->hashes, parts))
        return false;
    for (uint32_t part = 0; part < parts; part++)
        kc_table_change(t, &t->hashes, part);
    t->now.hash_shift--;
    t->now.hashes_most *= 2;
    memset(t->hashes.bytes, 0, count * sizeof(uint32_t));
    for (uint32_t number = 1; number <= t->now.block_count; number++)
        if (kc_block_at(t, number)->life.is_live)
            hash_add(t, kc_block_change(t, number), number);
    return true;
}

/* -- blocks -------------------------------------------------------------------------------------- */

static bool nested_room(struct block_table *t)
{
    uint32_t larger = t->nested_capacity ? 2 * t->nested_capacity : FIRST_CAPACITY;

    if (t->now.nested_count < t->nested_capacity)
        return true;
    uint32_t *nested = realloc(t->nested, larger * sizeof *nested);
    if (!nested)
        return false;
    t->nested = nested;
    t->nested_capacity = larger;
    return true;
}

static inline void live_add(struct block_table *t, struct block *block, uint32_t number)
{
    struct live_list *list = &t->now.live[block->life.as.area];

    block->next = 0;
    block->previous = list->newest;
    if (list->newest)
        kc_block_change(t, list->newest)->next = number;
    else
        list->oldest = number;
    list->newest = number;
}

static inline void live_remove(struct block_table *t, const struct block *block)
{
    struct live_list *list = &t->now.live[block->life.as.area];

    if (block->next)
        kc_block_change(t, block->next)->previous = block->previous;
    else
        list->newest = block->previous;
    if (block->previous)
        kc_block_change(t, block->previous)->next = block->next;
    else
        list->oldest = block->next;
}

/* Frees that come once more are of the block before. */
static SELDOM void forget_deferred(struct block_table *t, uint32_t area, uint32_t address)
{
    const struct place *place = kc_place_find(t, area, address);

    if (place && place->deferred)
        kc_place_change(t, place)->deferred = 0;
}

struct block *kc_block_add(struct block_table *t, uint32_t area, uint32_t address, bool is_nested)
{
    if ((is_nested && !nested_room(t)) || (t->now.live_count == t->now.hashes_most && !grow_hashes(t)))
        return NULL;
    uint32_t number = take_number(t);
    if (!number)
        return NULL;
    struct block *added = kc_block_change(t, number);
    added->life = (struct block_life){.as = {.area = area}, .address = address, .is_live = true};
    added->owners = 1;
    added->deferred = added->pool = 0;
    memset(added->inside, 0, sizeof added->inside);
    added->knows_pool = false;
    added->is_nested = is_nested;
    live_add(t, added, number);
    hash_add(t, added, number);
    t->now.live_count++;
    if (is_nested)
        t->nested[t->now.nested_count++] = number;
    if (kc_has_places(t, area))
        forget_deferred(t, area, address);
    return added;
}

static SELDOM void leave_nested(struct block_table *t, uint32_t number)
{
    for (uint32_t i = 0; i < t->now.nested_count; i++)
        if (t->nested[i] == number) {
            t->nested[i] = t->nested[--t->now.nested_count];
            return;
        }
}

/* Frees come once more, and it does not live then. */
static SELDOM void remember_deferred(struct block_table *t, const struct block *block)
{
    struct place *place = kc_place_at(t, block->life.as.area, block->life.address);

    if (place)
        place->deferred = block->deferred;
    else
        t->is_torn = true;
}

static INLINED void leave(struct block_table *t, struct block *block, uint32_t number)
{
    block->life.is_live = false;
    t->now.live_count--;
    live_remove(t, block);
    hash_remove(t, block, number);
    pieces_leave_pages(t, block);
    if (block->is_nested)
        leave_nested(t, number);
    if (block->deferred)
        remember_deferred(t, block);
}

const struct block_life *kc_block_die(struct block_table *t, uint32_t number, uint32_t event, uint32_t call)
{
    struct block *block = kc_block_change(t, number);
    struct block_life *dead = kc_dead_change(t, ++t->now.deaths);

    if (t->now.dead_count < KC_DEAD)
        t->now.dead_count++;
    else if (dead->piece.next_of_block)
        release_further_pieces(t, dead);
    *dead = block->life; /* before it changes: the host is slow to load in one what was stored in parts just now */
    leave(t, block, number);
    dead->is_live = false;
    dead->as.died = event;
    dead->as.death = call;
    release_number(t, number);
    return dead;
}

void kc_block_drop(struct block_table *t, uint32_t number)
{
    const struct block *block = kc_block_at(t, number);

    leave(t, kc_block_change(t, number), number);
    for (const struct block_piece *piece = kc_first_piece(&block->life); piece; piece = kc_next_piece(t, piece))
        kc_page_close(t, piece->physical, false);
    release_further_pieces(t, &block->life);
    release_number(t, number);
}

/* -- life, snapshots ----------------------------------------------------------------------------- */

/* One byte more is read together with the last one. */
static uint64_t taken_size(uint32_t page_count) { return (uint64_t)page_count * TAKEN_WORDS * sizeof(uint64_t) + 1; }

bool kc_block_table_open(struct block_table *t, uint64_t *kept_size, uint32_t opening, uint32_t page_count)
{
    uint64_t page_parts = page_count / KC_PART + 1;
    void *taken = mmap(NULL, taken_size(page_count), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct page *pages = calloc(page_parts * KC_PART, sizeof *pages);
    void *hashes = calloc(1u << FIRST_BITS, sizeof(uint32_t)), *dead = malloc(KC_DEAD * sizeof(struct block_life));

    *t = (struct block_table){.now = {.hash_shift = 32 - FIRST_BITS, .hashes_most = (1u << FIRST_BITS) / HASHES_A_BLOCK}, .slot_bits = FIRST_BITS, .page_count = page_count, .slots = calloc(1u << FIRST_BITS, sizeof *t->slots)};
    bool good = kc_array_open(&t->places, kept_size, opening, NULL, KC_PART * sizeof(struct place), 0);
    good &= kc_array_open(&t->blocks, kept_size, opening, NULL, KC_PART * sizeof(struct block), 0);
    good &= kc_array_open(&t->pages, kept_size, opening, (uint8_t *)pages, KC_PART * sizeof *pages, page_parts);
    good &= kc_array_open(&t->hashes, kept_size, opening, hashes, KC_PART * sizeof(uint32_t), (1u << FIRST_BITS) / KC_PART);
    good &= kc_array_open(&t->dead, kept_size, opening, dead, KC_PART * sizeof(struct block_life), KC_DEAD / KC_PART);
    good &= kc_array_open(&t->taken, kept_size, opening, taken == MAP_FAILED ? NULL : taken, TAKEN_WORDS * sizeof(uint64_t), page_count);
    return good && t->slots && pages && hashes && dead && taken != MAP_FAILED;
}

void kc_block_table_close(struct block_table *t)
{
    if (t->taken.bytes)
        munmap(t->taken.bytes, taken_size(t->page_count));
    free(t->places.bytes);
    free(t->blocks.bytes);
    free(t->pages.bytes);
    free(t->hashes.bytes);
    free(t->dead.bytes);
    kc_array_close(&t->places);
    kc_array_close(&t->blocks);
    kc_array_close(&t->pages);
    kc_array_close(&t->hashes);
    kc_array_close(&t->dead);
    kc_array_close(&t->taken);
    free(t->nested);
    free(t->slots);
    *t = (struct block_table){0};
}

struct kept_table *kc_block_table_save(struct block_table *t)
{
    struct kept_array *arrays[] = {&t->places, &t->blocks, &t->pages, &t->hashes, &t->dead, &t->taken};
    struct kept_table *kept = malloc(sizeof *kept + t->now.nested_count * sizeof *kept->nested);

    if (!kept)
        return NULL;
    *kept = (struct kept_table){.lists = t->now};
    if (t->now.nested_count)
        memcpy(kept->nested, t->nested, t->now.nested_count * sizeof *t->nested);
    for (int i = 0; i < ARRAYS; i++)
        if (!(kept->arrays[i] = kc_array_save(arrays[i]))) {
            kc_block_table_forget(kept);
            return NULL;
        }
    return kept;
}

bool kc_block_table_has(const struct block_table *t, const struct kept_table *kept)
{
    return kept && kc_array_has(&t->places, kept->arrays[0]);
}

void kc_block_table_restore(struct block_table *t, const struct kept_table *kept)
{
    struct kept_array *arrays[] = {&t->places, &t->blocks, &t->pages, &t->hashes, &t->dead, &t->taken};

    forget_places(t, kept->lists.place_count); /* while they are there */
    for (int i = 0; i < ARRAYS; i++)
        kc_array_go_to(arrays[i], kept->arrays[i]);
    for (uint32_t number = t->now.place_count; number++ < kept->lists.place_count;)
        put_into_slot(t, number);
    t->now = kept->lists;
    if (t->now.nested_count)
        memcpy(t->nested, kept->nested, t->now.nested_count * sizeof *t->nested);
}

void kc_block_table_forget(struct kept_table *kept)
{
    for (int i = 0; kept && i < ARRAYS; i++)
        kc_array_forget(kept->arrays[i]);
    free(kept);
}
