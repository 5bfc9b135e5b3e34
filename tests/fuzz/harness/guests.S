# Brings the CPU into the mode that is asked for and goes to chunk after chunk of `program`; an exception goes to the next.
# What a case patches lies from `gdt` to `program`.
        .equ    CHUNK, 32
        .equ    CHUNKS, 8
        .equ    LOW, 0x8000                     # where virtual 8086 mode finds the program

        lgdt    gdtr
        ljmp    $0x08, $1f
1:      movl    $0x10, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $stack_end, %esp
        movl    $0x28, %eax
        ltr     %ax
        movl    $program, %esi
        movl    $LOW, %edi
        movl    $CHUNK * CHUNKS / 4, %ecx
        rep movsl
        cmpl    $0, with_idt
        je      1f
        lidt    idtr
1:      cmpl    $0, with_timer
        je      1f
        movl    $timer, %esi
        movl    $TIMER_WRITES, %ecx
        xorl    %edx, %edx
2:      lodsb
        movb    %al, %dl
        lodsb
        outb    %al, %dx
        loop    2b
1:      movl    cr4, %eax
        testl   %eax, %eax
        je      1f
        movl    %eax, %cr4
1:      movl    $directory, %eax
        movl    %eax, %cr3
        movl    cr0, %eax
        movl    %eax, %cr0
        jmp     next

next:   movl    $0x10, %eax                     # a handler ends here, whatever the program has done
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $stack_end, %esp
        movl    chunk, %ecx
        cmpl    $CHUNKS, %ecx
        jae     over
        incl    chunk
        imull   $CHUNK, %ecx
        addl    enter_eip, %ecx
        pushl   $0x23                           # GS, FS, DS, ES for virtual 8086 mode
        pushl   $0x23
        pushl   $0x23
        pushl   $0x23
        pushl   enter_ss
        pushl   enter_esp
        pushl   enter_eflags
        pushl   enter_cs
        pushl   %ecx
        movl    enter_ds, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %cs:registers, %edi
        movl    %cs:registers + 4, %esi
        movl    %cs:registers + 8, %ebx
        movl    %cs:registers + 12, %edx
        movl    %cs:registers + 16, %ecx
        movl    %cs:registers + 20, %eax
        movl    %cs:registers + 24, %ebp
        iret

over:   xorl    %eax, %eax
        outl    %eax, $0xf4
        hlt

on_fault_next:
        jmp     next
on_fault_again:
        iret
on_fault_skip_code:
        addl    $4, %esp
on_fault_skip:
        addl    $2, (%esp)
        iret
on_tick:
        pushl   %eax
        movb    $0x20, %al
        outb    %al, $0x20
        popl    %eax
        iret

        .data
gdtr:   .word   gdt_end - gdt - 1
        .long   gdt
idtr:   .word   2047
        .long   idt
timer:  .byte   0x20, 0x11, 0x21, 0x20, 0x21, 4, 0x21, 1, 0xa0, 0x11, 0xa1, 0x28, 0xa1, 2, 0xa1, 1
        .byte   0x21, 0xfe, 0xa1, 0xff, 0x43, 0x34, 0x40, 0x40, 0x40, 0
        .equ    TIMER_WRITES, (. - timer) / 2
        .balign 8
gdt:    .skip   9 * 8
gdt_end:
tss:    .long   0, stack_end, 0x10
        .skip   104 - 12
with_idt: .long 0
with_timer: .long 0
cr0:    .long   0
cr4:    .long   0
enter_eip: .long 0
enter_cs: .long 0
enter_eflags: .long 0
enter_esp: .long 0
enter_ss: .long 0
enter_ds: .long 0
chunk:  .long   0
registers: .skip 28
        .balign 8
idt:    .skip   2048
        .balign 4096
directory: .skip 8 * 4096
program: .skip  CHUNK * CHUNKS
        .bss
        .balign 4096
        .skip   8192
stack_end: .skip 64
