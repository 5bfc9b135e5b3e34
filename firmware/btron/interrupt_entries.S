/*
 * Entry points of interrupts. The interrupted task's registers stay on its own kernel stack, whatever runs until it
 * comes back.
 */

#include "common/trap_frame.h"

        .text
        .globl  timer_entry
        .type   timer_entry, @function
timer_entry:
        save_registers
        call    timer_interrupt
        restore_registers
        iret
        .size   timer_entry, . - timer_entry

        .globl  spurious_entry
        .type   spurious_entry, @function
spurious_entry:
        iret
        .size   spurious_entry, . - spurious_entry

        .section .note.GNU-stack, "", @progbits
