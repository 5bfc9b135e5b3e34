/*
 * Entry points of the 32 CPU exceptions (Intel SDM volume 3, 6.15).
 *
 * Each leaves the same stack, struct trap_frame in exceptions.h. The interrupted code goes on if exception_handle()
 * returns.
 */

#include "common/trap_frame.h"

        .text
        .macro  exception vector, pushes_error_code = 0
        .type   exception_\vector, @function
exception_\vector:
        .if     \pushes_error_code == 0
        pushl   $0
        .endif
        pushl   $\vector
        jmp     exception_common
        .size   exception_\vector, . - exception_\vector
        .endm

        .irp    vector, 0, 1, 2, 3, 4, 5, 6, 7, 9, 15, 16, 18, 19, 20, 22, 23, 24, 25, 26, 27, 28, 31
        exception \vector
        .endr
        .irp    vector, 8, 10, 11, 12, 13, 14, 17, 21, 29, 30
        exception \vector, 1
        .endr

        .type   exception_common, @function
exception_common:
        save_registers
        pushl   %esp
        call    exception_handle
        addl    $4, %esp
        restore_registers
        addl    $8, %esp                /* vector and error code */
        iret
        .size   exception_common, . - exception_common

        .section .rodata
        .balign 4
        .globl  exception_entries
        .type   exception_entries, @object
exception_entries:
        .irp    vector, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        .long   exception_\vector
        .endr
        .irp    vector, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        .long   exception_\vector
        .endr
        .size   exception_entries, . - exception_entries

        .section .note.GNU-stack, "", @progbits
