/* Numbers of call stacks: each stack is kept once, and a call has only its number. */
#include <stdlib.h>
#include <string.h>

#include "core/run.h"
#include "record/stack_numbers.h"

#define STACKS_MAX (1u << 24)
#define OTHER (1u << 31) /* in the number of a stack that no call has */

struct stack { uint32_t hash, first, call; uint16_t count; bool passed; };

/* Those that calls have are numbered apart: a trace takes them over in order, as new ones are met. */
struct stack_numbers {
    struct numbered {
        struct stack *stacks; /* [0] is not used */
        uint32_t count, capacity;
        uint32_t *slots, slot_count; /* numbers by hash */
        uint32_t *words, word_count, word_capacity; /* return addresses of all stacks */
    } of_calls, of_others;
};

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
static bool room_for_slots(struct numbered *n)
{
    if (n->slot_count > 2 * (n->count + 1))
        return true;
    uint32_t count = n->slot_count ? 2 * n->slot_count : 1024, *slots = calloc(count, sizeof *slots);
    if (!slots)
        return false;
    for (uint32_t number = 1; number <= n->count; number++) {
        uint32_t at = n->stacks[number].hash & (count - 1);
        while (slots[at])
            at = (at + 1) & (count - 1);
        slots[at] = number;
    }
    free(n->slots);
    n->slots = slots;
    n->slot_count = count;
    return true;
}

/* A backtrace that is not whole says so in its last word. */
static uint32_t word_count(const struct backtrace *w) { return w->count + !w->is_whole; }

static uint32_t new_stack(struct numbered *n, const struct backtrace *w, uint32_t hash, uint32_t call)
{
    if (n->count + 1 >= STACKS_MAX)
        return 0;
    void *stacks = grown(n->stacks, &n->capacity, n->count + 2, sizeof *n->stacks);
    if (!stacks)
        return 0;
    n->stacks = stacks;
    void *words = grown(n->words, &n->word_capacity, n->word_count + word_count(w), sizeof *n->words);
    if (!words)
        return 0;
    n->words = words;
    memcpy(n->words + n->word_count, w->frames, word_count(w) * sizeof *w->frames);
    n->stacks[++n->count] = (struct stack){hash, n->word_count, call, (uint16_t)word_count(w), false};
    n->word_count += word_count(w);
    return n->count;
}

/* The slot of a stack; an empty one: it is not known. There are slots. */
static uint32_t *slot_of(const struct numbered *n, const struct backtrace *w, uint32_t hash)
{
    uint32_t at = hash & (n->slot_count - 1);

    for (; n->slots[at]; at = (at + 1) & (n->slot_count - 1)) {
        const struct stack *known = &n->stacks[n->slots[at]];
        if (known->hash == hash && known->count == word_count(w) &&
            memcmp(n->words + known->first, w->frames, word_count(w) * sizeof *w->frames) == 0)
            break;
    }
    return &n->slots[at];
}

static uint32_t find_number(struct numbered *n, const struct backtrace *w, uint32_t call)
{
    uint32_t hash = hash_of(w->frames, word_count(w));

    if (!room_for_slots(n))
        return 0;
    uint32_t *slot = slot_of(n, w, hash);
    if (!*slot)
        *slot = new_stack(n, w, hash, call);
    return *slot;
}

uint32_t kc_stack_number(kc *m, struct backtrace *w, uint32_t call)
{
    if (!w->number)
        w->number = find_number(&m->stack_numbers->of_calls, w, call);
    if (!w->number)
        kc_no_memory(m);
    return w->number;
}

uint32_t kc_stack_of_other(kc *m, const struct backtrace *w)
{
    uint32_t number = find_number(&m->stack_numbers->of_others, w, 0);

    if (!number)
        kc_no_memory(m);
    return number ? number | OTHER : 0;
}

uint32_t kc_known_stack_of_other(const kc *m, const struct backtrace *w)
{
    const struct numbered *n = &m->stack_numbers->of_others;
    uint32_t number = n->slot_count ? *slot_of(n, w, hash_of(w->frames, word_count(w))) : 0;

    return number ? number | OTHER : 0;
}

bool kc_stack_is_passed(const kc *m, uint32_t stack) { return m->stack_numbers->of_calls.stacks[stack].passed; }

/* -- for Python ----------------------------------------------------------------------------------- */

void kc_pass_stack(kc *m, uint32_t stack, bool yes) { m->stack_numbers->of_calls.stacks[stack].passed = yes; }

uint32_t kc_stack_count(kc *m) { return m->stack_numbers->of_calls.count; }

const uint32_t *kc_stack(kc *m, uint32_t stack, uint32_t *count, uint32_t *call)
{
    const struct numbered *n = stack & OTHER ? &m->stack_numbers->of_others : &m->stack_numbers->of_calls;
    const struct stack *found = &n->stacks[stack & ~OTHER];

    *count = found->count;
    *call = found->call;
    return n->words + found->first;
}

int kc_stack_numbers_init(kc *m) { return KC_NEW(m->stack_numbers); }

static void numbered_free(struct numbered *n)
{
    free(n->stacks);
    free(n->slots);
    free(n->words);
}

void kc_stack_numbers_free(kc *m)
{
    if (m->stack_numbers) {
        numbered_free(&m->stack_numbers->of_calls);
        numbered_free(&m->stack_numbers->of_others);
    }
    free(m->stack_numbers);
}
