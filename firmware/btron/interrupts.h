/* IDT, interrupt controller and timer. */

#ifndef BTRON_INTERRUPTS_H
#define BTRON_INTERRUPTS_H

/* Loads an IDT for exceptions and interrupts and moves interrupts after the exceptions. All stay off. */
void interrupts_init(void);

/* Starts the tick: irq 0 every millisecond, as soon as interrupts are on. */
void timer_start(void);

#endif
