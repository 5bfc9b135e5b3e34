/*
 * Blocks that overlap while both are live.
 *
 * Theory. The lives of all blocks are followed in the order of events. Each unit of memory has a bit, set while a live
 * block covers it. A block that finds a bit set overlaps another one; it is noted, and takes no further part.
 *
 * At an event blocks are born before others die, so a block that dies because its memory is handed out again is found.
 */

#include <stdlib.h>

#include "analysis/analysis.h"
#include "analysis/bitmaps.h"

typedef struct {
    uint64_t *words;
    uint32_t low; /* the unit of the first bit */
} bitmap;

static int any_set(const bitmap *map, uint32_t first, uint32_t last)
{
    uint64_t from = first - map->low, to = last - map->low;

    for (uint64_t word = from / KC_WORD_BITS; word <= to / KC_WORD_BITS; word++)
        if (map->words[word] & kc_mask_in(word, from, to))
            return 1;
    return 0;
}

static void flip(bitmap *map, uint32_t first, uint32_t last)
{
    uint64_t from = first - map->low, to = last - map->low;

    for (uint64_t word = from / KC_WORD_BITS; word <= to / KC_WORD_BITS; word++)
        map->words[word] ^= kc_mask_in(word, from, to);
}

/* `dying` is by event the latest block that dies then, from 1; `also` is by block the one before it. */
static uint32_t follow(const kc_lives *lives, bitmap *map, uint32_t *dying, uint32_t *also, uint32_t *out,
                       uint32_t room)
{
    uint32_t found = 0, block = 0;

    for (uint64_t event = 0; event <= lives->last_event; event++) {
        for (; block < lives->count && lives->born[block] == event; block++) {
            if (any_set(map, lives->first[block], lives->last[block])) {
                if (found < room)
                    out[found] = block;
                found++;
                continue;
            }
            flip(map, lives->first[block], lives->last[block]);
            if (lives->died[block] <= lives->last_event) {
                also[block] = dying[lives->died[block]];
                dying[lives->died[block]] = block + 1;
            }
        }
        for (uint32_t each = dying[event]; each; each = also[each - 1])
            flip(map, lives->first[each - 1], lives->last[each - 1]);
    }
    return found;
}

int64_t kc_overlaps(const kc_lives *lives, uint32_t *out, uint32_t room)
{
    uint32_t low = UINT32_MAX, high = 0;

    for (uint32_t i = 0; i < lives->count; i++) {
        low = lives->first[i] < low ? lives->first[i] : low;
        high = lives->last[i] > high ? lives->last[i] : high;
    }
    if (!lives->count)
        return 0;
    bitmap map = {calloc((uint64_t)(high - low) / KC_WORD_BITS + 1, sizeof(uint64_t)), low};
    uint32_t *dying = calloc((uint64_t)lives->last_event + 1, sizeof(uint32_t));
    uint32_t *also = calloc(lives->count, sizeof(uint32_t));
    int64_t found = -1;
    if (map.words && dying && also)
        found = follow(lives, &map, dying, also, out, room);
    free(map.words);
    free(dying);
    free(also);
    return found;
}
