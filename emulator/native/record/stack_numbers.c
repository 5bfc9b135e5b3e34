/* Numbers of call stacks: each stack is kept once, and a call has only its number. */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

#define STACKS_MAX (1u << 24)

static uint32_t hash_of(const uint32_t *words, uint32_t count)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < count; i++)
        hash = (hash ^ words[i]) * 16777619u;
    return hash ^ hash >> 15;
}

static void *grown(void *list, uint32_t *capacity, uint32_t needed, size_t size)
{
    uint32_t larger = *capacity ? *capacity : 256;

    if (needed <= *capacity)
        return list;
    while (larger < needed)
        larger *= 2;
    list = realloc(list, larger * size);
    if (list)
        *capacity = larger;
    return list;
}

/* Twice as many slots as stacks, and empty slots are 0. */
static bool room_for_slots(kc *m)
{
    if (m->stack_slot_count > 2 * (m->stack_count + 1))
        return true;
    uint32_t count = m->stack_slot_count ? 2 * m->stack_slot_count : 1024, *slots = calloc(count, sizeof *slots);
    if (!slots)
        return false;
    for (uint32_t number = 1; number <= m->stack_count; number++) {
        uint32_t at = m->stacks[number].hash & (count - 1);
        while (slots[at])
            at = (at + 1) & (count - 1);
        slots[at] = number;
    }
    free(m->stack_slots);
    m->stack_slots = slots;
    m->stack_slot_count = count;
    return true;
}

static uint32_t new_stack(kc *m, const struct walked *w, uint32_t hash, uint32_t call)
{
    if (m->stack_count + 1 >= STACKS_MAX)
        return 0;
    void *stacks = grown(m->stacks, &m->stack_capacity, m->stack_count + 2, sizeof *m->stacks);
    if (!stacks)
        return 0;
    m->stacks = stacks;
    void *words = grown(m->stack_words, &m->stack_word_capacity, m->stack_word_count + w->count, sizeof *m->stack_words);
    if (!words)
        return 0;
    m->stack_words = words;
    memcpy(m->stack_words + m->stack_word_count, w->frames, w->count * sizeof *w->frames);
    m->stacks[++m->stack_count] = (struct stack){hash, m->stack_word_count, call, (uint16_t)w->count, false};
    m->stack_word_count += w->count;
    return m->stack_count;
}

static uint32_t find_number(kc *m, const struct walked *w, uint32_t call)
{
    uint32_t hash = hash_of(w->frames, w->count);

    if (!room_for_slots(m))
        return 0;
    uint32_t at = hash & (m->stack_slot_count - 1);
    for (; m->stack_slots[at]; at = (at + 1) & (m->stack_slot_count - 1)) {
        const struct stack *known = &m->stacks[m->stack_slots[at]];
        if (known->hash == hash && known->count == w->count &&
            memcmp(m->stack_words + known->first, w->frames, w->count * sizeof *w->frames) == 0)
            return m->stack_slots[at];
    }
    return m->stack_slots[at] = new_stack(m, w, hash, call);
}

uint32_t kc_stack_number(kc *m, struct walked *w, uint32_t call)
{
    if (!w->number)
        w->number = find_number(m, w, call);
    if (!w->number)
        kc_no_memory(m);
    return w->number;
}

uint32_t kc_stack_count(kc *m) { return m->stack_count; }

const uint32_t *kc_stack(kc *m, uint32_t stack, uint32_t *count, uint32_t *call)
{
    *count = m->stacks[stack].count;
    *call = m->stacks[stack].call;
    return m->stack_words + m->stacks[stack].first;
}

void kc_stack_numbers_free(kc *m)
{
    free(m->stacks);
    free(m->stack_slots);
    free(m->stack_words);
}
