/* The table of blocks: see block_table.h.
 *
 * A hash table leads from area and address to what was made there; it only grows. Lists lead from each page of RAM to the parts of live
 * blocks in it, and a bit for each byte says whether it is in any. Where some lie over each other, which is rare, the page's bits are worked out
 * anew when one of them goes. The blocks that died last, DEAD_MAX of them, are kept in the order
 * of their deaths. What a birth or a death costs does not depend on how many others there are.
 *
 * All are arrays that refer to each other by number; snapshots bring them back (core/kept_arrays.h). The hash table follows from the
 * array of places: going back takes the newest places out of it, and going forwards puts them in again.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "record/block_table.h"

enum { DEAD_MAX = 4096, FIRST_BITS = 8, FIRST_CAPACITY = 64 };
enum { TAKEN_WORDS = PAGE_SIZE / 64 };

struct kept_table { struct kept_point *arrays[5]; struct block_lists lists; uint32_t nested[]; };

/* -- arrays -------------------------------------------------------------------------------------- */

static inline struct block_piece *piece_change(struct block_table *t, uint32_t number)
{
    kc_table_change(t, &t->pieces, (number - 1) / KC_PART);
    return (struct block_piece *)t->pieces.bytes + number - 1;
}

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

static struct place *place_of(const struct block_table *t, uint32_t number) { return (struct place *)t->places.bytes + number - 1; }

uint32_t kc_place_number(const struct block_table *t, const struct place *place) { return (uint32_t)(place - place_of(t, 1)) + 1; }

struct place *kc_place_change(struct block_table *t, const struct place *place)
{
    uint32_t number = kc_place_number(t, place);

    kc_table_change(t, &t->places, (number - 1) / KC_PART);
    return place_of(t, number);
}

static bool has_room(struct kept_array *a, uint32_t count) { return count < a->parts * KC_PART || kc_array_grow(a, count / KC_PART + 1); }

/* -- places -------------------------------------------------------------------------------------- */

static uint32_t hash_of(const struct block_table *t, uint32_t area, uint32_t address)
{
    return (address ^ area << 24) * 2654435769u >> (32 - t->slot_bits);
}

static struct place_slot *slot_of(const struct block_table *t, uint32_t area, uint32_t address)
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

struct place *kc_place_at(struct block_table *t, uint32_t area, uint32_t address)
{
    uint32_t number = slot_of(t, area, address)->number;

    if (number)
        return kc_place_change(t, place_of(t, number));
    if (!has_room(&t->places, t->now.place_count) || (t->now.place_count >= 1u << (t->slot_bits - 1) && !grow_slots(t)))
        return NULL;
    number = ++t->now.place_count;
    struct place *place = kc_place_change(t, place_of(t, number));
    *place = (struct place){.address = address, .area = (uint8_t)area};
    put_into_slot(t, number);
    return place;
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

static void leave(uint64_t *taken, uint32_t first, uint32_t last)
{
    uint64_t *word = taken + first / 64, *end = taken + (last - 1) / 64, bits = from_bit(first);

    for (; word < end; word++, bits = UINT64_MAX)
        *word &= ~bits;
    *word &= ~(bits & before_bit(last));
}

static bool is_from_elsewhere(const struct block *block)
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
        if (each->size < PAGE_SIZE && !kc_block_at(t, each->block)->is_held)
            overlaps |= take_piece(taken, each);
    }
    page_change(t, physical)->overlaps = overlaps;
}

/* A piece that is in its page's list, of a block that is not held, is counted. */
static void count_piece(struct block_table *t, const struct block_piece *piece)
{
    struct page *page = page_change(t, piece->physical);

    page->from_elsewhere += is_from_elsewhere(kc_block_at(t, piece->block));
    if (piece->size == PAGE_SIZE)
        page->whole++;
    else if (!page->is_closed)
        page->overlaps |= take_piece(taken_change(t, piece->physical), piece);
}

/* A piece of a block that is held by now, or that has left its page's list, is not counted any more. */
static void uncount_piece(struct block_table *t, const struct block_piece *piece)
{
    struct page *page = page_change(t, piece->physical);
    uint32_t first = piece->physical & PAGE_MASK;

    page->from_elsewhere -= is_from_elsewhere(kc_block_at(t, piece->block));
    if (piece->size == PAGE_SIZE)
        page->whole--;
    else if (page->overlaps)
        take_again(t, piece->physical);
    else if (!page->is_closed && piece->size)
        leave(taken_change(t, piece->physical), first, first + piece->size);
}

