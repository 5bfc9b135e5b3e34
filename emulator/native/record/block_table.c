/* The table of blocks: see block_table.h.
 *
 * A hash table leads from area and address to what was made there; it only grows. Chains lead from each page of RAM to the parts of
 * blocks in it, so that what lies at a physical address, or near it, is found among a page's blocks. The blocks that died last, DEAD_MAX
 * of them, stay in these chains. All are arrays that refer to each other by number, which a snapshot can copy.
 */
#include <stdlib.h>
#include <string.h>

#include "record/block_table.h"

enum { DEAD_MAX = 4096, FIRST_BITS = 8, FIRST_CAPACITY = 64 };

/* Make room for one more entry. */
static void *grown(void *list, uint32_t count, uint32_t *capacity, size_t size)
{
    uint32_t larger = *capacity ? 2 * *capacity : FIRST_CAPACITY;

    if (count < *capacity)
        return list;
    list = realloc(list, larger * size);
    if (list)
        *capacity = larger;
    return list;
}

/* -- places -------------------------------------------------------------------------------------- */

static struct place *slot_of(const struct block_table *t, uint32_t area, uint32_t address)
{
    uint32_t mask = (1u << t->place_bits) - 1, at = (address ^ area << 24) * 2654435769u >> (32 - t->place_bits);

    while (t->places[at].area && (t->places[at].address != address || t->places[at].area != area + 1))
        at = (at + 1) & mask;
    return &t->places[at];
}

struct place *kc_place_find(const struct block_table *t, uint32_t area, uint32_t address)
{
    struct place *place = slot_of(t, area, address);
    return place->area ? place : NULL;
}

static bool grow_places(struct block_table *t)
{
    struct block_table larger = {.place_bits = t->place_bits + 1, .places = calloc(2ull << t->place_bits, sizeof *larger.places)};

    if (!larger.places)
        return false;
    for (uint64_t i = 0; i < 1ull << t->place_bits; i++)
        if (t->places[i].area)
            *slot_of(&larger, t->places[i].area - 1, t->places[i].address) = t->places[i];
    free(t->places);
    t->places = larger.places;
    t->place_bits = larger.place_bits;
    return true;
}

struct place *kc_place_at(struct block_table *t, uint32_t area, uint32_t address)
{
    struct place *place = slot_of(t, area, address);

    if (place->area)
        return place;
    if (t->place_count >= 1u << (t->place_bits - 1)) {
        if (!grow_places(t))
            return NULL;
        place = slot_of(t, area, address);
    }
    t->place_count++;
    *place = (struct place){.address = address, .area = area + 1};
    return place;
}

/* -- pieces -------------------------------------------------------------------------------------- */

bool kc_piece_add(struct block_table *t, uint32_t block, uint64_t physical, uint32_t size, uint32_t offset)
{
    uint32_t number = t->free_piece, page = (uint32_t)(physical >> PAGE_SHIFT);

    if (number) {
        t->free_piece = kc_block_piece(t, number)->next_of_block;
    } else {
        void *pieces = grown(t->pieces, t->piece_count, &t->piece_capacity, sizeof *t->pieces);
        if (!pieces)
            return false;
        t->pieces = pieces;
        number = ++t->piece_count;
    }
    *kc_block_piece(t, number) = (struct block_piece){(uint32_t)physical, size, offset, block, kc_block_at(t, block)->pieces, t->pages[page]};
    t->pages[page] = kc_block_at(t, block)->pieces = number;
    return true;
}

static void pieces_remove(struct block_table *t, struct block *block)
{
    uint32_t next;

    for (uint32_t number = block->pieces; number; number = next) {
        struct block_piece *piece = kc_block_piece(t, number);
        uint32_t *link = &t->pages[piece->physical >> PAGE_SHIFT];
        while (*link != number)
            link = &kc_block_piece(t, *link)->next_in_page;
        *link = piece->next_in_page;
        next = piece->next_of_block;
        piece->next_of_block = t->free_piece;
        t->free_piece = number;
    }
    block->pieces = 0;
}

/* -- blocks -------------------------------------------------------------------------------------- */

