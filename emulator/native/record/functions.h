/* What the kernel's code says of its functions: where they begin, what they call, whether they keep frame pointers. */
#ifndef KMEMU_FUNCTIONS_H
#define KMEMU_FUNCTIONS_H

#include "machine.h"

#define KC_NULL_END 0x1000u /* code below is reached through null pointers only */

int kc_functions_init(kc *m);
void kc_functions_free(kc *m);

/* The one of some ascending extents that an address lies in; NULL: none. */
const kc_extent *kc_extent_at(const kc_extent *extents, uint32_t count, uint32_t address);
/* The function or label that an address lies in; NULL: not known. */
const kc_extent *kc_function_at(const kc *m, uint32_t address);
/* Where it begins; 0: not known. */
uint32_t kc_function_start(const kc *m, uint32_t address);

/* Is it the address after a call instruction? `target`: what is called; 0: a call through a pointer. */
bool kc_is_after_call(kc *m, uint32_t address, uint32_t *target);
/* Did the call through a pointer before `address` lead to `pc`, where nothing has been executed since? `esp`: there. */
bool kc_has_called(kc *m, uint32_t address, uint32_t pc, uint32_t esp);
/* Can a call of a function be, without a frame of its own, at an address in another one? */
bool kc_leads_to(kc *m, uint32_t function, uint32_t address);
/* Can the call before `address` have led to the instruction at `pc`, in a function that keeps a frame pointer? */
bool kc_is_caller_of(kc *m, uint32_t address, uint32_t pc);
/* Is EBP the frame pointer of the function that an instruction in its body lies in? */
bool kc_keeps_frame_pointer(kc *m, uint32_t pc);
/* Does an address lie in the code that the kernel begins with, which nobody has called? */
bool kc_is_entry_code(kc *m, uint32_t address);

#endif
