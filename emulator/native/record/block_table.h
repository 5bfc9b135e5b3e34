/* Blocks that live, and those that died lately: by area and address, as the kernel knows them, and by the memory that they lie in. */
#ifndef KMEMU_BLOCK_TABLE_H
#define KMEMU_BLOCK_TABLE_H

#include "machine.h"

enum { KC_AREA_WORDS = KC_AREAS / 64 };

/* Of an area of pages each page is a block, which has the start and the size of the whole run. Numbers of blocks and pieces are from 1;
 * 0: none. */
struct block {
    kc_block as;
    uint32_t address;      /* its own: of a page the page's */
    uint32_t pieces;
    uint32_t pool;
    uint32_t next_dead;    /* of those that died lately; of one that is not used, the next such */
    bool is_live, knows_pool, is_page, is_nested;
    bool is_held;          /* an allocator has it, and hands out parts of it */
    uint64_t inside[KC_AREA_WORDS]; /* calls of which areas were open when it was made, bit by bit */
};

/* The part of a block that lies in a page of RAM. */
struct block_piece {
    uint32_t physical, size, offset; /* offset: in the block */
    uint32_t block, next_of_block, next_in_page;
};

/* What was ever made at an address. */
struct place {
    uint32_t address, area;  /* area: its number + 1; 0: the entry is free */
    uint32_t block;          /* the one that lives there */
    uint32_t displaced;      /* the one whose place was handed out again last; it may be forgotten by now */
    uint32_t run;            /* bytes of the latest run of pages that began here */
    uint32_t deferred;       /* frees that come once more */
    int64_t owners;
    bool is_of_all;          /* the address stands for all blocks of no bytes */
};

struct block_table {
    struct place *places;
    struct block *blocks;
    struct block_piece *pieces;
    uint32_t *pages;         /* by page of RAM: the first piece in it */
    uint32_t *nested;        /* blocks that live and were made inside other calls of their area */
    uint32_t place_bits, place_count;
    uint32_t block_count, block_capacity, free_block;
    uint32_t piece_count, piece_capacity, free_piece;
    uint32_t nested_count, nested_capacity;
    uint32_t page_count;
    uint32_t oldest_dead, newest_dead, dead_count;
};

/* An empty table for so many pages of RAM. false: no memory. */
bool kc_block_table_open(struct block_table *t, uint32_t page_count);
bool kc_block_table_copy(struct block_table *to, const struct block_table *from);
void kc_block_table_free(struct block_table *t);

static inline struct block *kc_block_at(const struct block_table *t, uint32_t number) { return &t->blocks[number - 1]; }
static inline struct block_piece *kc_block_piece(const struct block_table *t, uint32_t number) { return &t->pieces[number - 1]; }

/* The place at an address; NULL: nothing was ever made there. */
struct place *kc_place_find(const struct block_table *t, uint32_t area, uint32_t address);
/* The same, made if need be. NULL: no memory. Places move when one is made. */
struct place *kc_place_at(struct block_table *t, uint32_t area, uint32_t address);

/* Let a block live at its place, with one owner. 0: no memory. */
uint32_t kc_block_add(struct block_table *t, const struct block *block);
/* Say where a part of it lies, at most as much as a page has left. false: no memory. */
bool kc_piece_add(struct block_table *t, uint32_t block, uint64_t physical, uint32_t size, uint32_t offset);
/* It lives no more, and is kept for a while as one that died. */
void kc_block_die(struct block_table *t, uint32_t block, uint32_t event, uint32_t call);
/* It has never been one. */
void kc_block_drop(struct block_table *t, uint32_t block);

#endif
