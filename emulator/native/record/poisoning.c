/* Poisoning: what blocks that come and go make of the shadow (core/shadow.h).
 *
 * Policy. A block's own bytes may be accessed while it lives, and not after it has died, until another block has them. Memory that an
 * allocator has, and hands out in parts, may be accessed only in these: what was given to it at the start, and a block of another area
 * that it took while one of its calls was open, from the first part on that it hands out. Around a block KC_REDZONE_SIZE bytes may not be
 * accessed, on its page: where nobody else is known to have them. Not around whole pages, whose neighbours may be anybody's, and not
 * beyond the kernel's variable that the block lies in.
 *
 * What is set are words of eight bytes, of which the table's counts and the shadow say which bytes are meant.
 */
#include <string.h>

#include "core/kasan.h"
#include "core/mmu.h"
#include "core/shadow.h"
#include "record/poisoning.h"
#include "unicorn/jumps.h"

static uint64_t word_at(const uint8_t *bytes, uint32_t size)
{
    uint64_t word = 0;

    if (size == sizeof word) /* one load */
        memcpy(&word, bytes, sizeof word);
    else
        memcpy(&word, bytes, size);
    return word;
}

/* The bytes of a word of the shadow that may be accessed: 0xff. */
static uint64_t accessible(uint64_t word) { return (~word & KC_EACH_BYTE * KC_NO_ACCESS) * UINT8_MAX; }

/* The bytes of a word that are 0: 0xff. */
static uint64_t zeros(uint64_t word)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fu;
    return (~(((word & low) + low) | word | low) >> 7) * UINT8_MAX;
}

/* Of eight bits, which are in the lowest byte, each as a byte: 0 becomes 0xff. */
static uint64_t unset_bytes(uint32_t bits) { return zeros((bits & UINT8_MAX) * KC_EACH_BYTE & 0x8040201008040201u); }

