/* What is worked out from plain arrays, without a machine (cffi reads the part between the markers). */
#ifndef KMEMU_ANALYSIS_H
#define KMEMU_ANALYSIS_H

#include <stdbool.h>
#include <stdint.h>

/* cdef begin */
/* -- what calls say of blocks: block_calls.c ------------------------------------------------------ */

/* What a recorded function does to blocks, as a profile says it: roles, and what its result is. */
enum kc_role { KC_ROLE_OTHER, KC_ROLE_ALLOC, KC_ROLE_FREE, KC_ROLE_REALLOC, KC_ROLE_SHARE, KC_ROLE_RESET, KC_ROLE_SEED, KC_ROLE_DEFER };
enum kc_result { KC_RESULT_OTHER, KC_RESULT_POINTER, KC_RESULT_FRAME, KC_RESULT_ERROR };
enum { KC_NO_VALUE = 0xff, KC_AREAS = 128 };
typedef struct {
    uint8_t role, result, area; /* area: its number, below KC_AREAS */
    bool pages;                 /* the blocks of the area are runs of pages */
    bool stores_block;          /* `out` of the row says where the block is, and not the result */
    bool is_one_page;           /* no value says how long the block is: it is a page */
    /* Which of the call's values say what; KC_NO_VALUE: none does. start and end: memory that is given to the allocator. */
    uint8_t ptr, frame, size, count, page_count, order, when, pool, start, end;
    uint32_t first_failure, failure_count; /* of the ranges of results that say that there is no block */
} kc_block_function;

/* A column of words in few bytes: row n has the word lowest + step * n + above[n], modulo 2**32. */
typedef struct {
    const void *above;
    uint32_t lowest, step;
    uint32_t bytes; /* of each item of `above`: 4, 2 or 1; 0: all are 0, and there is none */
} kc_narrow;

/* A column of numbers without a sign that is to be kept in few bytes. */
typedef struct {
    const void *values;
    uint32_t size;   /* bytes of each: 8, 4 or 1 */
    uint32_t step;   /* as kc_narrow has it, of words; set to 0 where that does not help */
    bool may_be_sum; /* of numbers of 8 bytes: they may be kept as sums */
    /* What is found out: number n is lowest + step * n + kept[n]; of a sum that, from 1 on, is by how much it is above the one before. */
    bool is_sum;
    uint32_t kept_size; /* bytes of each of the numbers `kept`; 0: all are 0, and none is stored */
    uint64_t at;        /* where they are stored */
    uint64_t lowest;    /* modulo the size of a number */
} kc_wide;
enum { KC_NARROW_ALIGNED = 8 }; /* what is kept of a column begins at a multiple of so many bytes */
/* Keep columns of so many numbers each, at least one, at `to`, which has room for all of them as they are and KC_NARROW_ALIGNED bytes more for each
 * column, at an address that this divides: narrowing.c. Returns how many bytes that took. */
uint64_t kc_narrow_columns(kc_wide *columns, uint32_t column_count, uint32_t count, void *to);

/* Calls that follow each other, a column for each fact; see kc_call_rows() in core.h. */
typedef struct {
    uint32_t count, first_call;
    kc_narrow function, parent, entered, left, result, out, stack;
    const kc_narrow *values; /* by their numbers: as many as functions have */
} kc_call_columns;

/* -- the lives of blocks: pairing.c -------------------------------------------------------------- */

/* What happened to blocks, by event: nothing (0), a birth (1), a death (2), a share (3), and at which address. */
typedef struct {
    uint32_t count;
    const uint8_t *kinds;
    const uint32_t *address;
} kc_block_events;
/* `died` holds for each birth, in order, when its block is forgotten, and is set to when it dies if that is before.
 * `taken`, all 0, becomes 1 for each event that took an owner from a block. -1: no memory. */
int kc_pair(const kc_block_events *changes, uint32_t *died, uint8_t *taken);

/* -- the lives of blocks in flat areas: flat_areas.c -------------------------------------------- */

