/* Poisoning: what blocks that come and go make of the shadow (core/shadow.h).
 *
 * Policy. A block's own bytes may be accessed while it lives, and not after it has died, until another block has them. Memory that an
 * allocator has, and hands out in parts, may be accessed only in these: what was given to it at the start, and a block of another area
 * that it took while one of its calls was open, from the first part on that it hands out. Around a block REDZONE bytes may not be
 * accessed, on its page: where nobody else is known to have them. Not around whole pages, whose neighbours may be anybody's, and not
 * beyond the kernel's variable that the block lies in.
 *
 * Page by page: what lies in a page is found in a chain.
 */
#include <string.h>

#include "core/shadow.h"
#include "record/poisoning.h"

enum { REDZONE = 16 };

/* Which bytes of a part of a page belong to blocks. */
struct page_map { bool is_taken[PAGE_SIZE]; };

/* Those of blocks that live, and that no allocator has for itself; that were made after an event; of all but one. */
static void map_part(const struct block_table *t, uint64_t physical, uint64_t size, uint32_t after, uint32_t except, struct page_map *map)
{
    memset(map->is_taken + (physical & PAGE_MASK), false, size);
    for (uint32_t number = t->pages[physical >> PAGE_SHIFT]; number; number = kc_block_piece(t, number)->next_in_page) {
        const struct block_piece *piece = kc_block_piece(t, number);
        const struct block *block = kc_block_at(t, piece->block);
        uint64_t first = piece->physical > physical ? piece->physical : physical, piece_end = (uint64_t)piece->physical + piece->size;
        uint64_t last = piece_end < physical + size ? piece_end : physical + size;
        if (first < last && block->is_live && !block->is_held && block->as.born >= after && piece->block != except)
            memset(map->is_taken + (first & PAGE_MASK), true, last - first);
    }
}

/* Set bytes of one page that no block has; those that may be accessed so far, or all. */
static void set_free_bytes(kc *m, const struct page_map *map, uint64_t physical, uint32_t size, enum kc_poison poison, bool all)
{
    uint64_t start = physical;

    for (uint64_t at = physical; at <= physical + size; at++) {
        bool is_set = at < physical + size && !map->is_taken[at & PAGE_MASK] && (all || !kc_poison_at(m, at));
        if (is_set)
            continue;
        if (start < at)
            kc_shadow_set(m, start, at - start, poison);
        start = at + 1;
    }
}