static void release(struct block_table *t, uint32_t number)
{
    struct block *block = kc_block_at(t, number);

    pieces_remove(t, block);
    block->next_dead = t->free_block;
    t->free_block = number;
}

static bool nested_add(struct block_table *t, uint32_t number)
{
    void *nested = grown(t->nested, t->nested_count, &t->nested_capacity, sizeof *t->nested);

    if (!nested)
        return false;
    t->nested = nested;
    t->nested[t->nested_count++] = number;
    return true;
}

uint32_t kc_block_add(struct block_table *t, const struct block *block)
{
    struct place *place = kc_place_at(t, block->as.area, block->address);
    void *blocks = t->free_block ? t->blocks : grown(t->blocks, t->block_count, &t->block_capacity, sizeof *t->blocks);
    uint32_t number = t->free_block;

    if (!blocks || !place)
        return 0;
    t->blocks = blocks;
    if (block->is_nested && !nested_add(t, number ? number : t->block_count + 1))
        return 0;
    if (number)
        t->free_block = kc_block_at(t, number)->next_dead;
    else
        number = ++t->block_count;
    *kc_block_at(t, number) = *block;
    kc_block_at(t, number)->is_live = true;
    place->block = number;
    place->owners = 1;
    place->deferred = 0;
    return number;
}

static void leave_place(struct block_table *t, uint32_t number)
{
    struct block *block = kc_block_at(t, number);

    block->is_live = false;
    kc_place_find(t, block->as.area, block->address)->block = 0;
    for (uint32_t i = 0; block->is_nested && i < t->nested_count; i++)
        if (t->nested[i] == number) {
            t->nested[i] = t->nested[--t->nested_count];
            break;
        }
}

void kc_block_die(struct block_table *t, uint32_t number, uint32_t event, uint32_t call)
{
    struct block *block = kc_block_at(t, number);

    leave_place(t, number);
    block->as.died = event;
    block->as.death = call;
    block->next_dead = 0;
    if (t->newest_dead)
        kc_block_at(t, t->newest_dead)->next_dead = number;
    else
        t->oldest_dead = number;
    t->newest_dead = number;
    if (t->dead_count++ < DEAD_MAX)
        return;
    uint32_t oldest = t->oldest_dead;
    t->oldest_dead = kc_block_at(t, oldest)->next_dead;
    t->dead_count--;
    release(t, oldest);
}

void kc_block_drop(struct block_table *t, uint32_t number)
{
    leave_place(t, number);
    release(t, number);
}

/* -- life ---------------------------------------------------------------------------------------- */

bool kc_block_table_open(struct block_table *t, uint32_t page_count)
{
    *t = (struct block_table){.place_bits = FIRST_BITS, .page_count = page_count};
    t->places = calloc(1u << FIRST_BITS, sizeof *t->places);
    t->pages = calloc(page_count, sizeof *t->pages);
    return t->places && t->pages;
}

static bool copied(void *to, const void *from, uint64_t count, size_t size)
{
    void *list = count ? malloc(count * size) : NULL;

    memcpy(to, &list, sizeof list);
    if (count && !list)
        return false;
    if (count)
        memcpy(list, from, count * size);
    return true;
}

bool kc_block_table_copy(struct block_table *to, const struct block_table *from)
{
    *to = *from;
    bool good = copied(&to->places, from->places, 1ull << from->place_bits, sizeof *to->places);
    good &= copied(&to->blocks, from->blocks, from->block_count, sizeof *to->blocks);
    good &= copied(&to->pieces, from->pieces, from->piece_count, sizeof *to->pieces);
    good &= copied(&to->pages, from->pages, from->page_count, sizeof *to->pages);
    good &= copied(&to->nested, from->nested, from->nested_count, sizeof *to->nested);
    to->block_capacity = to->block_count;
    to->piece_capacity = to->piece_count;
    to->nested_capacity = to->nested_count;
    return good;
}

void kc_block_table_free(struct block_table *t)
{
    free(t->places);
    free(t->blocks);
    free(t->pieces);
    free(t->pages);
    free(t->nested);
    *t = (struct block_table){0};
}
