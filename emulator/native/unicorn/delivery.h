/* How the engine enters the guest's handlers, and where an exception was raised. */
#ifndef KMEMU_DELIVERY_H
#define KMEMU_DELIVERY_H

#include "unicorn/engine.h"

/* From a hook for exceptions: enter the handler of the one that the engine hands out. Does not return if that raises another one. */
void kc_enter_handler(kc *m);
/* The same of an interrupt from outside, in place of what is handed out. */
void kc_enter_handler_of_device(kc *m, uint32_t vector);
/* At a block's start: leave it, and let the guest take an interrupt. */
void kc_leave_for_interrupt(kc *m);
/* The same, and look it up again: what it has to be translated for has changed. */
void kc_look_up_again(kc *m);
/* Leave the block that is executed at a place in translated code, whose instruction will be executed again; 0: the one that is being
 * translated. Does not return, but where the CPU is not known yet. */
void kc_leave_block(kc *m, uintptr_t host_pc);
/* Drop the page of a linear address from the TLB. False: it cannot be dropped alone. */
bool kc_flush_page(kc *m, uint32_t address);

/* Let the TLB lose the page of a linear address, for users or for supervisors. Nobody is told. */
void kc_drop_page(kc *m, uint32_t linear, bool user);

/* -- interpose.c and this -- */
/* Leave the block from which a helper was called, if kc_leave_for_interrupt() or kc_look_up_again() was called. */
void kc_leave_if_asked(kc *m, void *uc, uintptr_t here);
/* Leave `hlt` for an interrupt. Does not return. */
void kc_leave_halt(void *state, uint32_t vector, uint32_t length);

/* Where the host has a page of memory that a supervisor's loads or stores may go to as they are; the TLB is filled if need be. NULL: they
 * may not, or that would fault. */
uint8_t *kc_tlb_host(kc *m, uint32_t address, bool user, bool write);

#endif