/* How many of the objects begin at or below an address. */
static uint32_t objects_below(const struct objects *objects, uint64_t at)
{
    uint32_t low = 0, high = objects->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (objects->list[middle].start <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Leave the part of [start, end) that is in the same of the kernel's variables as an address, or in none of them, too. */
static void clip_to_object(const struct objects *objects, uint64_t at, uint64_t *start, uint64_t *end)
{
    uint32_t below = objects_below(objects, at);
    uint64_t first = 0, last = below < objects->count ? objects->list[below].start : UINT64_MAX;

    if (below) {
        bool is_in = at < objects->list[below - 1].end;
        first = is_in ? objects->list[below - 1].start : objects->list[below - 1].end;
        last = is_in ? objects->list[below - 1].end : last;
    }
    if (first > *start)
        *start = first;
    if (last < *end)
        *end = last;
}

static void set_redzones(kc *m, const struct block_table *t, const struct objects *objects, uint32_t number)
{
    const struct block *block = kc_block_at(t, number);
    struct page_map map;

    if (block->is_page || ((block->as.start | (block->as.start + block->as.size)) & PAGE_MASK) == 0)
        return;
    for (uint32_t next = block->pieces; next; next = kc_block_piece(t, next)->next_of_block) {
        const struct block_piece *piece = kc_block_piece(t, next);
        uint64_t first = piece->physical, last = first + piece->size, page = first & ~(uint64_t)PAGE_MASK;
        bool is_first = piece->offset == 0, is_last = piece->offset + piece->size == block->as.size;
        uint64_t start = is_first && first - page > REDZONE ? first - REDZONE : is_first ? page : first;
        uint64_t end = !is_last ? last : last + REDZONE < page + PAGE_SIZE ? last + REDZONE : page + PAGE_SIZE;
        if (start == first && end == last)
            continue;
        clip_to_object(objects, first, &start, &end);
        map_part(t, start, end - start, 0, 0, &map);
        set_free_bytes(m, &map, start, (uint32_t)(end - start), KC_REDZONE, false);
    }
}

static bool has_bit(const uint64_t *bits, uint32_t n) { return bits[n / 64] >> (n % 64) & 1; }

static void hold(kc *m, struct block_table *t, uint32_t number)
{
    struct page_map map;

    kc_block_at(t, number)->is_held = true;
    for (uint32_t next = kc_block_at(t, number)->pieces; next; next = kc_block_piece(t, next)->next_of_block) {
        const struct block_piece *piece = kc_block_piece(t, next);
        map_part(t, piece->physical, piece->size, 0, 0, &map);
        set_free_bytes(m, &map, piece->physical, piece->size, KC_GAP, false);
    }
}

/* All pages of a run, too. */
static void hold_whole(kc *m, struct block_table *t, uint32_t number)
{
    const struct block of = *kc_block_at(t, number);

    hold(m, t, number);
    for (uint64_t at = of.as.start; of.is_page && at < (uint64_t)of.as.start + of.as.size; at += PAGE_SIZE) {
        const struct place *place = kc_place_find(t, of.as.area, (uint32_t)at);
        if (place && place->block && kc_block_at(t, place->block)->as.born == of.as.born && !kc_block_at(t, place->block)->is_held)
            hold(m, t, place->block);
    }
}

/* A block of another area that a piece lies in, taken by the allocator that has made the block. */
static uint32_t find_stock(const struct block_table *t, const struct block_piece *part)
{
    const struct block *block = kc_block_at(t, part->block);

    for (uint32_t next = t->pages[part->physical >> PAGE_SHIFT]; next; next = kc_block_piece(t, next)->next_in_page) {
        const struct block_piece *piece = kc_block_piece(t, next);
        const struct block *other = kc_block_at(t, piece->block);
        if (other->is_live && !other->is_held && other->as.area != block->as.area && has_bit(other->inside, block->as.area) &&
            part->physical >= piece->physical && part->physical < piece->physical + piece->size)
            return piece->block;
    }
    return 0;
}

void kc_poison_around(kc *m, struct block_table *t, const struct objects *objects, uint32_t number)
{
    for (uint32_t next = kc_block_at(t, number)->pieces; next; next = kc_block_piece(t, next)->next_of_block) {
        const struct block_piece *piece = kc_block_piece(t, next);
        uint32_t stock;
        kc_shadow_set(m, piece->physical, piece->size, KC_ACCESSIBLE);
        while ((stock = find_stock(t, piece)))
            hold_whole(m, t, stock);
    }
    set_redzones(m, t, objects, number);
}

void kc_unpoison_unsized(kc *m, const struct block_table *t, uint32_t number, uint64_t physical)
{
    uint64_t end = physical, page_end = (physical | PAGE_MASK) + 1;
    struct page_map map;

    map_part(t, physical, page_end - physical, 0, number, &map);
    while (end < page_end && !map.is_taken[end & PAGE_MASK])
        end++;
    kc_shadow_set(m, physical, end - physical, KC_ACCESSIBLE);
}

/* What was made there after its death, by another task, lives. */
void kc_poison_freed(kc *m, const struct block_table *t, uint32_t number)
{
    const struct block *block = kc_block_at(t, number);
    struct page_map map;

    for (uint32_t next = block->pieces; next; next = kc_block_piece(t, next)->next_of_block) {
        const struct block_piece *piece = kc_block_piece(t, next);
        map_part(t, piece->physical, piece->size, block->as.died, 0, &map);
        set_free_bytes(m, &map, piece->physical, piece->size, KC_FREED, true);
    }
}

void kc_poison_given(kc *m, const struct block_table *t, const struct objects *objects, uint64_t physical, uint32_t size)
{
    struct page_map map;

    map_part(t, physical, size, 0, 0, &map);
    for (uint32_t i = objects_below(objects, physical) ? objects_below(objects, physical) - 1 : 0;
         i < objects->count && objects->list[i].start < physical + size; i++) {
        uint64_t first = objects->list[i].start > physical ? objects->list[i].start : physical;
        uint64_t last = objects->list[i].end < physical + size ? objects->list[i].end : physical + size;
        if (first < last)
            memset(map.is_taken + (first & PAGE_MASK), true, last - first);
    }
    set_free_bytes(m, &map, physical, size, KC_GAP, false);
}
