/* Where indirect jumps and returns lead: a cache that translated code looks at. */
#ifndef KMEMU_JUMPS_H
#define KMEMU_JUMPS_H

#include "machine.h"

/* An instruction pointer, and the translated code of the block there. Translated code reads both, see translation.c. */
struct jump { uint64_t eip, code; };
enum { KC_JUMPS = 1024, KC_JUMP_SHIFT = 4, KC_JUMP_STEP = 3 }; /* in a table; 2 ** 4 bytes each; one for 2 ** 3 bytes of code */
_Static_assert(sizeof(struct jump) == 1 << KC_JUMP_SHIFT, "translated code multiplies by it");

int kc_jumps_init(kc *m);
void kc_jumps_free(kc *m);
/* The engine starts, or goes on with this machine: forget what has changed meanwhile. */
void kc_jumps_start(kc *m);
/* A page that kc_windows_show_code() has shown may lie elsewhere from now on. */
void kc_jumps_on_hidden(kc *m);
/* The table for blocks with these flags (kc_block_flags()), in segments without a base. NULL: there is none for them. */
const struct jump *kc_jumps_of(kc *m, void *translation, uint32_t flags);
/* A block is translated. */
void kc_note_block(kc *m, const void *block);
/* Where translated code jumps to that does not find the instruction pointer in its table: goes on where it leads to. */
void kc_jump_is_new(void);
/* Forget what was translated of a part of a page of RAM that lies at `memory`. While the guest runs a block there, that is executed to its end. */
void kc_forget_code(kc *m, void *memory, uint32_t size);
/* False: the engine cannot forget code. */
bool kc_jumps_load(void *unicorn);
/* Was a jump found in a table, in any machine? */
bool kc_jumps_are_kept(void);

#endif
