/*
 * Entry points of interrupts. The interrupted task's registers stay on its own stack, whatever runs until it
 * comes back.
 */

        .text
        .globl  timer_entry
        .type   timer_entry, @function
timer_entry:
        pushal
        cld
        call    timer_interrupt
        popal
        iret
        .size   timer_entry, . - timer_entry

        .globl  spurious_entry
        .type   spurious_entry, @function
spurious_entry:
        iret
        .size   spurious_entry, . - spurious_entry

        .section .note.GNU-stack, "", @progbits
