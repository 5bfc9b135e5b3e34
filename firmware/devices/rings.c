/*
 * What ring 3 may do and what not, and every way from ring 3 to ring 0 and back: exceptions, `int n`, call gates, with
 * the stack of the TSS.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "devices/traps.h"

#define CODE(name, ...) \
    void name(void);    \
    __asm__(".text\n" #name ":\n" __VA_ARGS__ "\n\tint $0x80\n")

enum { IOPL_3 = 0x3000, INTERRUPTS_ON = 0x200, RING_3 = 3 };
enum { USER_CODE = 0x1B, USER_DATA = 0x23, TSS = 0x28, CALL_GATE = 0x38, KERNEL_DATA = 0x10, SYSTEM_CALL = 0x80 };

CODE(system_call, "movl $0x1234, %eax; int $0x80");
CODE(system_call_trap, "int $0x81");
CODE(system_call_closed, "int $0x20");
CODE(system_call_absent, "int $0x82");
CODE(exception_by_int, "int $13");
CODE(breakpoint, "int3");
CODE(overflow, "movl $0x7fffffff, %eax; incl %eax; into");
CODE(divide, "xorl %ecx, %ecx; divl %ecx");
CODE(undefined, "ud2");
CODE(call_gate, "lcall $0x3b, $0");
CODE(call_gate_with_words, "pushl $77; pushl $88; lcall $0x43, $0");
CODE(call_gate_closed, "lcall $0x4b, $0");
CODE(jump_gate, "ljmp $0x3b, $0");
CODE(halt, "hlt");
CODE(interrupts_off, "cli");
CODE(interrupts_on, "sti");
CODE(flags_popped, "pushl $0x3202; popfl; pushfl; popl %eax; int $0x80");
CODE(port_in, "inb $0x60, %al");
CODE(port_out_allowed, "outb %al, $0x80");
CODE(port_out_long, "outl %eax, $0x80"); /* the next port is not allowed */
CODE(port_string, "movw $0x3f8, %dx; movl $empty, %esi; outsb");
CODE(control_read, "movl %cr0, %eax");
CODE(control_write, "movl %eax, %cr3");
CODE(debug_read, "movl %dr7, %eax");
CODE(task_switched, "clts");
CODE(table_loaded, "lgdt empty");
CODE(idt_loaded, "lidt empty");
CODE(page_forgotten, "invlpg empty");
CODE(msr_read, "xorl %ecx, %ecx; rdmsr");
CODE(cache_dropped, "wbinvd");
CODE(tables_stored, "sgdt empty + 16; movzwl empty + 16, %eax; int $0x80");
CODE(machine_word, "smsw %ax; andl $1, %eax; int $0x80");
CODE(data_of_ring_0, "movl $0x10, %eax; movl %eax, %ds");
CODE(stack_of_ring_0, "movl $0x10, %eax; movl %eax, %ss");
CODE(code_of_ring_0, "ljmp $0x08, $0");
CODE(conforming, "ljmp $0x50, $1f; 1: movl %cs, %eax; int $0x80");
CODE(return_inward, "pushl $0x08; pushl $0; lret");
CODE(stack_empty, "xorl %esp, %esp; pushl %eax");
CODE(read_of_ring_0, "movl idt, %eax");
CODE(write_of_ring_0, "movl %eax, idt");
CODE(write_read_only, "movl %eax, system_call");

extern const uint32_t trap_entries[VECTORS]; /* read-only data begins somewhere before it, and code ends */
static uint8_t user_stack[4096] __attribute__((aligned(4096)));
static uint8_t kernel_stack[4096] __attribute__((aligned(4096)));
uint8_t empty[4096] __attribute__((aligned(4096)));
static uint32_t directory[1024] __attribute__((aligned(4096)));
static uint32_t table[1024] __attribute__((aligned(4096)));

