/* Which open calls a stack has grown out of, in code without rules whose frame pointers skip frames.
 *
 * Each frame between the top of the stack and an open call has left its return address. A word of the stack can be one if
 * it is the address after a call instruction; it is believed if that call can have led to a function that is active further down
 * the stack: its target is this function, or one that leaves for it by a jump. Calls through pointers can lead to any. The
 * frame next to the open call has to be one of its function, and of no caller in between: that would be on another stack.
 *
 * Shortcomings. A word that was left over from an earlier call of another function may be believed. Jumps through pointers are
 * not followed.
 */
#include <stdlib.h>
#include <string.h>

#include "core/mmu.h"
#include "record/ancestry.h"
#include "record/calls.h"
#include "record/unwinding.h"

#define ACTIVE_MAX 32
#define FRAME_MAX 4096u       /* bytes; no frame of a kernel is larger */
#define STACK_MAX (64u << 10) /* the same */
enum { CALL_NEAR = 0xe8, JUMP_NEAR = 0xe9, JUMP_SHORT = 0xeb, GROUP_5 = 0xff, TWO_BYTES = 0x0f };

struct ancestry {
    kc_extent *extents;
    uint32_t count;
};

/* Functions, one entry each, that may be active, and whether the newest one's direct caller is known. */
struct active {
    const kc_extent *functions[ACTIVE_MAX];
    bool has_caller[ACTIVE_MAX];
    uint32_t count;
};

static const kc_extent *function_at(const kc *m, uint32_t address)
{
    uint32_t low = 0, high = m->ancestry->count; /* the last one with start <= address is in [low - 1, high - 1] */

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->ancestry->extents[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low && address < m->ancestry->extents[low - 1].end ? &m->ancestry->extents[low - 1] : NULL;
}

uint32_t kc_function_start(const kc *m, uint32_t address)
{
    const kc_extent *function = function_at(m, address);
    return function ? function->start : 0;
}

static uint32_t code_word(kc *m, uint32_t address)
{
    uint32_t word;

    kc_words(m, address, &word, 1);
    return word;
}

static void add(struct active *active, const kc_extent *function)
{
    uint32_t i = 0;

    while (i < active->count && active->functions[i] != function)
        i++;
    if (i == ACTIVE_MAX)
        return;
    active->count += i == active->count;
    active->functions[i] = function;
    active->has_caller[i] = false;
}

static uint32_t stack_word(kc *m, uint32_t at)
{
    uint32_t word;

    kc_stack_words(m, at, &word, 1);
    return word;
}

/* The function that an instruction jumps to if it is a direct jump, taken or not, out of its own function; else NULL. */
static const kc_extent *jump_target(kc *m, uint32_t address, const kc_extent *own)
{
    uint32_t word = code_word(m, address), target;
    uint8_t first = (uint8_t)word, second = (uint8_t)(word >> 8);
    bool is_short = first == JUMP_SHORT || first >> 4 == 7;

    if (first == JUMP_NEAR)
        target = address + 5 + code_word(m, address + 1);
    else if (first == TWO_BYTES && second >> 4 == 8)
        target = address + 6 + code_word(m, address + 2);
    else if (is_short)
        target = address + 2 + (uint32_t)(int8_t)second;
    else
        return NULL;
    const kc_extent *function = function_at(m, target);
    if (function == own || (is_short && function && target != function->start)) /* that far it leads by chance only */
        return NULL;
    return function;
}

/* Can a call of a function be, without a frame of its own, in another one? Every byte is taken for an instruction. */
static bool leads_to(kc *m, const kc_extent *from, const kc_extent *to)
{
    struct active reached = {.functions = {from}, .count = 1};

    for (uint32_t i = 0; i < reached.count; i++) {
        const kc_extent *function = reached.functions[i];
        if (function == to)
            return true;
        for (uint32_t at = function->start; at + 1 < function->end; at++) {
            const kc_extent *next = jump_target(m, at, function);
            if (next)
                add(&reached, next);
        }
    }
    return false;
}

/* Is a word what a call instruction has pushed that can have led to one of the functions? Intel SDM 2A, CALL. After a call of a
 * recorded function it is left over, or a copy: a call that is active would be open, and nearer. */
static bool is_return_to_caller(kc *m, uint32_t word, struct active *active)
{
    static const uint8_t indirect_sizes[] = {2, 3, 4, 6, 7};
    bool is_caller = false;

    if ((uint8_t)code_word(m, word - 5) == CALL_NEAR) {
        uint32_t target = word + code_word(m, word - 4);
        const kc_extent *called = function_at(m, target);
        if (kc_is_recorded_start(m, target))
            return false;
        for (uint32_t i = 0; called && called->start == target && i < active->count; i++)
            if (leads_to(m, called, active->functions[i]))
                is_caller = active->has_caller[i] = true;
    }
    for (uint32_t i = 0; i < sizeof indirect_sizes && !is_caller; i++) {
        uint32_t code = code_word(m, word - indirect_sizes[i]);
        is_caller = (uint8_t)code == GROUP_5 && (code >> 11 & 7) == 2;
    }
    return is_caller;
}

bool kc_grew_below(kc *m, uint32_t esp, uint32_t caller, uint32_t entered, uint32_t end)
{
    struct active active = {.functions = {function_at(m, caller - 1)}, .count = 1};
    const kc_extent *outer = function_at(m, entered);
    uint32_t last = esp;

    if (!active.functions[0] || !outer || end - esp >= STACK_MAX)
        return false;
    for (uint32_t at = esp + 4; at < end; at += 4) {
        uint32_t word = stack_word(m, at);
        if (kc_is_code(m, word) && is_return_to_caller(m, word, &active)) {
            const kc_extent *function = function_at(m, word - 1);
            last = at;
            if (function)
                add(&active, function);
        }
        if (at - last > FRAME_MAX)
            return false;
    }
    for (uint32_t i = 0; i < active.count; i++)
        if (!active.has_caller[i] && leads_to(m, outer, active.functions[i]))
            return true;
    return false;
}

bool kc_grew_from(kc *m, uint32_t esp, uint32_t caller, const struct open_call *open)
{
    return stack_word(m, open->slot.esp) == open->caller &&
           kc_grew_below(m, esp, caller, kc_recorded_start(m, open->entry), open->slot.esp);
}

int kc_functions(kc *m, const kc_extent *functions, uint32_t count)
{
    kc_extent *copy = count ? malloc(count * sizeof *copy) : NULL;

    if (count && !copy)
        return -1;
    if (count)
        memcpy(copy, functions, count * sizeof *copy);
    free(m->ancestry->extents);
    m->ancestry->extents = copy;
    m->ancestry->count = count;
    return 0;
}

int kc_ancestry_init(kc *m) { return KC_NEW(m->ancestry); }

void kc_ancestry_free(kc *m)
{
    if (m->ancestry)
        free(m->ancestry->extents);
    free(m->ancestry);
}