/* An area is flat as long as each call that is about its blocks is in no other such call, and makes a block or gives one back, whole; of an
 * area of pages no block is made over a live one, and none is given back that does not live. Columns have room for all calls of functions of
 * the area that make blocks, `stray` for those that give them back. Those of blocks may all be NULL: then there are none. */
typedef struct {
    bool pages;               /* the blocks are runs of pages; the only one that is given */
    bool is_flat;            /* else nothing here says anything */
    bool may_overlap;         /* blocks may have been made over live ones */
    bool pools_fit;           /* who says of which pool a block is that is given back says what was said when it was made, if anything was */
    bool sizes_fit;           /* who says of what size a block is that is given back says it right; of an area of pages nothing */
    uint32_t *address, *size, *born, *born_call, *died, *died_call, *stack; /* of blocks, in the order of their birth */
    uint32_t *failed, *stray; /* calls that made no block, in the order of their return, and that gave back none */
    uint32_t block_count, failed_count, stray_count;
    uint32_t peak_event, peak_blocks; /* since when most bytes lived, first, and in how many blocks */
    int64_t peak_bytes;
} kc_flat_area;
typedef struct kc_flat kc_flat;
/* Follow the blocks of areas, by their numbers; those from the 64th on are not flat. All but areas is copied. NULL: no memory. */
kc_flat *kc_flat_new(const kc_block_function *functions, uint32_t function_count, const uint32_t *failures, uint32_t failure_count,
                       kc_flat_area *areas, uint32_t area_count);
/* Take the next calls, with their returns, whenever these are. Returns how many areas are flat so far; -1: no memory. */
int kc_flat_follow(kc_flat *p, const kc_call_columns *calls);
/* There are no more. -1: no memory. */
int kc_flat_end(kc_flat *p);
/* How many addresses there are at which blocks of an area were made. Unless `address` is NULL, they are stored there, in no order, with the
 * longest block that was made there and the event of the latest birth. */
uint32_t kc_flat_places(const kc_flat *p, uint32_t area, uint32_t *address, uint32_t *longest, uint32_t *newest);
/* How many blocks of an area live at the end. Unless `address` is NULL, they are stored, in no order. */
uint32_t kc_flat_live(const kc_flat *p, uint32_t area, uint32_t *address, uint32_t *size, uint32_t *born, uint32_t *born_call);
void kc_flat_delete(kc_flat *p);

/* -- which blocks overlap: overlaps.c; how close they lie: strides.c; how many there are: usage.c -- */

/* The lives of blocks, ascending by `born`: the units [first, last] from the event `born` to the event `died`. */
typedef struct {
    uint32_t count, last_event; /* who dies later does not die */
    const uint32_t *first, *last, *born, *died;
} kc_lives;
/* How many blocks were made over live ones; the positions of the first `room` of them go to `out`. -1: no memory. */
int64_t kc_overlaps(const kc_lives *lives, uint32_t *out, uint32_t room);
/* Sets `out`, all 0, for each block to the fewest bytes (units are bytes here) from its start to that of the next block that
 * lived at the same time and did not overlap it; 0: there was none. `numbers` are the blocks' starts, each as its rank among
 * all. -1: no memory. */
int kc_strides(const kc_lives *lives, const uint32_t *numbers, uint32_t *out);
/* Blocks that come, or go, at events in ascending order, and their bytes. */
typedef struct {
    uint32_t count;
    const uint32_t *events, *sizes;
} kc_comings;
/* What is in use from an event on, with room for event 0 and one for each birth and death. */
typedef struct {
    uint32_t *events;
    int64_t *bytes, *blocks;
} kc_usage_of;
/* Sets `of` to the events at which blocks are born or die, ascending, with event 0 first, and what is in use from there on. Returns how
 * many these are. */
uint32_t kc_usage(const kc_comings *births, const kc_comings *deaths, const kc_usage_of *of);
/* cdef end */

#endif
