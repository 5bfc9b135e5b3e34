/* What the PC reports to the rooms on its right, and asks of them: they define these functions. */
#ifndef KMEMU_CORE_REPORTS_H
#define KMEMU_CORE_REPORTS_H

#include "core/mmu.h"
#include "core/run.h"

/* -- record/calls.c -- */
/* A run starts. */
void kc_on_run(kc *m);

/* -- record/interrupt_frames.c -- */
/* The frame of an interrupt was pushed: where EIP lies in it, EIP and CS, and where the handler begins. */
void kc_on_interrupt(kc *m, uint32_t at, uint32_t eip, uint32_t cs, uint32_t handler);

/* -- observe/checked_accesses.c -- */
/* A run starts: stores to return addresses are found in it, or are not. */
void kc_checks_run(kc *m);
/* The guest is going to store a value, where a return address may lie; NULL: it is not known. */
void kc_look_at_return(kc *m, uint32_t linear, uint32_t size, const uint64_t *value, uintptr_t host_pc);

/* -- observe/probes.c -- */
/* Reach the probes of an instruction that come after this one, until something ends the run. */
void kc_probes_after(kc *m, const struct reached *last);
/* Is anything to be done at an instruction? */
bool kc_is_probed(kc *m, uint32_t address);

/* -- observe/watchpoints.c -- */
/* Is anything watched at all? */
bool kc_has_watchpoints(const kc *m);
/* Is something of a page, physical, watched: by who wants loads, or stores? */
bool kc_watches_page(const kc *m, uint64_t physical, bool store);
/* An access in such a page is going to be made, at a place in translated code; 0: by the CPU itself. It may leave the block. */
void kc_on_access(kc *m, uint32_t linear, uint32_t size, bool write, uintptr_t host_pc);
/* What was accessed is what it is now: the machine goes to another state. */
void kc_settle_accesses(kc *m);
/* A device is going to write to RAM, because of the instruction that the guest is at. */
void kc_on_dma(kc *m, uint64_t physical, uint64_t size);

/* -- observe/written_pages.c -- */
/* Must the first write to a page be seen? */
bool kc_watches_pages(const kc *m);
/* The guest writes to a page that it has not written to since the TLB was flushed. */
void kc_on_page_written(kc *m, uint32_t page);
/* The CPU sets bits of a word by itself. */
void kc_on_bits_set(kc *m, uint64_t physical, uint32_t bits);
/* Registers are set from outside. */
void kc_on_registers_set(kc *m);
/* Is a call watched that goes on? If so, ESP is reported at each block, before anything is executed. */
bool kc_calls_go_on(const kc *m);
void kc_on_stack_used(kc *m, uint32_t esp);
/* A handler of an exception is going to be entered: ESP at the exception. */
void kc_on_exception(kc *m, uint32_t esp);
/* Does an interrupt have to wait, with this ESP, for a watched call to end? */
bool kc_interrupts_wait(kc *m, uint32_t esp);

/* -- observe/definedness.c -- */
/* The instruction that EIP stands at has raised a fault: it comes again. */
void kc_on_undone(kc *m);
/* Registers have got values from outside. */
void kc_on_registers_replaced(kc *m);
/* Instructions are executed one by one, and not told. */
void kc_on_untold(kc *m);

/* -- observe/stale_translations.c -- */
/* Is it looked for translations that the TLB holds and the page tables no longer say? */
bool kc_seeks_stale(const kc *m);
/* Does somebody want to see each fill after each load of CR3, however long that takes? */
bool kc_stale_follows_each_load(const kc *m);
/* The TLB has emptied itself, or lost the page of a linear address, because the guest said so. */
void kc_translations_forgotten(kc *m);
void kc_translation_forgotten(kc *m, uint32_t linear);
/* The window has shown a page since before the newest load of CR3, and does no more: whether it was accessed since is not known. */
void kc_on_unseen_hidden(kc *m, uint32_t linear, bool user, uint32_t frame);
/* A page was filled by a walk. */
void kc_on_filled(kc *m, const struct kc_translation *filled);
/* A page is filled that a TLB would still hold, though its entries were written to: what the TLB grants. False: it holds none. */
bool kc_on_refill(kc *m, uint32_t linear, uc_mem_type type, uc_tlb_entry *out);
/* Does the TLB hold a translation of a page whose entries were written to? Then each access is looked at: it may become a use by what is written elsewhere. */
bool kc_looks_at_uses(const kc *m, uint32_t linear, bool user);
/* Does a physical page hold entries of translations that the TLB holds? */
bool kc_holds_entries(const kc *m, uint64_t page);
/* RAM is written to by others than the guest's instructions, or may have been. */
void kc_on_entries_written(kc *m, uint64_t physical, uint32_t size);
void kc_on_entries_changed(kc *m);
/* The guest is going to access a page that was filled as watched. */
void kc_on_held_access(kc *m, uint32_t linear, uint32_t size, bool write, uintptr_t host_pc);

/* -- observe/null_accesses.c -- */
/* The access that the present TLB fill is for, of an address that kc_guards(), makes a page fault. */
void kc_on_guarded_fault(kc *m, uc_mem_type type);

#endif