/* A part of one page: the bytes that no block has and that may be accessed so far. as_written: those that are initialised stay so. */
static __attribute__((noinline)) void poison_free_bytes(kc *m, const struct block_table *t, uint64_t physical, uint64_t size, enum kc_poison poison, bool as_written)
{
    const uint64_t all = KC_EACH_BYTE * poison;
    const uint64_t written = as_written && kc_tells_uninitialised(m) ? KC_EACH_BYTE * KC_WRITTEN : 0;
    uint8_t *shadow = NULL;

    if (!size || kc_block_page(t, physical)->whole || kc_block_page(t, physical)->is_closed)
        return;
    for (uint64_t at = 0; at < size; at += sizeof all) {
        uint32_t part = size - at < sizeof all ? (uint32_t)(size - at) : sizeof all;
        uint64_t now = word_at(kc_shadow_at(m, physical + at), part);
        uint64_t set = accessible(now) & unset_bytes(kc_taken(t, physical + at)) & UINT64_MAX >> (64 - 8 * part);
        if (!set)
            continue;
        shadow = shadow ? shadow : kc_shadow_change(m, physical, true);
        if (!shadow)
            return;
        const uint64_t initialised = zeros(now);
        now = (now & ~set) | (set & all) | (written & set & initialised);
        memcpy(shadow + at, &now, part);
        kc_kasan_follow(m, physical + at, part);
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

bool kc_is_same_object(const struct objects *objects, uint64_t one, uint64_t other)
{
    uint32_t below = objects_below(objects, one);

    return below && one < objects->list[below - 1].end && other >= objects->list[below - 1].start && other < objects->list[below - 1].end;
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

static __attribute__((noinline)) void set_redzones(kc *m, const struct block_table *t, const struct objects *objects, const struct block_life *block,
                                                   const struct block_piece *piece)
{
    uint64_t first = piece->physical, last = first + piece->size, page = first & ~(uint64_t)PAGE_MASK;
    bool is_first = piece->offset == 0, is_last = piece->offset + piece->size == block->as.size;
    uint64_t start = is_first && first - page > KC_REDZONE_SIZE ? first - KC_REDZONE_SIZE : is_first ? page : first;
    uint64_t end = !is_last ? last : last + KC_REDZONE_SIZE < page + PAGE_SIZE ? last + KC_REDZONE_SIZE : page + PAGE_SIZE;
    if (start == first && end == last)
        return;
    clip_to_object(objects, first, &start, &end);
    poison_free_bytes(m, t, start, first - start, KC_REDZONE, true);
    if (end > last)
        poison_free_bytes(m, t, last, end - last, KC_REDZONE, true);
    kc_kasan_follow_at(m, block->as.start + piece->offset - (uint32_t)(first - start), start, end - start);
}

static inline void set_all_redzones(kc *m, const struct block_table *t, const struct objects *objects, const struct block_life *block)
{
    if (block->is_page || (block->as.size && ((block->as.start | (block->as.start + block->as.size)) & PAGE_MASK) == 0))
        return;
    for (const struct block_piece *piece = kc_first_piece(block); piece; piece = kc_next_piece(t, piece))
        if (!kc_block_page(t, piece->physical)->is_closed)
            set_redzones(m, t, objects, block, piece);
}

static bool has_bit(const uint64_t *bits, uint32_t n) { return bits[n / 64] >> (n % 64) & 1; }

/* Of a part of a page, the bytes that no block has may not be accessed any more. Where stores are to open what has not been used so far, pages
 * are not closed. */
static void close_part(kc *m, struct block_table *t, uint64_t physical, uint64_t size)
{
    if (size == PAGE_SIZE && !kc_block_page(t, physical)->whole && !kc_tells_uninitialised(m))
        kc_page_close(t, physical, true);
}

static SELDOM void hold(kc *m, struct block_table *t, uint32_t number)
{
    kc_block_hold(t, number);
    for (const struct block_piece *piece = kc_first_piece(&kc_block_at(t, number)->life); piece; piece = kc_next_piece(t, piece)) {
        bool was_closed = kc_block_page(t, piece->physical)->is_closed;
        kc_page_close(t, piece->physical, false);
        poison_free_bytes(m, t, piece->physical, piece->size, KC_GAP, true);
        kc_page_close(t, piece->physical, was_closed);
        close_part(m, t, piece->physical, piece->size);
    }
}

/* All pages of a run, too. */
static SELDOM void hold_whole(kc *m, struct block_table *t, uint32_t number)
{
    const struct block_life *of = &kc_block_at(t, number)->life;

    hold(m, t, number);
    for (uint64_t at = of->as.start; of->is_page && at < (uint64_t)of->as.start + of->as.size; at += PAGE_SIZE) {
        uint32_t page = kc_block_find(t, of->as.area, (uint32_t)at);
        if (page && kc_block_at(t, page)->life.as.born == of->as.born && !kc_block_at(t, page)->life.is_held)
            hold(m, t, page);
    }
}

/* A block of another area that a piece lies in, taken by the allocator that has made the block. */
static __attribute__((noinline)) uint32_t find_stock(const struct block_table *t, const struct block_piece *part)
{
    uint32_t area = kc_block_at(t, part->block)->life.as.area;
    const struct page *page = kc_block_page(t, part->physical);

    bool knows = !page->is_closed && !page->overlaps;
    if ((knows && page->whole + kc_is_taken(t, part->physical) < 2)) /* the part itself is one */
        return 0;
    for (uint32_t next = page->pieces; next; next = kc_block_piece(t, next)->next_in_page) {
        const struct block_piece *piece = kc_block_piece(t, next);
        const struct block *other = kc_block_at(t, piece->block);
        if (!other->life.is_held && other->life.as.area != area && has_bit(other->inside, area) &&
            part->physical >= piece->physical && part->physical < piece->physical + piece->size)
            return piece->block;
    }
    return 0;
}

void kc_poison_around(kc *m, struct block_table *t, const struct objects *objects, const struct block_life *block)
{
    for (const struct block_piece *piece = kc_first_piece(block); piece; piece = kc_next_piece(t, piece)) {
        uint32_t stock;
        kc_shadow_born(m, piece->physical, piece->size);
        kc_kasan_follow_at(m, block->as.start + piece->offset, piece->physical, piece->size);
        while (kc_block_page(t, piece->physical)->from_elsewhere && (stock = find_stock(t, piece)))
            hold_whole(m, t, stock);
    }
    set_all_redzones(m, t, objects, block);
}

/* It has no pieces. */
__attribute__((noinline)) void kc_unpoison_unsized(kc *m, struct block_table *t, uint64_t physical)
{
    uint64_t end = physical, page_end = (physical | PAGE_MASK) + 1;

    kc_page_close(t, physical, false);
    while (end < page_end && !kc_block_page(t, physical)->whole && !kc_is_taken(t, end))
        end++;
    kc_shadow_set(m, physical, end - physical, KC_ACCESSIBLE);
}

/* A piece, but for the bytes of blocks that live and were made after an event. */
static SELDOM void poison_all_but(kc *m, const struct block_table *t, const struct block_piece *piece, uint32_t after)
{
    uint8_t is_taken[PAGE_SIZE] = {0};
    uint32_t piece_end = piece->physical + piece->size;

    for (uint32_t number = kc_block_page(t, piece->physical)->pieces; number; number = kc_block_piece(t, number)->next_in_page) {
        const struct block_piece *each = kc_block_piece(t, number);
        const struct block_life *block = &kc_block_at(t, each->block)->life;
        uint32_t first = each->physical > piece->physical ? each->physical : piece->physical;
        uint32_t last = each->physical + each->size < piece_end ? each->physical + each->size : piece_end;
        if (first < last && !block->is_held && block->as.born >= after)
            memset(is_taken + (first & PAGE_MASK), true, last - first);
    }
    for (uint32_t at = piece->physical; at < piece_end; at++)
        if (!is_taken[at & PAGE_MASK])
            kc_shadow_set(m, at, 1, KC_FREED);
}

/* A part of one page, but what is initialised of it stays so. */
static SELDOM void poison_as_written(kc *m, uint64_t physical, uint32_t size)
{
    uint8_t *shadow = kc_shadow_change(m, physical, true);

    for (uint32_t i = 0; shadow && i < size; i++)
        shadow[i] = (uint8_t)(KC_FREED | (shadow[i] ? 0 : KC_WRITTEN));
}

/* What was made there after its death, by another task, lives. */
void kc_poison_freed(kc *m, const struct block_table *t, const struct block_life *dead, bool as_written)
{
    for (const struct block_piece *piece = kc_first_piece(dead); piece; piece = kc_next_piece(t, piece)) {
        if (as_written && kc_tells_uninitialised(m))
            poison_as_written(m, piece->physical, piece->size);
        else if (kc_block_page(t, piece->physical)->newest < dead->as.died)
            kc_shadow_set(m, piece->physical, piece->size, KC_FREED);
        else
            poison_all_but(m, t, piece, dead->as.died);
        kc_kasan_follow_at(m, dead->as.start + piece->offset, piece->physical, piece->size);
        if (kc_was_fetched(m, piece->physical >> PAGE_SHIFT)) /* jumps are looked at where code is translated */
            kc_forget_code(m, kc_at(m, piece->physical), piece->size);
    }
}

void kc_poison_given(kc *m, struct block_table *t, const struct objects *objects, uint64_t physical, uint32_t size)
{
    uint64_t end = physical + size, done = physical;

    for (uint32_t i = objects_below(objects, physical) ? objects_below(objects, physical) - 1 : 0;
         i < objects->count && objects->list[i].start < end; i++) {
        if (objects->list[i].start > done)
            poison_free_bytes(m, t, done, objects->list[i].start - done, KC_GAP, false);
        done = objects->list[i].end > done ? objects->list[i].end : done;
    }
    if (done < end)
        poison_free_bytes(m, t, done, end - done, KC_GAP, false);
    if (done == physical)
        close_part(m, t, physical, size);
}
