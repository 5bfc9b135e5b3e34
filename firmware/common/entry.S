/*
 * First instructions of every kernel, reached from a Multiboot 1 boot loader.
 *
 * The loader leaves protected mode, paging off, interrupts off, flat segments of unknown
 * selectors and no stack (Multiboot 0.6.96, section 3.2). So the kernel brings its own GDT and stack,
 * and hands EAX (magic) and EBX (info block) to kmain() unchanged.
 */

#define MULTIBOOT_MAGIC 0x1BADB002
#define MULTIBOOT_FLAGS 0x00000003 /* modules on page boundaries; memory information wanted */

#define CODE_SELECTOR 0x08
#define DATA_SELECTOR 0x10
#define STACK_SIZE    16384

        .section .multiboot, "a", @progbits
        .balign 4
        .type   multiboot_header, @object
multiboot_header:
        .long   MULTIBOOT_MAGIC
        .long   MULTIBOOT_FLAGS
        .long   -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)
        .size   multiboot_header, . - multiboot_header

        .text
        .globl  _start
        .type   _start, @function
_start:
        cli
        cld
        movl    $boot_stack + STACK_SIZE, %esp
        lgdt    gdt_register
        ljmp    $CODE_SELECTOR, $.Lflat
.Lflat:
        movl    $DATA_SELECTOR, %ecx
        movl    %ecx, %ds
        movl    %ecx, %es
        movl    %ecx, %fs
        movl    %ecx, %gs
        movl    %ecx, %ss
        pushl   $2              /* EFLAGS with nothing but the bit that is always set */
        popfl
        xorl    %ebp, %ebp      /* ends the chain of frame pointers */
        subl    $8, %esp        /* keeps the stack 16-byte aligned at the call (i386 psABI 2.2.2) */
        pushl   %ebx
        pushl   %eax
        call    kmain
.Lhalt: cli
        hlt
        jmp     .Lhalt
        .size   _start, . - _start

        .section .rodata
        .balign 8
        .type   gdt, @object
gdt:                            /* accessed bits are set already: the CPU never writes here */
        .quad   0
        .quad   0x00CF9B000000FFFF      /* code: base 0, limit 4 GiB, execute and read */
        .quad   0x00CF93000000FFFF      /* data: base 0, limit 4 GiB, read and write */
        .size   gdt, . - gdt

        .type   gdt_register, @object
gdt_register:
        .word   gdt_register - gdt - 1
        .long   gdt
        .size   gdt_register, . - gdt_register

        .bss
        .balign 16
        .globl  boot_stack
        .type   boot_stack, @object
boot_stack:
        .skip   STACK_SIZE
        .size   boot_stack, . - boot_stack

        .section .note.GNU-stack, "", @progbits
