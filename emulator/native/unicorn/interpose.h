/* Functions of libunicorn that are replaced, and in which thread for which machine. */
#ifndef KMEMU_INTERPOSE_H
#define KMEMU_INTERPOSE_H

#include "unicorn/state.h"

#define EXPORTED __attribute__((visibility("default")))
enum { KC_BLOCK_STARTS = 0x3f, KC_TRACKED = 0x3e, KC_MAY_BE_BELOW_STACK = 0x3d }; /* where Unicorn has the type of a hook: not of any */

/* Load libunicorn so that it finds our functions. NULL: dlerror() says why not. */
void *kc_interpose_load(const char *library);

/* Does the dynamic linker find our functions first? */
bool kc_functions_are_ours(void);

/* A function of libunicorn, NULL: it has none of this name. kc_engine_function() knows of it. */
void *kc_find(void *unicorn, const char *name);

/* The machine that runs in this thread from now on; fast: without exit checks inside of blocks. Returns what was. */
struct interposed { kc *machine; bool fast; };
struct interposed kc_interpose(kc *m, bool fast);
void kc_interpose_restore(struct interposed before);
/* The machine that runs whole blocks in this thread, or NULL. */
kc *kc_running(void);
/* The machine whose CPU has this state, if it runs in this thread; or NULL. */
kc *kc_running_on(const void *state);
/* The state of a CPU of Unicorn's, if it is that of the machine that runs in this thread; or NULL. */
void *kc_state_of(const void *cpu);

/* Note the CPU of the machine that runs in this thread. */
void kc_note_cpu_of(const void *state, void *cpu);

/* Does this machine's libunicorn use our functions? Those that its translator needs, and those of flags.c. */
bool kc_is_interposed(const kc *m);
bool kc_sees_flags(const kc *m);
/* Where the machine's CPU has its state; NULL if libunicorn does not use our functions. */
void *kc_find_state(kc *m);
/* Set DR7, return what it was. */
uint32_t kc_breakpoints(kc *m, uint32_t dr7);

/* Set gate A20 of Unicorn's own MMU. */
void kc_gate_a20(kc *m, bool on);

/* Where translated code has called the list of hooks that goes on; 0: there is none. */
uintptr_t kc_hooks_called_from(void);

/* Those that other files of this room call. */
EXPORTED void check_exit_request_x86_64(void *translation);
EXPORTED void tb_phys_invalidate_x86_64(void *translation, void *block, uint64_t page);
EXPORTED uint64_t helper_le_lduw_mmu_x86_64(void *state, uint64_t address, uint32_t operation, uintptr_t host_pc);
EXPORTED uint64_t helper_le_ldul_mmu_x86_64(void *state, uint64_t address, uint32_t operation, uintptr_t host_pc);
EXPORTED uint64_t helper_le_ldq_mmu_x86_64(void *state, uint64_t address, uint32_t operation, uintptr_t host_pc);
EXPORTED void helper_le_stw_mmu_x86_64(void *state, uint64_t address, uint16_t value, uint32_t operation, uintptr_t host_pc);
EXPORTED void helper_le_stl_mmu_x86_64(void *state, uint64_t address, uint32_t value, uint32_t operation, uintptr_t host_pc);
EXPORTED void helper_le_stq_mmu_x86_64(void *state, uint64_t address, uint64_t value, uint32_t operation, uintptr_t host_pc);
EXPORTED void helper_uc_tracecode(int32_t size, int32_t index, void *uc, int64_t address);
EXPORTED void raise_exception_err_ra_x86_64(void *state, int vector, int error_code, uintptr_t host_pc);
EXPORTED void helper_ljmp_protected_x86_64(void *state, int selector, uint64_t eip, uint64_t next);
EXPORTED void helper_write_eflags_x86_64(void *state, uint64_t flags, uint32_t mask);
EXPORTED void helper_lcall_protected_x86_64(void *state, int selector, uint64_t eip, int shift, uint64_t next);
EXPORTED void helper_wrmsr_x86_64(void *state);

/* -- translation.c -- */
/* False if libunicorn lacks what is needed. */
bool kc_translation_load(void *unicorn);
/* Is the block that this thread translates one of the machine that runs in it? A callback may run an engine that is not ours. */
bool kc_translates_ours(void);
/* An instruction of it starts: if it has to be told, tell it. */
void kc_track_instruction(uint32_t linear, uint32_t before);
/* How many instructions of that block were translated before the one that starts now. */
uint32_t kc_next_instruction(void);
/* Let that block end before the instruction that is translated. False: it is the first one. What is translated from now on is thrown
 * away. */
bool kc_cut_block(void);
bool kc_is_cut(void);
/* A block of the engine. */
struct last kc_block_as_last(const uint8_t *tb);
/* Does it lie in two pages? */
bool kc_crosses_page(const uint8_t *tb);
/* Does that block start on the page of an address? */
bool kc_starts_on_page_of(uint64_t address);

/* -- decoding.c -- */
void kc_decoding_load(void *unicorn);
/* The linear address of the instruction that this thread translates. */
uint32_t kc_instruction_at(void);
/* Has the memory operand of the instruction that this thread translates to be aligned? Once for each instruction. */
bool kc_needs_alignment(void);

/* -- alignment.c -- */
enum { KC_66 = 0x66, KC_F2 = 0xf2, KC_F3 = 0xf3 };
/* Is an instruction one whose memory operand has to lie at a multiple of 16? prefix: the one that belongs to the opcode, which comes
 * after 0x0f; or 0. */
bool kc_is_aligned(uint32_t prefix, uint32_t opcode);
/* Does 66, F2 or F3 say which instruction an opcode after 0x0f is? */
bool kc_is_chosen_by_prefix(uint32_t opcode);
void kc_alignment_load(void *unicorn);

/* -- whole_accesses.c -- */
/* A part of an access, told at a place in translated code: the address and size of the whole. False: it is told again in smaller parts. */
bool kc_whole_access(uintptr_t host_pc, uint64_t *address, uint64_t *size);
void kc_whole_accesses_load(void *unicorn);
/* Does libunicorn have the functions that make accesses of 2, 4 and 8 bytes? */
bool kc_whole_accesses_are_found(void);

/* -- delivery.c -- */
/* False if libunicorn lacks one of the functions. */
bool kc_delivery_load(void *unicorn);

/* -- system_calls.c, flags.c -- */
/* Set the CPU's EIP to the instruction at a place in translated code, if it can be done. */
void kc_restore_eip(kc *m, uintptr_t host_pc);
void kc_system_calls_load(void *unicorn);
/* False if libunicorn lacks one of the functions. */
bool kc_flags_load(void *unicorn);

#endif
