/* The blocks of firmware/scenarios/stress.c on the host's malloc, for Valgrind: the same random steps, patterns and checks. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { SLOTS = 160, SMALL_MAX = 512, LARGE_MAX = 2048 };

static struct { uint32_t *words, count, pattern; } slots[SLOTS];
static uint32_t state = 1, spoilt;

static uint32_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static void take(unsigned slot)
{
    uint32_t random = next_random(), size = (random >> 8) % (random % 8 == 0 ? LARGE_MAX : SMALL_MAX) + 1;

    slots[slot].words = malloc(size);
    slots[slot].count = size / 4;
    slots[slot].pattern = random;
    for (uint32_t i = 0; i < slots[slot].count; i++)
        slots[slot].words[i] = random + i;
}

static void give(unsigned slot)
{
    for (uint32_t i = 0; i < slots[slot].count; i++)
        spoilt |= slots[slot].words[i] ^ (slots[slot].pattern + i);
    free(slots[slot].words);
    slots[slot].words = NULL;
}

int main(int count, char **arguments)
{
    long calls = count > 1 ? atol(arguments[1]) : 0;

    while (calls--) {
        unsigned slot = next_random() % SLOTS;
        if (slots[slot].words)
            give(slot);
        else
            take(slot);
    }
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (slots[slot].words)
            give(slot);
    return spoilt != 0;
}
