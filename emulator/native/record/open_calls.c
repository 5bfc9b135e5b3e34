/* Open calls: entered, and not returned from.
 *
 * A call that is left without a `ret` of its own (longjmp, a task that is deleted) stays open until its slot on the stack, where
 * its return address lies, is used again. Of those that never are, the oldest are forgotten.
 */
#include <stdlib.h>
#include <string.h>

#include "record/ancestry.h"
#include "record/blocks.h"
#include "record/interrupt_frames.h"
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

static void forget(struct open_calls *open, uint32_t index)
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
    if (backtrace->end && slot == backtrace->end - 4) /* of the outermost frame, which was called from outside of the kernel's code, as by Python */
        return true;
    for (uint32_t i = 1; i < backtrace->count; i++)
        if (backtrace->slots[i] == slot)
            return true;
    return false;
}

/* The slot of such a call was given up: it is used again (by another function with the same return address it is a jump from the
 * one to the other), or it lies among the frames of a stack that is known for sure, and is none of them. */
void kc_open_forget_abandoned(kc *m, struct open_calls *open, uint32_t entry, const struct slot *at,
                              const struct backtrace *backtrace, bool jumps)
{
    uint32_t esp = backtrace->slots[0], end = backtrace->slots[backtrace->count - 1];

    for (uint32_t i = open->count; i-- > 0;) {
        const struct open_call *each = &open->list[i];
        const struct slot *slot = &each->slot;
        bool is_reused = (each->caller != backtrace->frames[0] || (each->entry == entry && !jumps)) &&
                         kc_slot_is(m, slot, at, each->caller);
        bool is_skipped = backtrace->sure && slot->esp > esp && slot->esp < end && !is_in_backtrace(backtrace, slot->esp);
        if (is_reused || (is_skipped && kc_slot_is_here(m, slot))) {
            if (kc_follows_blocks(m))
                kc_blocks_abandoned(m, each);
            forget(open, i);
        }
    }
}

/* A function that has jumped to another one has the same slot, and moves with it. */
bool kc_open_take_moved(kc *m, struct open_calls *open, const struct slot *at, struct open_call *taken)
{
    uint32_t from = KC_SLOT_NOWHERE;

    for (uint32_t i = open->count; i-- > 0;) {
        struct open_call *each = &open->list[i];
        if (each->slot.esp != at->esp || each->slot.space != at->space || !kc_slot_has_moved(m, &each->slot, each->caller))
            continue;
        if (from == KC_SLOT_NOWHERE)
            from = each->slot.physical;
        if (each->slot.physical == from)
            each->slot.physical = at->physical;
    }
    return from != KC_SLOT_NOWHERE && kc_open_take(m, open, at, taken);
}

bool kc_open_take_older(kc *m, struct open_calls *open, const struct slot *at, struct open_call *taken)
{
    for (uint32_t i = open->count - 1; i-- > 0;) {
        const struct open_call *each = &open->list[i];
        if (!kc_slot_is(m, &each->slot, at, each->caller))
            continue;
        *taken = *each;
        forget(open, i);
        return true;
    }
    return false;
}

/* Has an interrupt come after a call on this stack? */
static bool is_interrupted(kc *m, const struct backtrace *backtrace, const struct open_call *call)
{
    uint32_t i = 1;

    while (i < backtrace->count && backtrace->slots[i] != call->slot.esp)
        i++;
    if (i < backtrace->count)
        return backtrace->interrupts & ((UINT64_C(1) << i) - 1);
    const struct interrupt_frame *frame = kc_interrupt_frame_above(m, backtrace->slots[0]);
    return frame && frame->at.esp < call->slot.esp;
}

/* Stacks do not interleave, so it is the nearest one. What the handler of an interrupt does is no part of what it has interrupted. */
const struct open_call *kc_open_parent(kc *m, const struct open_calls *open, const struct backtrace *backtrace)
{
    const struct open_call *parent = NULL;
    uint32_t esp = backtrace->slots[0], nearest = UINT32_MAX;
    uint32_t reach = backtrace->end ? backtrace->end - 4 - esp : 0;
    uint32_t height = !backtrace->sure ? UINT32_MAX : reach > backtrace->height ? reach : backtrace->height; /* where its frames are */
    bool nearest_is_here = false;

    for (uint32_t i = open->count; i-- > 0;) {
        const struct open_call *each = &open->list[i];
        uint32_t distance = each->slot.esp - esp;
        if (distance > height || distance > nearest || (distance == nearest && nearest_is_here))
            continue;
        bool is_here = kc_slot_is_here(m, &each->slot);
        if (!is_here && (!distance || distance == nearest || !kc_slot_has_moved(m, &each->slot, each->caller)))
            continue;
        if (!distance || is_in_backtrace(backtrace, each->slot.esp) ||
            (!backtrace->sure && kc_grew_from(m, esp, backtrace->frames[0], each))) {
            parent = each;
            nearest = distance;
            nearest_is_here = is_here;
        }
    }
    return parent && is_interrupted(m, backtrace, parent) ? NULL : parent;
}
