/* Words of stacks, told apart across address spaces. */
#ifndef KMEMU_SLOTS_H
#define KMEMU_SLOTS_H

#include "core/mmu.h"

/* Where a return address lies: ESP there, in which address space, and which word of memory it was. */
struct slot { uint32_t esp, space, physical; };
enum { KC_SLOT_NOWHERE = 1 }; /* physical, of a word that is not mapped: no stack is there, for it is not aligned */

/* The memory behind a word of the present stack. */
static INLINED uint32_t kc_slot_memory(kc *m, uint32_t esp)
{
    int64_t at = kc_translate_used(m, kc_segment_base(m, SS) + esp);
    return at < 0 ? KC_SLOT_NOWHERE : (uint32_t)at;
}

static INLINED struct slot kc_slot_at(kc *m, uint32_t esp) { return (struct slot){esp, kc_space(m), kc_slot_memory(m, esp)}; }

/* The words from a slot of the present stack on; see kc_stack_words(). */
static INLINED void kc_slot_words(kc *m, const struct slot *slot, uint32_t *out, uint32_t count)
{
    int64_t at = slot->physical == KC_SLOT_NOWHERE ? -1 : (int64_t)slot->physical;
    kc_words_at(m, at, kc_segment_base(m, SS) + slot->esp, out, count);
}

/* Is a slot part of the present stack, at its ESP? */
static inline bool kc_slot_is_here(kc *m, const struct slot *slot) { return kc_slot_memory(m, slot->esp) == slot->physical; }

/* A slot with a return address was met as `now`, in the same memory, but in another place. Is either by now a copy of the other? */
bool kc_slot_was_copied(kc *m, const struct slot *slot, const struct slot *now, uint32_t return_address);
/* Are they the same slot? */
static inline bool kc_slot_is(kc *m, const struct slot *slot, const struct slot *now, uint32_t return_address)
{
    return slot->physical == now->physical && ((slot->space == now->space && slot->esp == now->esp) ||
                                               !kc_slot_was_copied(m, slot, now, return_address));
}
/* Does a slot of the present space and ESP lie in another page by now, with the same return address? */
bool kc_slot_has_moved(kc *m, const struct slot *slot, uint32_t return_address);

#endif
