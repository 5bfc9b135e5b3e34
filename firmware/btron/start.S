/*
 * The way from physical to virtual addresses.
 *
 * The boot loader starts the kernel with paging off, at its physical address (Multiboot 0.6.96, section 3.2).
 * The code here is linked at that address; it maps the first 2 GiB of physical memory at __physical_base in
 * pages of 4 MiB, and the first 4 MiB also where they are, for its own last instructions. Then it goes on at
 * _start (common/entry.S), which finds everything as the boot loader left it, EAX and EBX included.
 * paging_trim() drops what is too much.
 *
 * There is no FPU (CR0.EM, SDM volume 3, 2.5): nobody switches its registers, so one task would see another's.
 */

#include "btron/paging_bits.h"

#define CR4_PSE 0x00000010
#define CR0_PG  0x80000000
#define CR0_EM  0x00000004
#define CR0_WP  0x00010000

        .section .start, "ax", @progbits
        .globl  physical_start
        .type   physical_start, @function
physical_start:
        cli
        cld
        movl    $page_directory, %edx
        subl    $__physical_base, %edx
        movl    $PAGE_PRESENT | PAGE_WRITABLE | PAGE_LARGE, %ecx
        movl    %ecx, (%edx)
        leal    KERNEL_DIRECTORY_INDEX * 4(%edx), %edi
1:      movl    %ecx, (%edi)
        addl    $4, %edi
        addl    $LARGE_PAGE_SIZE, %ecx
        jns     1b                      /* until 2 GiB */

        movl    %cr4, %ecx
        orl     $CR4_PSE, %ecx
        movl    %ecx, %cr4
        movl    %edx, %cr3
        movl    %cr0, %ecx
        orl     $CR0_PG | CR0_WP | CR0_EM, %ecx
        movl    %ecx, %cr0
        movl    $_start, %ecx
        jmp     *%ecx
        .size   physical_start, . - physical_start

        .bss
        .balign 4096
        .globl  page_directory
        .type   page_directory, @object
page_directory:
        .skip   4096
        .size   page_directory, . - page_directory

        .section .note.GNU-stack, "", @progbits
