/* The ways between the kernel and ring 3: calls (int 0x40), a task's first instruction, and copies. */

#include "btron/segments.h"
#include "common/trap_frame.h"

#define USER_EFLAGS 0x202 /* interrupts on; no ports (IOPL 0) */

        .text
        /* EAX: number of the call, EBX: its argument block; EAX: its result. Interrupts stay on: it is a trap gate. */
        .globl  user_call_entry
        .type   user_call_entry, @function
user_call_entry:
        save_registers
        pushl   %ebx
        pushl   %eax
        call    user_call
        addl    $8, %esp
        movl    %eax, 36(%esp)          /* ES, DS, and seven registers of PUSHA lie before EAX */
        restore_registers
        iret
        .size   user_call_entry, . - user_call_entry

        .globl  user_enter
        .type   user_enter, @function
user_enter:                             /* (FP start, UW esp); the kernel's values do not get there */
        movl    4(%esp), %ecx
        movl    8(%esp), %edx
        movl    $USER_DATA_SELECTOR, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %fs
        movl    %eax, %gs
        pushl   %eax
        pushl   %edx
        pushl   $USER_EFLAGS
        pushl   $USER_CODE_SELECTOR
        pushl   %ecx
        xorl    %eax, %eax
        xorl    %ecx, %ecx
        xorl    %edx, %edx
        xorl    %ebx, %ebx
        xorl    %ebp, %ebp
        xorl    %esi, %esi
        xorl    %edi, %edi
        iret
        .size   user_enter, . - user_enter

        /* A fault of this one instruction in user space is the task's; any other one in the kernel is the kernel's. */
        .globl  user_copy
        .type   user_copy, @function
user_copy:                              /* (VP to, const void *from, UW size) */
        pushl   %esi
        pushl   %edi
        movl    12(%esp), %edi
        movl    16(%esp), %esi
        movl    20(%esp), %ecx
        .globl  user_copy_instruction
user_copy_instruction:
        rep movsb
        popl    %edi
        popl    %esi
        ret
        .size   user_copy, . - user_copy

        .section .note.GNU-stack, "", @progbits
