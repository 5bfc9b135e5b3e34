/* What is worked out from plain arrays, without a machine (cffi reads the part between the markers). */
#ifndef KMEMU_ANALYSIS_H
#define KMEMU_ANALYSIS_H

#include <stdbool.h>
#include <stdint.h>

/* cdef begin */
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
