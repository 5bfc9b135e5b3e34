"""A guest with all rings: descriptors, a task, a handler for each exception that writes down what it was given.

`EXCEPTIONS` is the code around a list of steps. A step runs in ring 0, sets where the handlers go on (`after LABEL`), and raises
something; what a handler finds is `put`: vector, error code (0 where the CPU pushes none), EIP, CS, EFLAGS, and, where the guest
came from another ring, its ESP and SS. `in_ring_3` goes on in ring 3.
"""

from __future__ import annotations

CODE_0, DATA_0, CODE_3, DATA_3, TASK = 0x08, 0x10, 0x1B, 0x23, 0x28
CONFORMING, ABSENT_CODE, ABSENT_DATA, READ_ONLY, CODE_1, SECOND_TASK = 0x30, 0x38, 0x40, 0x48, 0x50, 0x58

DESCRIPTORS = """
        .data
        .balign 8
gdt:    .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cffa000000ffff, 0x00cff2000000ffff
task_descriptor:
        .quad   0x0000890000000067
        .quad   0x00cf9e000000ffff              # conforming code of ring 0
        .quad   0x00cf1a000000ffff              # code and data that are not present
        .quad   0x00cf12000000ffff
        .quad   0x00cf90000000ffff              # read only
        .quad   0x00cfba000000ffff              # code of ring 1
second_descriptor:
        .quad   0x0000890000000067
gdt_end:
gdtr:   .word   gdt_end - gdt - 1
        .long   gdt
        .balign 8
idt:    .skip   256 * 8
idtr:   .word   256 * 8 - 1
        .long   idt
        .balign 4
task:   .long   0, inner_stack, 0x10
        .skip   104 - 12 - 4
        .word   0, 104                          # no bitmap of ports
second: .skip   104
resume: .long   0
        .bss
        .balign 4096
        .skip   4096
inner_stack:
        .skip   4096
outer_stack:
        .text
        .macro  gate vector, handler, access=0x8e, selector=8
        movl    $\\handler, %eax
        movw    %ax, idt + 8 * \\vector
        movw    $\\selector, idt + 8 * \\vector + 2
        movb    $\\access, idt + 8 * \\vector + 5
        shrl    $16, %eax
        movw    %ax, idt + 8 * \\vector + 6
        .endm
        .macro  after label
        movl    $\\label, resume
        .endm
        .macro  in_ring_3 flags=0x2
        movw    $0x23, %ax
        movw    %ax, %ds
        movw    %ax, %es
        pushl   $0x23
        pushl   $outer_stack
        pushl   $\\flags
        pushl   $0x1b
        pushl   $777f
        iret
777:
        .endm
        movb    $0xff, %al                      # no interrupts of devices
        outb    %al, $0x21
        outb    %al, $0xa1
        lgdt    gdtr
        movl    $task, %eax
        movw    %ax, task_descriptor + 2
        shrl    $16, %eax
        movb    %al, task_descriptor + 4
        movb    %ah, task_descriptor + 7
        movl    $second, %eax
        movw    %ax, second_descriptor + 2
        shrl    $16, %eax
        movb    %al, second_descriptor + 4
        movb    %ah, second_descriptor + 7
        movw    $0x28, %ax
        ltr     %ax
"""

HANDLERS = """
        .altmacro
        .macro  one vector
        gate    \\vector, on_\\vector, 0x8e
        .endm
        .set    number, 0
        .rept   32
        one     %number
        .set    number, number + 1
        .endr
        gate    3, on_3, 0xee
        gate    4, on_4, 0xee
        gate    0x80, on_128, 0xee
        gate    0x81, on_129, 0x8e
        lidt    idtr
        jmp     steps

        .macro  entry vector
on_\\vector:
        .if     \\vector < 8 || \\vector == 9 || \\vector == 15 || \\vector == 16 || \\vector > 17
        pushl   $0
        .endif
        pushl   $\\vector
        jmp     write_down
        .endm
        .set    number, 0
        .rept   32
        entry   %number
        .set    number, number + 1
        .endr
        entry   128
        entry   129
        .noaltmacro
write_down:
        movw    $0x10, %ax
        movw    %ax, %ds
        movw    %ax, %es
        popl    %ebx
        put     ebx
        popl    %ebx
        put     ebx
        popl    %ebx
        put     ebx
        movl    (%esp), %ebx
        put     ebx
        movl    4(%esp), %ebx
        andl    $~0x8d4, %ebx                   # not what arithmetic has left
        put     ebx
        testb   $3, (%esp)
        jz      1f
        movl    8(%esp), %ebx
        put     ebx
        movl    12(%esp), %ebx
        put     ebx
1:      movl    $stack, %esp
        jmp     *resume
steps:
"""
END = """
        exit    0
        cli
        hlt
"""


def exceptions(steps: str) -> str:
    """Return a guest that goes through steps, each of which raises something."""
    return DESCRIPTORS + HANDLERS + steps + END