/* SDM volume 3, 8.2.1; the map of ports begins after it. */
static struct {
    uint32_t link, esp0, ss0, others[22];
    uint16_t trap, map_offset;
    uint8_t map[33];
} tss = {.esp0 = (uint32_t)kernel_stack + sizeof kernel_stack, .ss0 = KERNEL_DATA, .map_offset = 104};

static uint64_t gdt[] = {
    0,
    0x00CF9B000000FFFF, /* 08 code */
    0x00CF93000000FFFF, /* 10 data */
    0x00CFFB000000FFFF, /* 18 code of ring 3 */
    0x00CFF3000000FFFF, /* 20 data of ring 3 */
    0,                  /* 28 TSS */
    0,
    0x0000EC0000080000, /* 38 call gate */
    0x0000EC0200080000, /* 40 call gate that copies two words */
    0x00008C0000080000, /* 48 call gate of ring 0 */
    0x00CF9F000000FFFF, /* 50 conforming code */
};

static uint32_t entry_eflags;
static uint32_t entry_data = USER_DATA; /* in all data segments but SS */
static void (*user_code)(void);

/* Enters ring 3 at `user_code`. */
static void enter_ring_3(void)
{
    __asm__ volatile("movl %0, %%ds; movl %0, %%es; movl %0, %%fs; movl %0, %%gs;"
                     "pushl %1; pushl %2; pushl %3; pushl %4; pushl %5; xorl %%eax, %%eax; iret"
                     :
                     : "r"(entry_data), "i"(USER_DATA), "r"(user_stack + sizeof user_stack), "r"(entry_eflags),
                       "i"(USER_CODE), "r"(user_code));
}

/* Where call gates lead to: what ring 0 finds on its stack. */
void gate_entered(const uint32_t *stack);
__asm__(".text\ngate_target:\n\tmovl %esp, %eax; movl $0x10, %ecx; movl %ecx, %ds; movl %ecx, %es;"
        "pushl %eax; call gate_entered; addl $4, %esp; int $0x80\n");
void gate_target(void);

void gate_entered(const uint32_t *stack)
{
    kprintf("[in the gate: eip +%u", stack[0] - (uint32_t)user_code);
    for (uint32_t i = 1; i < 6; i++) {
        kprintf(" %x", stack[i] - (stack[i] >= (uint32_t)user_stack && stack[i] <= (uint32_t)user_stack + 4096
                                       ? (uint32_t)user_stack
                                       : 0));
    }
    kprintf("] ");
}

static void run(const char *name, void (*code)(void), uint32_t eflags)
{
    entry_eflags = eflags;
    user_code = code;
    kprintf("%s: ", name);
    raises(enter_ring_3);
    const struct trap *trap = &last_trap;
    kprintf("vector 0x%x, error code 0x%x, at +%d, cs 0x%x, flags 0x%x, eax 0x%x, ds 0x%x, gs 0x%x", trap->vector,
            trap->error_code, trap->eip - (uint32_t)code, trap->cs, trap->eflags, trap->eax, trap->ds, trap->gs);
    if ((trap->cs & RING_3) != 0) {
        kprintf(", stack 0x%x:%d", trap->ss, trap->esp - (uint32_t)user_stack);
    }
    kprintf(", frame at %d\n", trap->handler_esp - (uint32_t)kernel_stack);
}

#define RUN(code) run(#code, code, 2)

static void set_base(uint32_t entry, uint32_t offset)
{
    gdt[entry] = (gdt[entry] & 0x0000FFFFFFFF0000) | (offset & 0xFFFF) | (uint64_t)(offset >> 16) << 48;
}

