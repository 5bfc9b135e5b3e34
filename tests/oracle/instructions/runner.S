/*
 * Theory of operation
 *
 * A kernel that runs instructions. For each case of a table it lays out memory, loads all registers, enters the case's
 * code in its ring with iret, and waits for the exception in which every case ends: what it raises itself, or the `int`
 * that stands behind it. Then it writes down registers, vector, error code and what became of memory, and takes the next.
 * After the last it halts for good.
 *
 * The addresses and the two records are in cases.py.
 *
 * Shortcomings
 *
 * A case of ring 0 that spoils ESP or SS ends all: there is nowhere to push its exception. The FPU's pointers to the last
 * instruction and operand are not looked at.
 */

#define END_VECTOR 0x80
#define K_CODE 0x08
#define K_DATA 0x10
#define TSS    0x28
#define PAGES  12                       /* of the window */

        .macro  exception vector
entry_\vector:
        .if     \vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17
        .else
        pushl   $0
        .endif
        pushl   $\vector
        jmp     common
        .endm

        .macro  checksum_page page
        movl    $WINDOW + \page * 4096, %esi
        movl    $1024, %ecx
        call    checksum
        .endm

        .section .multiboot, "a"
        .balign 4
        .long   0x1badb002, 3, -(0x1badb002 + 3)

        .text
        .globl  _start
_start:
        cli
        cld
        movl    $runner_stack, %esp
        lgdt    gdt_register
        ljmp    $K_CODE, $1f
1:      movl    $K_DATA, %eax
        movl    %eax, %ss
        movl    %eax, %ds
        movl    %eax, %es
        movb    $0xff, %al              /* no interrupts */
        outb    %al, $0x21
        outb    %al, $0xa1

        movl    $entries, %esi          /* 256 interrupt gates of ring 0 */
        movl    $idt, %edi
        movl    $256, %ecx
2:      lodsl
        movw    %ax, (%edi)
        movw    $K_CODE, 2(%edi)
        movw    $0x8e00, 4(%edi)
        shrl    $16, %eax
        movw    %ax, 6(%edi)
        addl    $8, %edi
        loop    2b
        movb    $0xee, idt + 3 * 8 + 5
        movb    $0xee, idt + 4 * 8 + 5
        movb    $0xee, idt + END_VECTOR * 8 + 5
        movb    $0x6e, idt + 0x90 * 8 + 5       /* not present */
        movb    $0xef, idt + 0x91 * 8 + 5       /* a trap gate, open to ring 3 */
        movb    $0xe5, idt + 0x92 * 8 + 5       /* a task gate, whose selector is the code segment's */
        movw    $K_DATA, idt + 0x93 * 8 + 2     /* to data */
        movb    $0xee, idt + 0x93 * 8 + 5
        movw    $0, idt + 0x94 * 8 + 2          /* to nowhere */
        movb    $0xee, idt + 0x94 * 8 + 5
        movb    $0xec, idt + 0x95 * 8 + 5       /* a call gate has no place in an IDT */
        lidt    idt_register

        movl    $tss, %eax
        movw    %ax, gdt + TSS + 2
        shrl    $16, %eax
        movb    %al, gdt + TSS + 4
        movb    %ah, gdt + TSS + 7
        movl    $exception_stack, tss + 4
        movl    $K_DATA, tss + 8
        movw    $tss_bitmap - tss, tss + 102
        movl    $TSS, %eax
        ltr     %ax
        xorl    %eax, %eax
        lldt    %ax
        movl    $call_gate_target, %eax
        movw    %ax, gdt + 0x78
        shrl    $16, %eax
        movw    %ax, gdt + 0x78 + 6
        movl    $gdt, %esi
        movl    $first_gdt, %edi
        movl    $(gdt_end - gdt) / 4, %ecx
        rep movsl

        movl    $tables, %edi           /* 16 MiB, of ring 0, but for the first MiB */
        xorl    %eax, %eax
        movl    $256, %ecx
        rep stosl
        movl    $0x100003, %eax
3:      stosl
        addl    $4096, %eax
        cmpl    $0x1000003, %eax
        jne     3b
        movl    $tables + 7, %eax
        movl    $directory, %edi
4:      stosl
        addl    $4096, %eax
        cmpl    $tables + 4 * 4096 + 7, %eax
        jne     4b
        movl    $directory, %eax
        movl    %eax, %cr3
        movl    $0x600, %eax            /* OSFXSR, OSXMMEXCPT */
        movl    %eax, %cr4
        movl    %cr0, %eax
        orl     $0x80000022, %eax       /* PG, NE, MP; no WP: here all can be written */
        andl    $~0x0c, %eax
        movl    %eax, %cr0
        movl    %eax, first_cr0

