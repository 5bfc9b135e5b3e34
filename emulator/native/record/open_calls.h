/* Calls that have been entered and have not returned, of all stacks of the guest. */
#ifndef KMEMU_OPEN_CALLS_H
#define KMEMU_OPEN_CALLS_H

#include "record/unwinding.h"

/* A call that has not returned; entry: at which function's entry it was. */
struct open_call { struct slot slot; uint32_t call, caller, values[KC_VALUES]; uint16_t entry; uint8_t depth; };

/* All of them, in order of entry. */
struct open_calls { uint32_t count, capacity; struct open_call *list; };

/* Make room for one more: the oldest is forgotten where there are too many. false: no memory. */
bool kc_open_room(struct open_calls *open);
/* Copy to where nothing is yet. false: no memory. */
bool kc_open_copy(struct open_calls *to, const struct open_calls *from);

/* Forget the calls that cannot return any more, as one is entered at a slot with this backtrace. `jumps`: it was reached by
 * a jump. */
void kc_open_forget_abandoned(kc *m, struct open_calls *open, uint32_t entry, const struct slot *at,
                              const struct backtrace *backtrace, bool jumps);
/* Take the newest call that returns at a slot out of the list; and where there is none, because the slot's page is another one by
 * now, so that others of the slot can be taken as well. False: there is none. */
bool kc_open_take_older(kc *m, struct open_calls *open, const struct slot *at, struct open_call *taken); /* without the newest of all, of several */
static inline bool kc_open_take(kc *m, struct open_calls *open, const struct slot *at, struct open_call *taken)
{
    if (!open->count)
        return false;
    const struct open_call *newest = &open->list[open->count - 1];
    if (!kc_slot_is(m, &newest->slot, at, newest->caller))
        return open->count > 1 && kc_open_take_older(m, open, at, taken);
    *taken = *newest;
    open->count--;
    return true;
}
bool kc_open_take_moved(kc *m, struct open_calls *open, const struct slot *at, struct open_call *taken);
/* The innermost open call of the present stack; NULL: none. Valid until the list changes. */
const struct open_call *kc_open_parent(kc *m, const struct open_calls *open, const struct backtrace *backtrace);

#endif
