/* The switch from one stack to another: struct first_frame in task.c is made to be read by it. */

        .text
        .globl  switch_context
        .type   switch_context, @function
switch_context:                 /* (UW *from, UW to); interrupts are off */
        movl    4(%esp), %eax
        movl    8(%esp), %edx
        pushl   %ebp            /* what a function has to keep (i386 psABI 2.2.1); EFLAGS are the callers' business */
        pushl   %ebx
        pushl   %esi
        pushl   %edi
        movl    %esp, (%eax)
        movl    %edx, %esp
        popl    %edi
        popl    %esi
        popl    %ebx
        popl    %ebp
        ret
        .size   switch_context, . - switch_context

        .section .note.GNU-stack, "", @progbits
