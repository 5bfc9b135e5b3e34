/*
 * For assembly: the registers of interrupted code on the stack, as struct trap_frame (exceptions.h) has them.
 *
 * Ring 3 may leave anything in DS and ES, so the kernel loads its own. FS and GS are not touched.
 */

#ifndef COMMON_TRAP_FRAME_H
#define COMMON_TRAP_FRAME_H

#define KERNEL_DATA_SELECTOR 0x10 /* entry.S */

        .macro  save_registers
        pushal
        pushl   %ds
        pushl   %es
        movl    $KERNEL_DATA_SELECTOR, %ecx
        movl    %ecx, %ds
        movl    %ecx, %es
        cld
        .endm

        .macro  restore_registers
        popl    %es
        popl    %ds
        popal
        .endm

#endif