/* -- one case after the other -- */

next_case:
        movl    case, %ebp
        cmpl    $cases_end, %ebp
        jae     all_done

        movl    $first_entries, %esi    /* the window's pages, and all but the code is zero in them */
        movl    $tables + (WINDOW >> 10), %edi
        movl    $PAGES, %ecx
        rep movsl
        movl    %cr3, %eax
        movl    %eax, %cr3
        movl    $WINDOW + 1 * 4096, %edi
        movl    $0x80cd80cd, %eax
        movl    $1024, %ecx
        rep stosl
        movl    $WINDOW + 3 * 4096, %edi
        xorl    %eax, %eax
        movl    $2048, %ecx
        rep stosl
        movl    $WINDOW + 6 * 4096, %edi
        movl    $2048, %ecx
        rep stosl
        movl    $WINDOW + 9 * 4096, %edi
        movl    $1024, %ecx
        rep stosl
        movl    $first_gdt, %esi
        movl    $gdt, %edi
        movl    $(gdt_end - gdt) / 4, %ecx
        rep movsl
        movl    %ebp, %esi              /* code: at most 48 bytes, and not over the page's end */
        movl    84(%ebp), %edi
        movl    $48, %ecx
        movl    %edi, %eax
        negl    %eax
        andl    $0xfff, %eax
        cmpl    %eax, %ecx
        jbe     5f
        movl    %eax, %ecx
5:      rep movsb
        leal    128(%ebp), %esi
        movl    $WINDOW + 4 * 4096 - 32, %edi
        movl    $16, %ecx
        rep movsl
        leal    192(%ebp), %esi
        movl    $WINDOW + 9 * 4096 + 0x800, %edi
        movl    $16, %ecx
        rep movsl
        movl    $tables + (WINDOW >> 10), %edi  /* no page is accessed or dirty yet */
        movl    $PAGES, %ecx
6:      andl    $~0x60, (%edi)
        addl    $4, %edi
        loop    6b
        movl    %cr3, %eax
        movl    %eax, %cr3

        movw    108(%ebp), %ax
        movw    %ax, clean
        movl    112(%ebp), %eax
        movl    %eax, clean + 24
        fxrstor clean
        xorl    %eax, %eax
        movl    %eax, %cr2
        movl    first_cr0, %eax
        xorl    104(%ebp), %eax
        movl    %eax, %cr0
        movl    %esp, runner_esp

        movl    64(%ebp), %ecx          /* the case's ESP */
        testl   $3, 88(%ebp)
        jz      7f
        pushl   $0x23
        pushl   %ecx
        jmp     8f
7:      movl    %ecx, %esp
8:      pushl   80(%ebp)
        pushl   88(%ebp)
        pushl   84(%ebp)
        movw    92(%ebp), %es
        movw    96(%ebp), %fs
        movw    100(%ebp), %gs
        movl    48(%ebp), %eax
        movl    52(%ebp), %ecx
        movl    56(%ebp), %edx
        movl    60(%ebp), %ebx
        movl    72(%ebp), %esi
        movl    76(%ebp), %edi
        pushl   124(%ebp)               /* DS */
        movl    68(%ebp), %ebp
        popl    %ds
        iret

common: cld
        pushal
        pushl   %ds
        pushl   %es
        pushl   %fs
        pushl   %gs
        movl    $K_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    result, %edi
        leal    48(%esp), %esi          /* vector, error code, EIP, CS, EFLAGS */
        movl    $5, %ecx
        rep movsl
        testb   $3, 48 + 12(%esp)
        jz      1f
        movsl
        movsl
        jmp     2f
1:      movl    %esi, %eax
        stosl
        movl    %ss, %eax
        stosl
2:      leal    16(%esp), %esi
        movl    $8, %ecx
        rep movsl
        movl    %esp, %esi
        movl    $4, %ecx
