/* Where a Multiboot loader jumps to: protected mode, paging off, interrupts off, no stack. */

        .set    MAGIC, 0x1BADB002
        .set    FLAGS, 0

        .section .multiboot, "a"
        .balign 4
        .long   MAGIC, FLAGS, -(MAGIC + FLAGS)

        .text
        .globl  entry
        .type   entry, @function
entry:
        movl    $stack_top, %esp
        xorl    %ebp, %ebp
        call    start
1:      cli
        hlt
        jmp     1b
        .size   entry, . - entry

        .bss
        .balign 16
        .skip   8192
stack_top:

        .section .note.GNU-stack, "", @progbits
