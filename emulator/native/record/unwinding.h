/* Call stacks: who called, and who called that one. */
#ifndef KMEMU_UNWINDING_H
#define KMEMU_UNWINDING_H

#include "record/slots.h"

/* A backtrace: return addresses, innermost first, and where they lie. */
struct backtrace {
    uint32_t count, number; /* of the stack; 0: it was not asked for yet */
    bool sure;              /* by rules only, to the end */
    bool is_whole;          /* up to the first function of the stack. If not, KC_NOTHING_KNOWN follows the frames */
    uint32_t end;           /* of the outermost frame; 0: not known */
    uint32_t height;        /* of the highest slot above the first one */
    uint64_t interrupts;    /* which frames are instructions that were interrupted, bit by bit */
    uint32_t frames[KC_FRAMES + 1], slots[KC_FRAMES + 1];
};

int kc_unwinding_init(kc *m);
void kc_unwinding_free(kc *m);

/* From a function's entry, where `caller` is on top of the stack, at a slot. The result is valid until the stack is unwound again. */
struct backtrace *kc_stack_at_entry(kc *m, const struct slot *at, uint32_t caller);
/* From any instruction: it is the first frame, its address + 1 as if it were a return address, and ESP its slot. */
struct backtrace *kc_stack_at(kc *m, uint32_t eip);
/* Do rules of call frames say where the return address lies, at an instruction? */
bool kc_has_rule(kc *m, uint32_t pc);
/* Does code lie at an address? */
bool kc_is_code(const kc *m, uint32_t address);

#endif
