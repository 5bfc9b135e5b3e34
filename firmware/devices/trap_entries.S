/*
 * Entry points of all 256 vectors, and attempt(), which comes back from what it calls even if that raises an exception.
 *
 * Each entry leaves a struct trap on the stack (traps.h) for trap_taken().
 */

        .text
        .altmacro
        .macro  entry vector
trap_\vector:
        .if     \vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17
        .else
        pushl   $0              /* in place of the error code */
        .endif
        pushl   $\vector
        jmp     common
        .endm

        .set    number, 0
        .rept   256
        entry   %number
        .set    number, number + 1
        .endr

        .type   common, @function
common:
        pushal
        pushl   %ds
        pushl   %es
        pushl   %fs
        pushl   %gs
        movl    $0x10, %eax
        movl    %eax, %ds
        movl    %eax, %es
        cld
        movl    %esp, %ebx
        andl    $-16, %esp
        subl    $12, %esp
        pushl   %ebx
        call    trap_taken
        movl    %ebx, %esp
        popl    %gs
        popl    %fs
        popl    %es
        popl    %ds
        popal
        addl    $8, %esp
        iret
        .size   common, . - common

/* bool attempt(void (*code)(void)): true if `code` returned, false if trap_escape() was called meanwhile. */
        .globl  attempt
        .type   attempt, @function
attempt:
        movl    4(%esp), %eax
        pushl   %ebp
        pushl   %ebx
        pushl   %esi
        pushl   %edi
        movl    %esp, attempt_stack
        call    *%eax
        movl    $1, %eax
1:      popl    %edi
        popl    %esi
        popl    %ebx
        popl    %ebp
        ret
        .size   attempt, . - attempt

/* Gives up what attempt() has called; leaves the stack of an exception, of whatever ring. */
        .globl  trap_escape
        .type   trap_escape, @function
trap_escape:
        movl    attempt_stack, %esp
        movl    $0x10, %eax
        movl    %eax, %ss
        xorl    %eax, %eax
        jmp     1b
        .size   trap_escape, . - trap_escape

        .section .rodata
        .balign 4
        .globl  trap_entries
        .type   trap_entries, @object
trap_entries:
        .macro  address vector
        .long   trap_\vector
        .endm
        .set    number, 0
        .rept   256
        address %number
        .set    number, number + 1
        .endr
        .size   trap_entries, . - trap_entries

        .bss
        .balign 4
attempt_stack:
        .skip   4

        .section .note.GNU-stack, "", @progbits