static void link_piece(struct block_table *t, uint32_t number)
{
    uint32_t physical = kc_block_piece(t, number)->physical;
    struct page *page = page_change(t, physical);
    uint32_t next = page->pieces;

    piece_change(t, number)->next_in_page = next;
    if (next)
        piece_change(t, next)->previous_in_page = number;
    page->pieces = number;
}

static void unlink_piece(struct block_table *t, const struct block_piece *piece)
{
    if (piece->next_in_page)
        piece_change(t, piece->next_in_page)->previous_in_page = piece->previous_in_page;
    if (piece->previous_in_page)
        piece_change(t, piece->previous_in_page)->next_in_page = piece->next_in_page;
    else
        page_change(t, piece->physical)->pieces = piece->next_in_page;
}

bool kc_piece_add(struct block_table *t, uint32_t block, uint64_t physical, uint32_t size, uint32_t offset)
{
    uint32_t number = t->now.free_piece, born = kc_block_at(t, block)->as.born;

    if (!number && !has_room(&t->pieces, t->now.piece_count))
        return false;
    if (number)
        t->now.free_piece = kc_block_piece(t, number)->next_of_block;
    else
        number = ++t->now.piece_count;
    *piece_change(t, number) = (struct block_piece){(uint32_t)physical, size, offset, block, kc_block_at(t, block)->pieces, 0, 0};
    kc_block_change(t, block)->pieces = number;
    link_piece(t, number);
    count_piece(t, kc_block_piece(t, number));
    struct page *page = page_change(t, physical);
    page->newest = born > page->newest ? born : page->newest;
    return true;
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

void kc_block_hold(struct block_table *t, uint32_t block)
{
    kc_block_change(t, block)->is_held = true;
    for (uint32_t number = kc_block_at(t, block)->pieces; number; number = kc_block_piece(t, number)->next_of_block)
        uncount_piece(t, kc_block_piece(t, number));
}

static void pieces_leave_pages(struct block_table *t, const struct block *block)
{
    for (uint32_t number = block->pieces; number; number = kc_block_piece(t, number)->next_of_block) {
        unlink_piece(t, kc_block_piece(t, number));
        if (!block->is_held)
            uncount_piece(t, kc_block_piece(t, number));
    }
}

static void pieces_release(struct block_table *t, uint32_t first)
{
    for (uint32_t number = first, next; number; number = next) {
        next = kc_block_piece(t, number)->next_of_block;
        piece_change(t, number)->next_of_block = t->now.free_piece;
        t->now.free_piece = number;
    }
}

/* -- blocks -------------------------------------------------------------------------------------- */

static void release(struct block_table *t, uint32_t number)
{
    struct block *block = kc_block_change(t, number);

    pieces_release(t, block->pieces);
    block->pieces = 0;
    block->next = t->now.free_block;
    t->now.free_block = number;
}

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

static void live_add(struct block_table *t, uint32_t number)
{
    struct block *block = kc_block_change(t, number);
    struct live_list *list = &t->now.live[block->as.area];

    block->next = 0;
    block->previous = list->newest;
    if (list->newest)
        kc_block_change(t, list->newest)->next = number;
    else
        list->oldest = number;
    list->newest = number;
}

static void live_remove(struct block_table *t, const struct block *block)
{
    struct live_list *list = &t->now.live[block->as.area];

    if (block->next)
        kc_block_change(t, block->next)->previous = block->previous;
    else
        list->newest = block->previous;
    if (block->previous)
        kc_block_change(t, block->previous)->next = block->next;
    else
        list->oldest = block->next;
}

uint32_t kc_block_add(struct block_table *t, struct place *place, uint32_t area, bool is_nested)
{
    uint32_t number = t->now.free_block;

    if ((!number && !has_room(&t->blocks, t->now.block_count)) || (is_nested && !nested_room(t)))
        return 0;
    if (number)
        t->now.free_block = kc_block_at(t, number)->next;
    else
        number = ++t->now.block_count;
    struct block *added = kc_block_change(t, number);
    memset(added, 0, sizeof *added);
    added->as.area = area;
    added->place = kc_place_number(t, place);
    added->is_live = true;
    added->is_nested = is_nested;
    live_add(t, number);
    if (is_nested)
        t->nested[t->now.nested_count++] = number;
    place->block = number;
    place->owners = 1;
    place->deferred = 0;
    return number;
}

static void leave_place(struct block_table *t, uint32_t number)
{
    struct block *block = kc_block_change(t, number);

    block->is_live = false;
    live_remove(t, block);
    pieces_leave_pages(t, block);
    kc_place_change(t, place_of(t, block->place))->block = 0;
    for (uint32_t i = 0; block->is_nested && i < t->now.nested_count; i++)
        if (t->nested[i] == number) {
            t->nested[i] = t->nested[--t->now.nested_count];
            break;
        }
}

void kc_block_die(struct block_table *t, uint32_t number, uint32_t event, uint32_t call)
{
    leave_place(t, number);
    struct block *block = kc_block_change(t, number);
    block->as.died = event;
    block->as.death = call;
    block->next = 0;
    if (t->now.newest_dead)
        kc_block_change(t, t->now.newest_dead)->next = number;
    else
        t->now.oldest_dead = number;
    t->now.newest_dead = number;
    if (t->now.dead_count++ < DEAD_MAX)
        return;
    uint32_t oldest = t->now.oldest_dead;
    t->now.oldest_dead = kc_block_at(t, oldest)->next;
    t->now.dead_count--;
    release(t, oldest);
}

void kc_block_drop(struct block_table *t, uint32_t number)
{
    leave_place(t, number);
    for (uint32_t next = kc_block_at(t, number)->pieces; next; next = kc_block_piece(t, next)->next_of_block)
        kc_page_close(t, kc_block_piece(t, next)->physical, false);
    release(t, number);
}

/* -- life, snapshots ----------------------------------------------------------------------------- */

/* One byte more is read together with the last one. */
static uint64_t taken_size(uint32_t page_count) { return (uint64_t)page_count * TAKEN_WORDS * sizeof(uint64_t) + 1; }

bool kc_block_table_open(struct block_table *t, uint64_t *kept_size, uint32_t opening, uint32_t page_count)
{
    uint64_t page_parts = page_count / KC_PART + 1;
    void *taken = mmap(NULL, taken_size(page_count), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct page *pages = calloc(page_parts * KC_PART, sizeof *pages);

    *t = (struct block_table){.slot_bits = FIRST_BITS, .page_count = page_count, .slots = calloc(1u << FIRST_BITS, sizeof *t->slots)};
    bool good = kc_array_open(&t->places, kept_size, opening, NULL, KC_PART * sizeof(struct place), 0);
    good &= kc_array_open(&t->blocks, kept_size, opening, NULL, KC_PART * sizeof(struct block), 0);
    good &= kc_array_open(&t->pieces, kept_size, opening, NULL, KC_PART * sizeof(struct block_piece), 0);
    good &= kc_array_open(&t->pages, kept_size, opening, (uint8_t *)pages, KC_PART * sizeof *pages, page_parts);
    good &= kc_array_open(&t->taken, kept_size, opening, taken == MAP_FAILED ? NULL : taken, TAKEN_WORDS * sizeof(uint64_t), page_count);
    return good && t->slots && pages && taken != MAP_FAILED;
}

void kc_block_table_close(struct block_table *t)
{
    if (t->taken.bytes)
        munmap(t->taken.bytes, taken_size(t->page_count));
    free(t->places.bytes);
    free(t->blocks.bytes);
    free(t->pieces.bytes);
    free(t->pages.bytes);
    kc_array_close(&t->places);
    kc_array_close(&t->blocks);
    kc_array_close(&t->pieces);
    kc_array_close(&t->pages);
    kc_array_close(&t->taken);
    free(t->nested);
    free(t->slots);
    *t = (struct block_table){0};
}

struct kept_table *kc_block_table_save(struct block_table *t)
{
    struct kept_array *arrays[] = {&t->places, &t->blocks, &t->pieces, &t->pages, &t->taken};
    struct kept_table *kept = malloc(sizeof *kept + t->now.nested_count * sizeof *kept->nested);

    if (!kept)
        return NULL;
    *kept = (struct kept_table){.lists = t->now};
    if (t->now.nested_count)
        memcpy(kept->nested, t->nested, t->now.nested_count * sizeof *t->nested);
    for (int i = 0; i < 5; i++)
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
    struct kept_array *arrays[] = {&t->places, &t->blocks, &t->pieces, &t->pages, &t->taken};

    forget_places(t, kept->lists.place_count); /* while they are there */
    for (int i = 0; i < 5; i++)
        kc_array_go_to(arrays[i], kept->arrays[i]);
    for (uint32_t number = t->now.place_count; number++ < kept->lists.place_count;)
        put_into_slot(t, number);
    t->now = kept->lists;
    if (t->now.nested_count)
        memcpy(t->nested, kept->nested, t->now.nested_count * sizeof *t->nested);
}

void kc_block_table_forget(struct kept_table *kept)
{
    for (int i = 0; kept && i < 5; i++)
        kc_array_forget(kept->arrays[i]);
    free(kept);
}
