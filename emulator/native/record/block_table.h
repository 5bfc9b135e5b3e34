/* Blocks that live, and those that died lately: by area and address, as the kernel knows them, and by the memory that they lie in. */
#ifndef KMEMU_BLOCK_TABLE_H
#define KMEMU_BLOCK_TABLE_H

#include "core/bits.h"
#include "core/kept_arrays.h"
#include "machine.h"

enum { KC_AREA_WORDS = KC_AREAS / 64, KC_PART = 32, KC_DEAD = 4096 }; /* KC_PART: elements of an array that are kept together */

/* The part of a block that lies in a page of RAM. In a page's list are those of live blocks, the newest first. */
struct block_piece {
    uint32_t physical, size, offset; /* offset: in the block */
    uint32_t block, next_of_block, next_in_page, previous_in_page;
};

/* What is kept of a block when it has died. Of an area of pages each page is a block, which has the start and the size of the whole run. */
struct block_life {
    kc_block as;
    uint32_t address;        /* its own: of a page the page's */
    struct block_piece piece; /* the first one: its number is the block's. Its block is 0 if there is none */
    bool is_live, is_page;
    bool is_held;            /* an allocator has it, and hands out parts of it */
};

/* A block that lives. Numbers of blocks, pieces and places are from 1; 0: none. Of most blocks there is one piece; a block for each
 * further one is nothing but that. Of 128 bytes: numbers lead to blocks without a multiplication. */
struct block {
    struct block_life life;
    uint32_t owners;
    uint32_t deferred;       /* frees that come once more */
    uint32_t pool;
    uint32_t next, previous; /* of the live ones of its area, by their making; of those that are not used: next only */
    uint32_t next_at_hash;
    uint64_t inside[KC_AREA_WORDS]; /* calls of which areas were open when it was made, bit by bit */
    bool knows_pool, is_nested;
    uint8_t unused[22];
};

/* What is to be known of an address besides the block that lives there, or when none does. */
struct place {
    uint32_t address, area;
    uint32_t displaced;      /* the death, from 1, of the block whose place was handed out again last; it may be forgotten by now */
    uint32_t run;            /* bytes of the latest run of pages that began here; 0: it was one page */
    uint32_t deferred;       /* frees that come once more, of a block that has died */
    bool is_of_all;          /* the address stands for all blocks of no bytes */
};

/* A page of RAM, and the blocks in it that live and are not held. */
struct page {
    uint32_t pieces;         /* the first piece, of held ones, too */
    uint32_t whole;          /* pieces that are all of it */
    uint32_t from_elsewhere; /* pieces of blocks that were made inside of calls of other areas */
    uint32_t newest;         /* when the newest block was made that ever lay in it */
    bool overlaps;           /* a byte may be in more than one of the pieces that `taken` has */
    bool is_closed;          /* of bytes that no piece has none may be accessed: which these are nobody needs to know, and `taken` does not say */
};

/* All of it but the arrays. */
struct block_lists {
    uint32_t place_count, block_count, live_count, nested_count;
    uint32_t free_block;
    uint32_t hash_shift;     /* leaves as many bits of a hash as the table has */
    uint32_t hashes_most;    /* blocks that may live before it is made longer */
    uint32_t deaths;         /* so many blocks have died, modulo 2**32 */
    uint32_t dead_count;     /* so many of them are known, KC_DEAD at most */
    uint64_t has_places[KC_AREA_WORDS]; /* there are places of an area, bit by bit */
    struct live_list { uint32_t oldest, newest; } live[KC_AREAS];
};

struct block_table {
    struct kept_array places, blocks, pages;
    struct kept_array hashes; /* numbers of the newest live blocks with the same hash of their addresses */
    struct kept_array dead;  /* by their deaths, modulo KC_DEAD */
    struct kept_array taken; /* one bit a byte of RAM: it is in one of the pieces that `page` counts and that are not whole */
    struct block_lists now;
    uint32_t *nested;        /* blocks that live and were made inside other calls of their area */
    struct place_slot { uint32_t number, address; } *slots; /* a hash table, by area and address: numbers of places */
    uint32_t nested_capacity, slot_bits, page_count;
    bool is_torn;            /* there was no memory to keep what has changed */
};

/* What a snapshot keeps. */
struct kept_table;

/* An empty table for so many pages of RAM; kept_size: see kc_array_open(). false: no memory. */
bool kc_block_table_open(struct block_table *t, uint64_t *kept_size, uint32_t opening, uint32_t page_count);
void kc_block_table_close(struct block_table *t);
/* NULL: no memory. */
struct kept_table *kc_block_table_save(struct block_table *t);
bool kc_block_table_has(const struct block_table *t, const struct kept_table *kept);
/* Make it what it was at a snapshot; see kc_array_go_to(). */
void kc_block_table_restore(struct block_table *t, const struct kept_table *kept);
void kc_block_table_forget(struct kept_table *kept);

