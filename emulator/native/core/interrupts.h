/* Interrupts that wait, and the right to take them. */
#ifndef KMEMU_INTERRUPTS_H
#define KMEMU_INTERRUPTS_H

#include "machine.h"

int kc_interrupts_init(kc *m);
void kc_interrupts_free(kc *m);

/* Must each block look whether the guest takes an interrupt that waits? If not, kc_look_soon() is called when it has to. */
bool kc_irq_may_come(kc *m);
/* Would the guest take an interrupt before the instruction at this linear address? */
bool kc_irq_possible_at(kc *m, uint32_t pc);
uint32_t kc_ring(kc *m);

#endif
