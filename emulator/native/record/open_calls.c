/* Open calls: entered, and not returned from.
 *
 * A call that is left without a `ret` of its own (longjmp, a task that is deleted) stays open until its slot on the stack, where
 * its return address lies, is used again. Of those that never are, the oldest are forgotten.
 */
#include <stdlib.h>
#include <string.h>

#include "record/ancestry.h"
#include "record/open_calls.h"

enum { OPEN_MAX = 4096 };

bool kc_open_room(struct open_calls *open)
{
    if (open->count < open->capacity)
        return true;
    if (open->count == OPEN_MAX) {
        memmove(open->list, open->list + 1, --open->count * sizeof *open->list);
        return true;
    }
    uint32_t capacity = open->capacity ? 2 * open->capacity : 16;
    struct open_call *list = realloc(open->list, capacity * sizeof *list);
    if (!list)
        return false;
    open->list = list;
    open->capacity = capacity;
    return true;
}

void kc_open_forget(struct open_calls *open, uint32_t index)
{
    if (index < --open->count)
        memmove(open->list + index, open->list + index + 1, (open->count - index) * sizeof *open->list);
}

bool kc_open_copy(struct open_calls *to, const struct open_calls *from)
{
    *to = (struct open_calls){0};
    if (!from->count)
        return true;
    to->list = malloc(from->count * sizeof *to->list);
    if (!to->list)
        return false;
    to->count = to->capacity = from->count;
    memcpy(to->list, from->list, from->count * sizeof *to->list);
    return true;
}

static bool is_in_backtrace(const struct backtrace *backtrace, uint32_t slot)
{
    for (uint32_t i = 1; i < backtrace->count; i++)
        if (backtrace->slots[i] == slot)
            return true;
    return false;
}

/* The slot of such a call was given up: it is used again (by another function with the same return address it is a jump from the
 * one to the other), or it lies among the frames of a stack that is known for sure, and is none of them. */
void kc_open_forget_abandoned(struct open_calls *open, uint32_t function, const struct backtrace *backtrace, bool jumps)
{
    uint32_t esp = backtrace->slots[0], end = backtrace->slots[backtrace->count - 1];

    for (uint32_t i = open->count; i-- > 0;) {
        const struct open_call *each = &open->list[i];
        bool is_reused = each->esp == esp && (each->caller != backtrace->frames[0] || (each->function == function && !jumps));
        bool is_skipped = backtrace->sure && each->esp > esp && each->esp < end && !is_in_backtrace(backtrace, each->esp);
        if (is_reused || is_skipped)
            kc_open_forget(open, i);
    }
}

/* Stacks do not interleave, so it is the nearest one. What the handler of an interrupt does is no part of what it has interrupted. */
const struct open_call *kc_open_parent(kc *m, const struct open_calls *open, const struct backtrace *backtrace)
{
    const struct open_call *parent = NULL;
    uint32_t esp = backtrace->slots[0];

    for (uint32_t i = open->count; i-- > 0;) {
        const struct open_call *each = &open->list[i];
        if (parent && each->esp - esp >= parent->esp - esp)
            continue;
        if (each->esp == esp || is_in_backtrace(backtrace, each->esp) ||
            (!backtrace->sure && kc_grew_from(m, esp, backtrace->frames[0], each)))
            parent = each;
    }
    return parent && kc_is_interrupted(m, esp, parent->esp) ? NULL : parent;
}
