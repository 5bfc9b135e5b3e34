/*
 * Every exception that ring 0 can raise, with its error code, in one line each.
 *
 * Shortcomings: nothing checks limits of segments here, as QEMU does not (Intel SDM volume 3, 5.3, would raise #GP).
 */

#include <stdint.h>

#include "common/console.h"
#include "common/debug_exit.h"
#include "devices/traps.h"

/* A function of these instructions. */
#define CODE(name, ...) \
    void name(void);    \
    __asm__(".text\n" #name ":\n" __VA_ARGS__ "\n\tret\n")

CODE(divide_by_zero, "xorl %ecx, %ecx; movl $1, %eax; cltd; divl %ecx");
CODE(divide_bytes, "movl $0x1234, %eax; movb $1, %cl; divb %cl");
CODE(divide_signed, "movl $0x80000000, %eax; cltd; movl $-1, %ecx; idivl %ecx");
CODE(adjust_by_zero, ".byte 0xd4, 0");
CODE(single_step, "pushfl; orl $0x100, (%esp); popfl; nop; nop");
CODE(icebp, ".byte 0xf1");
CODE(breakpoint, "int3");
CODE(breakpoint_long, ".byte 0xcd, 3");
CODE(overflow, "movl $0x7fffffff, %eax; incl %eax; into");
CODE(no_overflow, "xorl %eax, %eax; into");
CODE(bound, "movl $9, %eax; bound %eax, bounds");
CODE(bound_inside, "movl $4, %eax; bound %eax, bounds");
CODE(undefined, "ud2");
CODE(undefined_lock, ".byte 0xf0, 0x0f, 0x0b");
CODE(undefined_8e, ".byte 0x8e, 0xc8"); /* movl %eax, %cs */
CODE(fpu_switched, "movl %cr0, %eax; orl $8, %eax; movl %eax, %cr0; fld1");
CODE(fpu_wait, "movl %cr0, %eax; orl $10, %eax; movl %eax, %cr0; fwait");
CODE(fpu_emulated, "movl %cr0, %eax; orl $4, %eax; movl %eax, %cr0; fld1");
CODE(fpu_error, "movl %cr0, %eax; orl $0x20, %eax; movl %eax, %cr0; fninit; fldcw all_exceptions; fld1; fldz; "
                "fdivrp; fwait");
CODE(sse_without_osfxsr, "xorl %eax, %eax; movl %eax, %cr4; xorps %xmm0, %xmm0");
CODE(data_absent, "movl $0x18, %eax; movl %eax, %ds");
CODE(data_beyond, "movl $0x1000, %eax; movl %eax, %es");
CODE(data_in_ldt, "movl $0x14, %eax; movl %eax, %fs");
CODE(data_of_code, "movl $0x20, %eax; movl %eax, %gs"); /* execute only */
CODE(data_of_tss, "movl $0x30, %eax; movl %eax, %ds");
CODE(data_null, "xorl %eax, %eax; movl %eax, %gs");
CODE(stack_null, "xorl %eax, %eax; movl %eax, %ss");
CODE(stack_absent, "movl $0x18, %eax; movl %eax, %ss");
CODE(stack_read_only, "movl $0x28, %eax; movl %eax, %ss");
CODE(stack_of_ring_3, "movl $0x3b, %eax; movl %eax, %ss");
CODE(jump_absent, "ljmp $0x40, $0");
CODE(jump_null, "ljmp $0, $0");
CODE(jump_to_data, "ljmp $0x10, $0");
CODE(jump_beyond, "ljmp $0x2000, $0");
CODE(call_absent, "lcall $0x40, $0");
CODE(return_null, "pushl $0; pushl $0; lret");
CODE(iret_null, "pushfl; pushl $0; pushl $0; iret");
CODE(iret_to_data, "pushfl; pushl $0x10; pushl $0; iret");
CODE(task_null, "xorl %eax, %eax; ltr %ax");
CODE(task_of_data, "movl $0x10, %eax; ltr %ax");
CODE(task_absent, "movl $0x48, %eax; ltr %ax");
CODE(table_of_data, "movl $0x10, %eax; lldt %ax");
CODE(gate_absent, "int $0x70");
CODE(gate_empty, "int $0x71");
CODE(gate_to_data, "int $0x72");
CODE(gate_beyond, "lidt short_idt; int $0x40");
CODE(read_absent, "movl 0x00800010, %eax");
CODE(write_absent, "movl %eax, 0x00800ffe");
CODE(fetch_absent, "movl $0x00800123, %eax; call *%eax");
CODE(fetch_across, "movl $0x40404040, 0x007ffff8; movl $0x0001b840, 0x007ffffc; movl $0x007ffff8, %eax; call *%eax");
CODE(fetch_to_the_end, "movl $0x40404040, 0x007ffff8; movl $0x40404040, 0x007ffffc; movl $0x007ffff8, %eax; call *%eax");
CODE(fetch_operand, "movl $0xb8404040, 0x007ffffc; movl $0x007ffffc, %eax; call *%eax");
CODE(fetch_short_operand, "movl $0xb8664040, 0x007ffffc; movl $0x007ffffc, %eax; call *%eax");
CODE(fetch_opcode, "movl $0x0f404040, 0x007ffffc; movl $0x007ffffc, %eax; call *%eax");
CODE(fetch_first, "movl $0xb8404040, 0x007ffffc; movl $0x007fffff, %eax; call *%eax");
CODE(write_read_only, "movl %cr0, %eax; orl $0x10000, %eax; movl %eax, %cr0; movl $1, 0x00400004");
CODE(write_read_only_freely, "movl %cr0, %eax; andl $~0x10000, %eax; movl %eax, %cr0; movl $1, 0x00400004");
CODE(read_across, "movl 0x007ffffe, %eax");
CODE(copy_across, "movl $0x007ffff0, %edi; movl $8, %ecx; rep stosl");
CODE(fault_without_gate, "movb $0x0e, idt + 14 * 8 + 5; movl 0x00800010, %eax");

const struct {
    int32_t low, high;
} bounds = {-4, 4};
const uint16_t all_exceptions = 0x0340;
struct __attribute__((packed)) {
    uint16_t limit;
    const void *base;
} short_idt = {0x1FF, idt};

static const struct __attribute__((aligned(8))) {
    uint32_t low, high;
} gdt[] = {
    {0, 0},
    {0x0000FFFF, 0x00CF9B00}, /* 08 code */
    {0x0000FFFF, 0x00CF9300}, /* 10 data */
    {0x0000FFFF, 0x00CF1300}, /* 18 data, not present */
    {0x0000FFFF, 0x00CF9900}, /* 20 code, execute only */
    {0x0000FFFF, 0x00CF9100}, /* 28 data, read-only */
    {0x00000067, 0x00008900}, /* 30 TSS */
    {0x0000FFFF, 0x00CFF300}, /* 38 data of ring 3 */
    {0x0000FFFF, 0x00CF1B00}, /* 40 code, not present */
    {0x00000067, 0x00000900}, /* 48 TSS, not present */
};

enum { DIRECTORY_ENTRIES = 1024, PRESENT_WRITE_LARGE = 0x83, PRESENT_LARGE = 0x81, CR4_PSE = 0x10 };

static uint32_t directory[DIRECTORY_ENTRIES] __attribute__((aligned(4096)));

static void gdt_load(void)
{
    const struct __attribute__((packed)) {
        uint16_t limit;
        const void *base;
    } gdt_register = {sizeof(gdt) - 1, gdt};

    __asm__ volatile("lgdt %0" : : "m"(gdt_register) : "memory");
}

static void gates_init(void)
{
    idt[0x70].type &= (uint16_t)~0x8000;
    idt[0x71] = (struct gate){0};
    idt[0x72].selector = 0x10;
}

/* The first 4 MiB as they are, the next read-only, the next absent. */
static void paging_on(void)
{
    directory[0] = PRESENT_WRITE_LARGE;
    directory[1] = 0x00400000 | PRESENT_LARGE;
    __asm__ volatile("movl %%cr4, %%eax; orl %0, %%eax; movl %%eax, %%cr4; movl %1, %%cr3;"
                     "movl %%cr0, %%eax; orl $0x80000000, %%eax; movl %%eax, %%cr0"
                     :
                     : "i"(CR4_PSE), "r"(directory)
                     : "eax", "memory");
}

#define TRY(code) reset(), try(#code, code)

/* CR0 and the FPU as they were. */
static void reset(void)
{
    __asm__ volatile("clts; movl %%cr0, %%eax; andl $~0x1002e, %%eax; movl %%eax, %%cr0; fninit" : : : "eax");
}

static void instructions(void)
{
    TRY(divide_by_zero);
    TRY(divide_bytes);
    TRY(divide_signed);
    TRY(adjust_by_zero);
    TRY(single_step);
    TRY(icebp);
    TRY(breakpoint);
    TRY(breakpoint_long);
    TRY(overflow);
    TRY(no_overflow);
    TRY(bound);
    TRY(bound_inside);
    TRY(undefined);
    TRY(undefined_lock);
    TRY(undefined_8e);
    TRY(fpu_switched);
    TRY(fpu_wait);
    TRY(fpu_emulated);
    TRY(fpu_error);
    TRY(sse_without_osfxsr);
}

static void segments(void)
{
    TRY(data_absent);
    TRY(data_beyond);
    TRY(data_in_ldt);
    TRY(data_of_code);
    TRY(data_of_tss);
    TRY(data_null);
    TRY(stack_null);
    TRY(stack_absent);
    TRY(stack_read_only);
    TRY(stack_of_ring_3);
    TRY(jump_absent);
    TRY(jump_null);
    TRY(jump_to_data);
    TRY(jump_beyond);
    TRY(call_absent);
    TRY(return_null);
    TRY(iret_null);
    TRY(iret_to_data);
    TRY(task_null);
    TRY(task_of_data);
    TRY(task_absent);
    TRY(table_of_data);
    TRY(gate_absent);
    TRY(gate_empty);
    TRY(gate_to_data);
    TRY(gate_beyond);
    traps_init();
    gates_init();
}

static void pages(void)
{
    paging_on();
    TRY(read_absent);
    TRY(write_absent);
    TRY(fetch_absent);
    TRY(fetch_across);
    TRY(fetch_to_the_end);
    TRY(fetch_operand);
    TRY(fetch_short_operand);
    TRY(fetch_opcode);
    TRY(fetch_first);
    TRY(write_read_only);
    TRY(write_read_only_freely);
    TRY(read_across);
    TRY(copy_across);
    TRY(fault_without_gate);
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    console_init();
    gdt_load();
    traps_init();
    gates_init();
    __asm__ volatile("lldt %w0" : : "r"(0));
    instructions();
    segments();
    pages();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
