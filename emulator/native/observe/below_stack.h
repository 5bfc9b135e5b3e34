/* Instructions that access what lies below ESP. */
#ifndef KMEMU_BELOW_STACK_H
#define KMEMU_BELOW_STACK_H

#include "machine.h"

/* Such an access, as the registers stand: offsets in SS. */
struct below_stack {
    uint32_t at, size;
    uint32_t esp; /* as it is when the operand is accessed: `pop` has popped by then */
    bool by_ebp, write;
};

/* Is the instruction at a linear address going to access what lies below ESP, where interrupts are on and push to that stack? Of an operand by EBP
 * it still has to be shown that EBP is a frame pointer. */
bool kc_is_below_stack(kc *m, uint32_t linear, struct below_stack *out);

#endif
