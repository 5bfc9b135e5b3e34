/* Which open calls a stack has grown out of, in code without rules whose frame pointers skip frames.
 *
 * Each frame between the top of the stack and an open call has left its return address. A word of the stack can be one if
 * it is the address after a call instruction; it is believed if that call can have led to a function that is active further down
 * the stack: its target is this function, or one that leaves for it by a jump. Calls through pointers can lead to any. The
 * frame next to the open call has to be one of its function, and of no caller in between: that would be on another stack.
 *
 * Shortcomings. A word that was left over from an earlier call of another function may be believed. Jumps through pointers in
 * memory are not followed.
 */
#include "core/mmu.h"
#include "record/ancestry.h"
#include "record/calls.h"
#include "record/functions.h"

#define ACTIVE_MAX 32
#define FRAME_MAX 4096u       /* bytes; no frame of a kernel is larger */
#define STACK_MAX (64u << 10) /* the same */

/* Functions, one entry each, that may be active, and whether the newest one's direct caller is known. */
struct active {
    const kc_extent *functions[ACTIVE_MAX];
    bool has_caller[ACTIVE_MAX];
    uint32_t count;
};

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

/* Is a word what a call instruction has pushed that can have led to one of the functions? After a call of a recorded function it
 * is left over, or a copy: a call that is active would be open, and nearer. */
static bool is_return_to_caller(kc *m, uint32_t word, struct active *active)
{
    uint32_t target;
    bool is_caller = false;

    if (!kc_is_after_call(m, word, &target))
        return false;
    if (!target)
        return true;
    if (kc_is_recorded_start(m, target))
        return false;
    for (uint32_t i = 0; i < active->count; i++)
        if (kc_leads_to(m, target, active->functions[i]->start))
            is_caller = active->has_caller[i] = true;
    return is_caller;
}

bool kc_grew_from(kc *m, uint32_t esp, uint32_t caller, const struct open_call *open)
{
    struct active active = {.functions = {kc_function_at(m, caller - 1)}, .count = 1};
    uint32_t last = esp, end = open->slot.esp;

    if (!active.functions[0] || end - esp >= STACK_MAX || kc_stack_word(m, end) != open->caller)
        return false;
    bool is_at_entry = kc_stack_word(m, esp) == caller; /* else the first word may be what has led to the function */
    for (uint32_t at = is_at_entry ? esp + 4 : esp; at < end; at += 4) {
        uint32_t word = kc_stack_word(m, at);
        if (is_return_to_caller(m, word, &active)) {
            const kc_extent *function = kc_function_at(m, word - 1);
            last = at;
            if (function)
                add(&active, function);
        }
        if (at - last > FRAME_MAX)
            return false;
    }
    for (uint32_t i = 0; i < active.count; i++)
        if (!active.has_caller[i] && kc_leads_to(m, kc_recorded_start(m, open->entry), active.functions[i]->start))
            return true;
    return false;
}
