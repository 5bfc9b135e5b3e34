/* Interrupts and exceptions on their way to the guest's handlers. */
#ifndef KMEMU_INTERRUPTS_H
#define KMEMU_INTERRUPTS_H

#include "machine.h"

int kc_interrupts_init(kc *m);
void kc_interrupts_free(kc *m);
int kc_interrupts_save(kc *m, void **saved);
int kc_interrupts_restore(kc *m, const void *saved);

/* A run starts: nothing is on its way. */
void kc_interrupts_start(kc *m);
/* The engine hands out an exception, or what an `int n` or a device has raised. has_advanced: EIP lies after an `int n`. */
void kc_take_exception(kc *m, uint32_t vector, bool has_advanced);
/* Has an interrupt found no way to a handler? */
bool kc_has_failed(const kc *m);
/* At the end of a run: has an exception found no way to a handler, nor the double fault after it? *stop says which. */
bool kc_is_undelivered(kc *m, kc_stop *stop);

/* What the controllers ask for has changed. */
void kc_irq_changed(kc *m);
/* Must each block look whether the guest takes an interrupt that waits? If not, kc_look_soon() is called when it has to. */
bool kc_irq_may_come(kc *m);
/* Would the guest take an interrupt before its next instruction? */
bool kc_irq_possible(kc *m);
/* The CPU takes an interrupt that waits, at the next block. */
void kc_irq_take(kc *m);
/* Does a `hlt` at this EIP always end the run? Functions that are called from Python return to such a one. */
bool kc_ends_at(const kc *m, uint32_t eip);
/* The first such EIP that lies at a physical address now. False: there is none. */
bool kc_halt_end_at(kc *m, uint64_t physical, uint32_t *eip);

#endif
