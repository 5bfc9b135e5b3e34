/* Words of stacks, told apart across address spaces.
 *
 * A word of a stack is known by the memory it lies in: two tasks may have their stacks at the same addresses, each in page tables of
 * its own, and one stack may be seen from many spaces. But a stack can get other memory while calls are open on it. A fork shares its
 * pages until either of the two writes, and whoever does so first gets a copy; a page comes back from a disk. So a slot has its
 * space, too. What was called in a space returns there: where its stack is now, is asked of that space's page tables.
 *
 * Shortcoming: where a space has ended and its page tables lie where those of another one begin, a call that was left open may be
 * taken for one of the new space, if that one's stack has the same return address at the same ESP, of a call that was not recorded.
 */
#include "record/slots.h"

static bool holds(const kc *m, int64_t at, uint32_t word)
{
    return at >= 0 && (uint64_t)at + 4 <= m->memory_end && kc_load32(m, (uint64_t)at) == word;
}

bool kc_slot_was_copied(kc *m, const struct slot *slot, const struct slot *now, uint32_t return_address)
{
    uint32_t base = kc_segment_base(m, SS);
    bool writable;
    int64_t own = kc_translate_in(m, slot->space, base + slot->esp, &writable);

    if (own != (int64_t)slot->physical)
        return holds(m, own, return_address);
    kc_translate_in(m, now->space, base + now->esp, &writable); /* a stack that both use can be written */
    return !writable;
}

bool kc_slot_has_moved(kc *m, const struct slot *slot, uint32_t return_address)
{
    return slot->space == kc_space(m) && holds(m, kc_translate(m, kc_segment_base(m, SS) + slot->esp), return_address);
}
