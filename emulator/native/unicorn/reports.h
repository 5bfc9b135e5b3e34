/* What the engine's room reports to the rooms on its right, and asks of them: they define these functions. */
#ifndef KMEMU_UNICORN_REPORTS_H
#define KMEMU_UNICORN_REPORTS_H

#include "machine.h"

/* -- core/run.c -- */
/* No block that starts before so many instructions were executed has to be looked at. */
uint64_t kc_next_look(kc *m);
/* May the next block, with `count` instructions, be executed? If not, the run is ended, or kc_leave_for_interrupt() was called. */
bool kc_may_go_on(kc *m, uint32_t count);
/* An instruction is executed next, at a place in translated code, where they are counted one by one. It may leave the block. */
void kc_on_instruction(kc *m, uint32_t linear, uintptr_t host_pc);
/* Has nothing ended the run yet? */
bool kc_goes_on(const kc *m);
/* An `out` during which the run was ended: nothing more is executed. */
void kc_on_last_out(kc *m);
/* The engine has failed (a Unicorn error). The caller stops the engine. */
void kc_on_failure(kc *m, int error);
void kc_no_memory(kc *m);

/* -- core/interrupts.c -- */
/* The guest takes its interrupt now: the vector. */
uint32_t kc_on_interrupt_taken(kc *m);
/* hlt: time passes. The vector of the interrupt that wakes the CPU; -1: the run ends, nothing more is executed. */
int kc_on_halt(kc *m, uint32_t length);
/* An exception is raised with this error code. */
void kc_on_error_code(kc *m, uint32_t error_code);
/* An `int n` of this length, or its like. */
void kc_on_software_interrupt(kc *m, uint32_t length);

/* -- core/features.c -- */
/* rdtsc, where EIP is exact. Host time must not reach the guest: a count is a nanosecond of virtual time, up to this instruction. */
uint64_t kc_on_rdtsc(const kc *m);
/* cpuid: the registers get the answer. */
void kc_on_cpuid(kc *m);
/* rdmsr and wrmsr: is it a register that the engine does not have? */
bool kc_on_rdmsr(kc *m, uint32_t number, uint64_t *value);
bool kc_on_wrmsr(kc *m, uint32_t number, uint64_t value);

/* -- core/mmu.c -- */
/* invlpg: must more than the page of this linear address leave the TLB? */
bool kc_is_large(const kc *m, uint32_t linear);
/* The TLB lacks the page of a linear address, for an access by a user or a supervisor; host_pc: the access's place in translated
 * code, 0 if it has none. A fill comes next. */
void kc_on_tlb_miss(kc *m, uint32_t address, bool user, uintptr_t host_pc);
/* Has each load from the page that is filled now, or each store to it, to be told by kc_on_watched_access()? */
bool kc_watches_fill(const kc *m, bool store);
/* The guest is going to make one. It may lose other pages from the TLB. */
void kc_on_watched_access(kc *m, uint32_t linear, uint32_t size, bool write, uintptr_t host_pc);
/* The TLB was emptied, or lost the page of a linear address. */
void kc_on_tlb_flush(kc *m);
void kc_on_page_flush(kc *m, uint32_t address);
/* Does an access raise an exception whose fill was refused? If not, the run ends. */
bool kc_raises(kc *m, uint32_t *vector, uint32_t *error_code);
/* Can code be fetched from a linear address as things are? Without side effects. */
bool kc_may_fetch(kc *m, uint32_t linear);

/* -- core/windows.c -- */
struct fast_window;
/* May the accesses of the instruction at a linear address be made as in fast_accesses.c? */
bool kc_goes_fast(kc *m, uint32_t pc, bool user, struct fast_window *out);
/* Show a page of code, which the TLB has: kc_jumps_on_hidden() tells when that ends. False: it is not shown. */
bool kc_windows_show_code(kc *m, uint32_t linear);
/* CR0 and CR4 are going to be these. */
void kc_on_modes_change(kc *m, uint32_t cr0, uint32_t cr4);

/* -- core/kasan.c -- */
/* Is it an instruction that loads from KASAN's shadow, in code that may access all? What it is to find there. */
bool kc_loads_accessible(kc *m, uint32_t pc, uint32_t *value);

/* -- observe/null_accesses.c -- */
/* Does a linear address lie in page zero while accesses of that are kept? */
bool kc_guards(const kc *m, uint64_t address);
/* If so: it is going to be accessed, and a block of code there to be translated; where EIP is exact. */
void kc_on_guarded_access(kc *m, uint32_t linear, uint32_t size, bool write, uintptr_t host_pc);
void kc_on_guarded_code(kc *m, uint32_t linear);

/* -- observe/checked_accesses.c -- */
/* Are accesses checked? By which opening, from 1; 0: they are not. */
bool kc_checks(const kc *m);
uint32_t kc_checks_opening(const kc *m);
/* Is it code of an allocator, which may access all memory? */
bool kc_is_exempt(const kc *m, uint32_t pc);
/* Is it code that was compiled to check its accesses itself? */
bool kc_checks_itself(const kc *m, uint32_t pc);
/* If so, the guest is going to make one in a page that was filled as watched. */
void kc_look_at_access(kc *m, uint32_t linear, uint32_t size, bool write, uintptr_t host_pc);
/* A block of code is going to be translated, where EIP is exact. */
void kc_look_at_code(kc *m, uint32_t linear);
/* Is an instruction, linear, one of an allocator's, whose accesses are not checked? */
bool kc_is_exempt(const kc *m, uint32_t pc);
/* Does one follow from a jump to what may not be executed, which is known? Any in such memory does, and until the next event all that are not the kernel's. */
bool kc_is_astray(kc *m, uint32_t pc);

/* Is an instruction, linear, which is translated, one that may access what lies below ESP? `distance`: how far ESP lies above EBP in front of it, as far as
 * that is known; then behind it. */
bool kc_may_be_below_stack(kc *m, uint32_t linear, uint32_t *distance);
/* Such an instruction is executed next, at a place in translated code. It may leave the block. */
void kc_look_below_stack(kc *m, uint32_t linear, uintptr_t host_pc);

/* -- observe/stops.c -- */
/* Has the instruction at a linear address to be told, whatever the block is that it is in? */
bool kc_breaks_at(const kc *m, uint32_t linear);
/* An instruction that is told is executed next, with so many of its block before it, at a place in translated code. It may leave the block. */
void kc_on_told(kc *m, uint32_t linear, uint32_t before, uintptr_t host_pc);

/* -- core/pic.c -- */
/* iret was executed: an NMI may come again. */
void kc_on_nmi_end(kc *m);

/* -- record/interrupt_frames.c -- */
/* iret is going to be executed with this ESP: the frame that it leaves by, or -1; and it was executed. */
int kc_frame_at(kc *m, uint32_t esp);
void kc_frame_left(kc *m, int frame);

/* -- record/calls.c -- */
/* iret was executed: where it leads to comes next. */
void kc_on_resumption(kc *m);

/* -- observe/written_pages.c -- */
/* iret was executed. */
void kc_on_handler_left(kc *m);

/* -- observe/probes.c -- */
/* An instruction that has probes is executed next. */
void kc_probes_reached(kc *m, uint32_t address);

#endif