static void tables_init(void)
{
    uint32_t base = (uint32_t)&tss;
    const struct __attribute__((packed)) {
        uint16_t limit;
        const void *base;
    } gdt_register = {sizeof gdt - 1, gdt};

    for (uint32_t i = 0; i < sizeof tss.map; i++) {
        tss.map[i] = 0xFF;
    }
    tss.map[0x80 / 8] = 0xFE;
    gdt[TSS / 8] = (uint64_t)(base >> 24) << 56 | 0x0000890000000000 | (uint64_t)(base & 0xFFFFFF) << 16 |
                   (offsetof(typeof(tss), map) + sizeof tss.map - 1);
    set_base(CALL_GATE / 8, (uint32_t)gate_target);
    set_base(CALL_GATE / 8 + 1, (uint32_t)gate_target);
    set_base(CALL_GATE / 8 + 2, (uint32_t)gate_target);
    __asm__ volatile("lgdt %0; ltr %w1; lldt %w2" : : "m"(gdt_register), "r"(TSS), "r"(0) : "memory");
    idt[SYSTEM_CALL].type = 0xEE00;
    idt[0x81].type = 0xEF00;
    idt[0x82].type = 0x6E00;
    idt[3].type = idt[4].type = 0xEE00;
}

/* The first 4 MiB as they are: code may be read by ring 3, `user_stack` and `empty` may be written. */
static void paging_on(void)
{
    for (uint32_t page = 0; page < 1024; page++) {
        table[page] = page << 12 | 3;
    }
    for (uint32_t at = 0x00101000; at < ((uint32_t)trap_entries & ~0xFFFu); at += 4096) {
        table[at >> 12] = at | 5;
    }
    table[(uint32_t)user_stack >> 12] |= 4;
    table[(uint32_t)empty >> 12] |= 4;
    directory[0] = (uint32_t)table | 7;
    cpu_set_page_directory((uint32_t)directory);
    __asm__ volatile("movl %%cr0, %%eax; orl $0x80010000, %%eax; movl %%eax, %%cr0" : : : "eax", "memory");
}

static void ways_to_ring_0(void)
{
    RUN(system_call);
    RUN(system_call_trap);
    run("system_call with interrupts on", system_call, 2 | INTERRUPTS_ON);
    run("system_call_trap with interrupts on", system_call_trap, 2 | INTERRUPTS_ON);
    entry_data = KERNEL_DATA;
    run("system_call with data of ring 0", system_call, 2);
    entry_data = USER_DATA;
    RUN(system_call_closed);
    RUN(system_call_absent);
    RUN(exception_by_int);
    RUN(breakpoint);
    RUN(overflow);
    RUN(divide);
    RUN(undefined);
    RUN(call_gate);
    RUN(call_gate_with_words);
    RUN(call_gate_closed);
    RUN(jump_gate);
}

static void privileges(void)
{
    RUN(halt);
    RUN(interrupts_off);
    RUN(interrupts_on);
    run("interrupts_off with IOPL 3", interrupts_off, 2 | IOPL_3 | INTERRUPTS_ON);
    run("interrupts_on with IOPL 3", interrupts_on, 2 | IOPL_3);
    RUN(flags_popped);
    run("flags_popped with IOPL 3", flags_popped, 2 | IOPL_3);
    RUN(port_in);
    RUN(port_out_allowed);
    RUN(port_out_long);
    RUN(port_string);
    run("port_out_long with IOPL 3", port_out_long, 2 | IOPL_3);
    RUN(control_read);
    RUN(control_write);
    RUN(debug_read);
    RUN(task_switched);
    RUN(table_loaded);
    RUN(idt_loaded);
    RUN(page_forgotten);
    RUN(msr_read);
    RUN(cache_dropped);
    RUN(tables_stored);
    RUN(machine_word);
}

static void segments_and_pages(void)
{
    RUN(data_of_ring_0);
    RUN(stack_of_ring_0);
    RUN(code_of_ring_0);
    RUN(conforming);
    RUN(return_inward);
    RUN(stack_empty);
    RUN(read_of_ring_0);
    RUN(write_of_ring_0);
    RUN(write_read_only);
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    port_write_u8(0x21, 0xFF);
    port_write_u8(0xA1, 0xFF);
    console_init();
    traps_init();
    tables_init();
    paging_on();
    ways_to_ring_0();
    privileges();
    segments_and_pages();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
