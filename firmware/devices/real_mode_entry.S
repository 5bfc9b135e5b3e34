/*
 * real_mode_call(): leaves protected mode, as boot loaders and kernels do (SDM volume 3, 9.9.2), calls code with registers
 * from a block, and comes back.
 *
 * The code that runs in real mode is copied to low memory; the stack lies below the block.
 */

#include "devices/real_mode.h"

        .set    CODE_16, 0x18
        .set    DATA_16, 0x20
        .set    SIZE, 42                /* of struct real_registers */

        .text
        .globl  real_mode_call
        .type   real_mode_call, @function
real_mode_call:
        pushl   %ebp
        pushl   %ebx
        pushl   %esi
        pushl   %edi
        pushfl
        cli
        cld
        movl    $low_code, %esi
        movl    $REAL_MODE_CODE, %edi
        movl    $low_code_end - low_code, %ecx
        rep movsb
        movl    24(%esp), %esi          /* the code */
        movl    $REAL_MODE_ROUTINE, %edi
        movl    28(%esp), %ecx
        rep movsb
        movl    32(%esp), %esi
        movl    $REAL_MODE_BLOCK, %edi
        movl    $SIZE, %ecx
        rep movsb
        sidt    protected_idt
        sgdt    protected_gdt
        movl    %esp, protected_stack
        lgdt    REAL_MODE_CODE + low_gdtr - low_code
        ljmp    $CODE_16, $REAL_MODE_CODE

back:   movl    $0x10, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %fs
        movl    %eax, %gs
        movl    %eax, %ss
        movl    protected_stack, %esp
        lgdt    protected_gdt
        lidt    protected_idt
        cld
        movl    $REAL_MODE_BLOCK, %esi
        movl    32(%esp), %edi
        movl    $SIZE, %ecx
        rep movsb
        popfl
        popl    %edi
        popl    %esi
        popl    %ebx
        popl    %ebp
        ret
        .size   real_mode_call, . - real_mode_call

        .code16
low_code:
        movw    $DATA_16, %ax           /* limits of 64 KiB */
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %fs
        movw    %ax, %gs
        movw    %ax, %ss
        movl    %cr0, %eax
        andb    $0xfe, %al
        movl    %eax, %cr0
        ljmp    $0, $REAL_MODE_CODE + 1f - low_code
1:      xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %fs
        movw    %ax, %gs
        movw    %ax, %ss
        lidtw   %cs:REAL_MODE_CODE + real_idt - low_code
        movl    $REAL_MODE_BLOCK, %esp
        popal
        popw    %es
        popw    %fs
        popw    %ds
        popfl
        lcall   $0, $REAL_MODE_ROUTINE
        pushfl
        pushw   %ds
        pushw   %fs
        pushw   %es
        pushal
        cli
        lgdtl   %cs:REAL_MODE_CODE + low_gdtr - low_code /* a BIOS may have loaded another one to move memory */
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $8, $back
real_idt:
        .word   0x3ff
        .long   0
low_gdtr:
        .word   low_gdt_end - low_gdt - 1
        .long   low_gdt
low_code_end:

        .data
        .balign 8
low_gdt:
        .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00009a000000ffff, 0x000092000000ffff
low_gdt_end:
        .bss
        .balign 4
protected_stack:
        .skip   4
protected_idt:
        .skip   8
protected_gdt:
        .skip   8

        .section .note.GNU-stack, "", @progbits
