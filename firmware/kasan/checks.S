/*
 * Theory of operation
 *
 * What code that is compiled with -fsanitize=kernel-address calls, for kernels that have no such runtime of their own: link
 * libkasan_stubs.a. Each byte at (address >> 3) + kmemu_kasan_offset says of eight bytes how many of them, from the first, may be
 * accessed: 0 all, 1 to 7 so many, from 0x80 up none. The emulator has memory there, and says what lies in it. What finds a bad access
 * jumps to one of the functions __asan_report_*, which return: the emulator looks on while they are called.
 *
 * Arguments are on the stack (i386 System V ABI): -mregparm is not for calls of these.
 *
 * Sources: the names and arguments that GCC 12 (asan.cc, sanitizer.def) and Clang 14 (AddressSanitizer.cpp) emit.
 */

    .text

/* A function of two names: compilers append _noabort where the kernel is to go on. */
.macro function name
    .p2align 4
    .globl \name, \name\()_noabort
    .type \name, @function
    .type \name\()_noabort, @function
\name:
\name\()_noabort:
.endm

.macro end name
    .size \name, . - \name
    .size \name\()_noabort, . - \name
.endm

/* report(address), for the sizes that have a number; report(address, size) for others. */
.irp access, load, store
.irp size, 1, 2, 4, 8, 16, _n
function __asan_report_\access\size
    ret
end __asan_report_\access\size
.endr
.endr

/* check(address), of up to 16 bytes: three bytes of the shadow at most. */
.irp access, load, store
.irp size, 1, 2, 4, 8, 16
function __asan_\access\size
    movl 4(%esp), %eax
    movl %eax, %ecx
    shrl $3, %eax
    leal \size - 1(%ecx), %edx
    shrl $3, %edx
    movb kmemu_kasan_offset(%eax), %al
    orb kmemu_kasan_offset(%edx), %al
.if \size == 16
    leal 8(%ecx), %edx
    shrl $3, %edx
    orb kmemu_kasan_offset(%edx), %al
.endif
    jne 1f
    ret
1:
.if \size < 8
    movl %ecx, %edx                     /* a part of eight bytes? */
    shrl $3, %edx
    movsbl kmemu_kasan_offset(%edx), %edx
    andl $7, %ecx
    addl $\size - 1, %ecx
    cmpl %edx, %ecx
    jge __asan_report_\access\size
    ret
.else
    jmp __asan_report_\access\size
.endif
end __asan_\access\size
.endr

/* check(address, size) */
function __asan_\access\()N
    movl 4(%esp), %eax
    movl 8(%esp), %edx
    testl %edx, %edx
    je 2f
    leal -1(%eax,%edx), %edx
    shrl $3, %eax
    shrl $3, %edx
1:
    cmpb $0, kmemu_kasan_offset(%eax)
    jne __asan_report_\access\()_n
    incl %eax
    cmpl %edx, %eax
    jbe 1b
2:
    ret
end __asan_\access\()N
.endr

    .section .note.GNU-stack, "", @progbits