static inline const struct block *kc_block_at(const struct block_table *t, uint32_t number)
{
    return (const struct block *)t->blocks.bytes + number - 1;
}

static inline const struct block_piece *kc_block_piece(const struct block_table *t, uint32_t number)
{
    return &kc_block_at(t, number)->life.piece;
}

/* NULL: there is none, or none more. */
static inline const struct block_piece *kc_first_piece(const struct block_life *life) { return life->piece.block ? &life->piece : NULL; }

static inline const struct block_piece *kc_next_piece(const struct block_table *t, const struct block_piece *piece)
{
    return piece->next_of_block ? kc_block_piece(t, piece->next_of_block) : NULL;
}

/* The block that has died as the n-th one, from 1. NULL: that was too long ago. */
static inline const struct block_life *kc_dead_at(const struct block_table *t, uint32_t death)
{
    return t->now.deaths - death < t->now.dead_count ? (const struct block_life *)t->dead.bytes + (death - 1) % KC_DEAD : NULL;
}

static inline const struct page *kc_block_page(const struct block_table *t, uint64_t physical)
{
    return (const struct page *)t->pages.bytes + (physical >> PAGE_SHIFT);
}

/* Are bytes taken, from one on: a bit each for at least eight of them. */
static inline uint32_t kc_taken(const struct block_table *t, uint64_t physical)
{
    uint16_t bits;
    __builtin_memcpy(&bits, t->taken.bytes + physical / 8, sizeof bits);
    return (uint32_t)bits >> physical % 8;
}

static inline bool kc_is_taken(const struct block_table *t, uint64_t physical) { return kc_taken(t, physical) & 1; }

void kc_table_keep(struct block_table *t, struct kept_array *a, uint64_t part);
/* A part of an array is going to change. */
static inline void kc_table_change(struct block_table *t, struct kept_array *a, uint64_t part)
{
    if (a->newest && !kc_bit(a->is_kept, part))
        kc_table_keep(t, a, part);
}

static inline uint32_t kc_block_number(const struct block_table *t, const struct block *block) { return (uint32_t)(block - kc_block_at(t, 1)) + 1; }

/* The same as above, to be changed. */
static inline struct block *kc_block_change(struct block_table *t, uint32_t number)
{
    kc_table_change(t, &t->blocks, (number - 1) / KC_PART);
    return (struct block *)t->blocks.bytes + number - 1;
}

/* The same of a block that has died, and is known. */
static inline struct block_life *kc_dead_change(struct block_table *t, uint32_t death)
{
    kc_table_change(t, &t->dead, (death - 1) % KC_DEAD / KC_PART);
    return (struct block_life *)t->dead.bytes + (death - 1) % KC_DEAD;
}

static inline struct place *kc_place_change(struct block_table *t, const struct place *place)
{
    uint32_t index = (uint32_t)(place - (const struct place *)t->places.bytes);

    kc_table_change(t, &t->places, index / KC_PART);
    return (struct place *)t->places.bytes + index;
}

/* May there be a place of an area? */
static inline bool kc_has_places(const struct block_table *t, uint32_t area) { return t->now.has_places[area / 64] >> area % 64 & 1; }
/* The place at an address; NULL: there is none. */
const struct place *kc_place_find(const struct block_table *t, uint32_t area, uint32_t address);
/* The same, to be changed, made if need be. NULL: no memory. Places move when one is made. */
struct place *kc_place_at(struct block_table *t, uint32_t area, uint32_t address);

static inline uint32_t kc_block_hash(const struct block_table *t, uint32_t address) { return address * 2654435769u >> t->now.hash_shift; }

/* The block that lives at an address; 0: none does. */
static inline uint32_t kc_block_find(const struct block_table *t, uint32_t area, uint32_t address)
{
    uint32_t number = ((const uint32_t *)t->hashes.bytes)[kc_block_hash(t, address)];

    while (number && (kc_block_at(t, number)->life.address != address || kc_block_at(t, number)->life.as.area != area))
        number = kc_block_at(t, number)->next_at_hash;
    return number;
}

/* Let a block live at an address where none does, with one owner: of no bytes, made by no call. NULL: no memory. Blocks move when one is made, or a
 * further piece. */
struct block *kc_block_add(struct block_table *t, uint32_t area, uint32_t address, bool is_nested);
/* Say where a part of it lies, at most as much as a page has left. The block, as it may have moved; NULL: no memory. */
struct block *kc_piece_add(struct block_table *t, struct block *block, uint64_t physical, uint32_t size, uint32_t offset);
/* A page's bytes that no piece has may not be accessed, or some of them may be. */
void kc_page_close(struct block_table *t, uint64_t physical, bool yes);
/* It lives on, and an allocator has it. */
void kc_block_hold(struct block_table *t, uint32_t block);
/* It lives no more, and is kept for a while as one that died: as which is answered. */
const struct block_life *kc_block_die(struct block_table *t, uint32_t block, uint32_t event, uint32_t call);
/* It has never been one. */
void kc_block_drop(struct block_table *t, uint32_t block);

#endif
