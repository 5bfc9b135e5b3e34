/*
 * How close blocks lie: the fewest bytes from the start of a block to that of the next one that lives.
 *
 * Theory. Two blocks are neighbours from the birth of the later one, or from the death of one between them. In that case the
 * first of the two had a closer neighbour before, so it suffices to look at births. Addresses at which blocks ever begin are
 * numbered in ascending order. A bitmap holds the numbers at which a block lives; each level above has a bit for each word
 * below that is not 0, so the neighbours of a number are found in as many steps as there are levels.
 *
 * As in overlaps.c, at an event blocks are born before others die. Blocks that overlap are no neighbours.
 */

#include <stdlib.h>

#include "analysis/analysis.h"

#define BITS 64
#define LEVELS 6 /* 64^6 numbers: more than there are addresses */
#define NONE UINT32_MAX

typedef struct {
    uint64_t *levels[LEVELS];
    uint32_t *block, *lives; /* by number: the block that was born there last, from 1, and how many live there */
    uint32_t *dying, *also;  /* by event the latest block that dies then, from 1; by block the one before it */
} state;

static void set(state *s, uint32_t number)
{
    for (int level = 0; level < LEVELS; level++, number /= BITS)
        s->levels[level][number / BITS] |= 1ull << number % BITS;
}

static void clear(state *s, uint32_t number)
{
    for (int level = 0; level < LEVELS; level++, number /= BITS)
        if (s->levels[level][number / BITS] &= ~(1ull << number % BITS))
            return;
}

static uint32_t descend(const state *s, int level, uint32_t number, bool lowest)
{
    while (level-- > 0) {
        uint64_t word = s->levels[level][number];
        number = number * BITS + (uint32_t)(lowest ? __builtin_ctzll(word) : BITS - 1 - __builtin_clzll(word));
    }
    return number;
}

/* The closest number that is set on one side, or NONE. */
static uint32_t neighbour(const state *s, uint32_t number, bool above)
{
    for (int level = 0; level < LEVELS; level++, number /= BITS) {
        uint32_t bit = number % BITS;
        uint64_t side = above ? bit == BITS - 1 ? 0 : ~0ull << (bit + 1) : (1ull << bit) - 1;
        uint64_t word = s->levels[level][number / BITS] & side;
        if (word) {
            bit = (uint32_t)(above ? __builtin_ctzll(word) : BITS - 1 - __builtin_clzll(word));
            return descend(s, level, number / BITS * BITS + bit, above);
        }
    }
    return NONE;
}

static void note(const kc_lives *lives, uint32_t left, uint32_t right, uint32_t *out)
{
    uint32_t stride = lives->first[right] - lives->first[left];

    if (lives->first[right] > lives->last[left] && (!out[left] || stride < out[left]))
        out[left] = stride;
}

static void birth(state *s, const kc_lives *lives, const uint32_t *numbers, uint32_t block, uint32_t *out)
{
    uint32_t number = numbers[block];
    uint32_t left = neighbour(s, number, false), right = neighbour(s, number, true);

    if (left != NONE)
        note(lives, s->block[left] - 1, block, out);
    if (right != NONE)
        note(lives, block, s->block[right] - 1, out);
    s->block[number] = block + 1;
    if (!s->lives[number]++)
        set(s, number);
    if (lives->died[block] <= lives->last_event) {
        s->also[block] = s->dying[lives->died[block]];
        s->dying[lives->died[block]] = block + 1;
    }
}

static void follow(state *s, const kc_lives *lives, const uint32_t *numbers, uint32_t *out)
{
    uint32_t block = 0;

    for (uint64_t event = 0; event <= lives->last_event; event++) {
        for (; block < lives->count && lives->born[block] == event; block++)
            birth(s, lives, numbers, block, out);
        for (uint32_t each = s->dying[event]; each; each = s->also[each - 1])
            if (!--s->lives[numbers[each - 1]])
                clear(s, numbers[each - 1]);
    }
}

int kc_strides(const kc_lives *lives, const uint32_t *numbers, uint32_t *out)
{
    state s = {0};
    uint64_t words = lives->count;
    bool good = true;

    for (int level = 0; level < LEVELS; level++) {
        words = words / BITS + 1;
        s.levels[level] = calloc(words, sizeof(uint64_t));
        good = good && s.levels[level];
    }
    s.block = calloc((uint64_t)lives->count + 1, sizeof(uint32_t));
    s.lives = calloc((uint64_t)lives->count + 1, sizeof(uint32_t));
    s.dying = calloc((uint64_t)lives->last_event + 1, sizeof(uint32_t));
    s.also = calloc((uint64_t)lives->count + 1, sizeof(uint32_t));
    good = good && s.block && s.lives && s.dying && s.also;
    if (good)
        follow(&s, lives, numbers, out);
    for (int level = 0; level < LEVELS; level++)
        free(s.levels[level]);
    free(s.block);
    free(s.lives);
    free(s.dying);
    free(s.also);
    return good ? 0 : -1;
}