3:      lodsl
        movzwl  %ax, %eax
        stosl
        loop    3b
        movl    %cr2, %eax
        stosl
        movl    %cr0, %eax
        stosl
        addl    $4, %edi
        movl    runner_esp, %esp
        movl    first_cr0, %eax
        movl    %eax, %cr0

        movl    $tables + (WINDOW >> 10), %esi  /* before the pages are read again */
        leal    32(%edi), %edi
        movl    $PAGES, %ecx
        rep movsl
        movl    $fx, %eax
        fxsave  (%eax)
        movl    $fx, %esi
        movl    $8, %ecx
        rep movsl
        movl    $4, %ecx
        rep movsl
        movl    $fx + 160, %esi
        movl    $4, %ecx
        rep movsl
        addl    $8, %edi
        movl    $WINDOW + 4 * 4096 - 32, %esi
        movl    $16, %ecx
        rep movsl
        movl    $WINDOW + 9 * 4096 + 0x7e0, %esi
        movl    $16, %ecx
        rep movsl
        movl    result, %edi
        addl    $88, %edi
        checksum_page 1
        checksum_page 3
        checksum_page 4
        checksum_page 6
        checksum_page 7
        checksum_page 9
        movl    $gdt, %esi
        movl    $(gdt_end - gdt) / 4, %ecx
        call    checksum
        movl    $fx + 32, %esi
        movl    $64, %ecx               /* eight registers of the FPU, eight of SSE */
        call    checksum
        addl    $256, case
        addl    $384, result
        jmp     next_case

/* Appends the checksum of ECX words at ESI. */
checksum:
        xorl    %eax, %eax
1:      roll    $5, %eax
        xorl    (%esi), %eax
        addl    $0x9e3779b9, %eax
        addl    $4, %esi
        loop    1b
        stosl
        ret

call_gate_target:
        int     $END_VECTOR

all_done:
        cli
        hlt
        jmp     all_done

        .altmacro
        .set    number, 0
        .rept   256
        exception %number
        .set    number, number + 1
        .endr

        .data
        .balign 8
entries:
        .macro  entry_of vector
        .long   entry_\vector
        .endm
        .set    number, 0
        .rept   256
        entry_of %number
        .set    number, number + 1
        .endr
case:   .long   cases
result: .long   RESULTS
gdt:
        .quad   0
        .quad   0x00cf9a000000ffff      /* 08 code of ring 0, flat */
        .quad   0x00cf92000000ffff      /* 10 data of ring 0, flat */
        .quad   0x00cffa000000ffff      /* 18 code of ring 3, flat */
        .quad   0x00cff2000000ffff      /* 20 data of ring 3, flat */
        .quad   0x00008900000000ff      /* 28 TSS */
        .quad   0x0040f25030000fff      /* 30 data of ring 3 with a base, 4 KiB */
        .quad   0x00cff0000000ffff      /* 38 data of ring 3, read-only */
        .quad   0x00cf72000000ffff      /* 40 data of ring 3, not present */
        .quad   0x00c0f600000000ff      /* 48 data of ring 3, expanding down */
        .quad   0x00cff8000000ffff      /* 50 code of ring 3, execute only */
        .quad   0x00cf9e000000ffff      /* 58 conforming code of ring 0 */
        .quad   0x00cf7a000000ffff      /* 60 code of ring 3, not present */
        .quad   0x0000f00000000000      /* 68 of no type */
        .quad   0x00cfb2000000ffff      /* 70 data of ring 1 */
        .quad   0x0000ec0000080000      /* 78 call gate, open to ring 3 */
gdt_end:
gdt_register:
        .word   gdt_end - gdt - 1
        .long   gdt
idt_register:
        .word   256 * 8 - 1
        .long   idt
first_entries:                          /* present 1, write 2, user 4 */
        .long   WINDOW + 0x0000                 /* absent */
        .long   WINDOW + 0x1000 + 7             /* code */
        .long   WINDOW + 0x2000
        .long   WINDOW + 0x3000 + 7             /* data */
        .long   WINDOW + 0x4000 + 7             /* more data */
        .long   WINDOW + 0x5000
        .long   WINDOW + 0x6000 + 5             /* read-only */
        .long   WINDOW + 0x7000 + 3             /* of ring 0 */
        .long   WINDOW + 0x8000
        .long   WINDOW + 0x9000 + 7             /* stack */
        .long   WINDOW + 0xa000
        .long   WINDOW + 0xb000 + 1             /* of ring 0, read-only */
tss:    .fill   104, 1, 0
tss_bitmap:                             /* ring 3 may use port 0x80 only */
        .fill   16, 1, 0xff
        .byte   0xfe
        .fill   135, 1, 0xff
        .balign 16
clean:  .fill   512, 1, 0

        .section .cases, "a"
        .globl  cases
cases:
        .incbin "cases.bin"
cases_end:

        .bss
        .balign 4096
directory:
        .skip   4096
tables: .skip   4 * 4096
idt:    .skip   256 * 8
first_gdt:
        .skip   128
runner_esp:
        .skip   4
first_cr0:
        .skip   4
        .balign 16
fx:     .skip   512
        .skip   4096
runner_stack:
        .skip   4096
exception_stack:
        .section .note.GNU-stack, "", @progbits
