/* Calls that have been entered and have not returned, of all stacks of the guest. */
#ifndef KMEMU_OPEN_CALLS_H
#define KMEMU_OPEN_CALLS_H

#include "record/unwinding.h"

/* A call that has not returned. */
struct open_call { uint32_t call, esp, caller, out_address; uint8_t function, depth; };

/* All of them, in order of entry. */
struct open_calls { uint32_t count, capacity; struct open_call *list; };

/* Make room for one more: the oldest is forgotten where there are too many. false: no memory. */
bool kc_open_room(struct open_calls *open);
void kc_open_forget(struct open_calls *open, uint32_t index);
/* Copy to where nothing is yet. false: no memory. */
bool kc_open_copy(struct open_calls *to, const struct open_calls *from);

/* Forget the calls that cannot return any more, as a function is entered with this backtrace. `jumps`: it was reached by a jump. */
void kc_open_forget_abandoned(struct open_calls *open, uint32_t function, const struct backtrace *backtrace, bool jumps);
/* The innermost open call of the present stack; NULL: none. Valid until the list changes. */
const struct open_call *kc_open_parent(kc *m, const struct open_calls *open, const struct backtrace *backtrace);

#endif
