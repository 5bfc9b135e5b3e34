/*
 * Theory of operation
 *
 * Page tables of two levels. What is tried runs with registers of known contents, and ends by an exception. A double fault has a task
 * gate, so that it is seen even where the stack is not: its task writes down what the CPU has saved, and returns into trap_escape().
 *
 * Shortcomings
 *
 * A fault of the kernel itself in the window is taken for one of what is tried.
 */

#include "devices/space.h"

#include <stddef.h>

#include "common/console.h"
#include "common/cpu.h"
#include "devices/traps.h"

enum { PAGE_FAULT = 14, DOUBLE_FAULT = 8, SYSTEM_CALL = 0x80, IOPL_3 = 0x3000, PORT_MASK_1 = 0x21, PORT_MASK_2 = 0xA1 };
enum { REGISTERS = 8, FIRST_VALUE = 0x11111111, REPAIRS = 8, TASK_GATE = 0xE500 };

uint32_t directory[TABLE_ENTRIES] __attribute__((aligned(PAGE_SIZE)));
uint32_t identity[TABLE_ENTRIES] __attribute__((aligned(PAGE_SIZE)));
uint32_t window_table[TABLE_ENTRIES] __attribute__((aligned(PAGE_SIZE)));
uint8_t kernel_stack[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t frames[WINDOW_PAGES][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t user_stack[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t fault_stack[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

uint32_t space_cr3 = (uint32_t)directory;
struct tss task = {.esp0 = (uint32_t)kernel_stack + PAGE_SIZE, .ss0 = KERNEL_DATA, .map_offset = sizeof(struct tss)};
static struct tss fault_task;

uint64_t gdt[GDT_ENTRIES] = {
    0,
    0x00CF9B000000FFFF, /* 08 code */
    0x00CF93000000FFFF, /* 10 data */
    0x00CFFB000000FFFF, /* 18 code of ring 3 */
    0x00CFF3000000FFFF, /* 20 data of ring 3 */
    0x0000890000000067, /* 28 the task */
    0x0000890000000067, /* 30 the task that takes double faults */
    0,                  /* 38 */
    0x00CF92000000FFFF, /* 40 data, not accessed yet */
    0x00CFF2000000FFFF, /* 48 data of ring 3, not accessed yet */
    0x00CF9A000000FFFF, /* 50 code, not accessed yet */
    0x00CFFA000000FFFF, /* 58 code of ring 3, not accessed yet */
    0x0000820000000007, /* 60 a local table */
    0x0000EC0000080000, /* 68 call gate */
};

static void (*tried)(void);
static uint32_t repaired_at[REPAIRS], repaired_code[REPAIRS];
static uint32_t repairs;
static uint32_t user_flags;
static bool repairing;

extern const uint32_t trap_entries[VECTORS]; /* read-only data begins somewhere before it, and code ends */
__attribute__((noreturn)) void trap_escape(void); /* trap_entries.S */
void double_fault_taken(void);
void double_fault_entry(void);
__asm__(".text\ndouble_fault_entry:\n\tcall double_fault_taken\n\taddl $4, %esp\n\tiret\n\tjmp double_fault_entry\n");

/* In the task of double faults: what the other had when it was given up. It goes on in trap_escape(). */
void double_fault_taken(void)
{
    last_trap = (struct trap){.vector = DOUBLE_FAULT, .eip = task.eip, .cs = task.cs, .eflags = task.eflags, .eax = task.eax,
                              .ecx = task.ecx, .edx = task.edx, .ebx = task.ebx, .ebp = task.ebp, .esi = task.esi, .edi = task.edi,
                              .esp = task.esp, .ss = task.ss};
    __asm__ volatile("clts");
    task.eip = (uint32_t)trap_escape;
    task.esp = (uint32_t)kernel_stack + PAGE_SIZE;
    task.cs = KERNEL_CODE;
    task.ss = task.ds = task.es = task.fs = task.gs = KERNEL_DATA;
    task.eflags = 2;
}

void gdt_load(const uint64_t *base)
{
    const struct __attribute__((packed)) {
        uint16_t limit;
        const void *base;
    } gdt_register = {sizeof gdt - 1, base};

    __asm__ volatile("lgdt %0" : : "m"(gdt_register) : "memory");
}

static void set_base(uint32_t entry, uint32_t base)
{
    gdt[entry] |= (uint64_t)(base >> 24) << 56 | (uint64_t)(base & 0xFFFFFF) << 16;
}

static void tasks_init(void)
{
    set_base(TASK / 8, (uint32_t)&task);
    set_base(FAULT_TASK / 8, (uint32_t)&fault_task);
    fault_task = (struct tss){.cr3 = (uint32_t)directory, .eip = (uint32_t)double_fault_entry, .eflags = 2,
                              .esp = (uint32_t)fault_stack + PAGE_SIZE, .cs = KERNEL_CODE, .ss = KERNEL_DATA, .ds = KERNEL_DATA,
                              .es = KERNEL_DATA, .fs = KERNEL_DATA, .gs = KERNEL_DATA, .map_offset = sizeof fault_task};
    task.cr3 = (uint32_t)directory;
    gdt_load(gdt);
    __asm__ volatile("ltr %w0; lldt %w1" : : "r"(TASK), "r"(0) : "memory");
    idt[DOUBLE_FAULT] = (struct gate){.selector = FAULT_TASK, .type = TASK_GATE};
    idt[SYSTEM_CALL].type = 0xEE00;
}

static void paging_on(void)
{
    for (uint32_t page = 0; page < TABLE_ENTRIES; page++) {
        identity[page] = page * PAGE_SIZE | P | W;
    }
    for (uint32_t at = 0x00101000; at < (uint32_t)trap_entries; at += PAGE_SIZE) {
        identity[at / PAGE_SIZE] = at | P | W | U;
    }
    identity[(uint32_t)user_stack / PAGE_SIZE] |= U;
    directory[0] = (uint32_t)identity | PWU;
    window_set(PWU, PWU, PWU);
    __asm__ volatile("movl %0, %%cr3; movl %%cr0, %%eax; orl $0x80010000, %%eax; movl %%eax, %%cr0"
                     : : "r"(directory) : "eax", "memory");
}

static void repair(struct trap *trap)
{
    uint32_t address;

    __asm__ volatile("movl %%cr2, %0" : "=r"(address));
    uint32_t page = (address - WINDOW) / PAGE_SIZE;
    if (!repairing || page >= WINDOW_PAGES || repairs == REPAIRS) {
        last_trap = *trap;
        trap_escape();
    }
    repaired_at[repairs] = address;
    repaired_code[repairs++] = trap->error_code;
    directory[WINDOW_ENTRY] |= PWU;
    window_table[page] |= PWU;
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

void space_init(void)
{
    port_write_u8(PORT_MASK_1, 0xFF);
    port_write_u8(PORT_MASK_2, 0xFF);
    console_init();
    traps_init();
    tasks_init();
    paging_on();
    trap_handle(PAGE_FAULT, repair);
}

uint32_t window_frame(uint32_t page)
{
    return (uint32_t)frames[(page * 3 + 2) % WINDOW_PAGES];
}

static uint8_t fresh(uint32_t page, uint32_t offset)
{
    return (uint8_t)(offset * 37 + page * 11 + 5);
}

void window_set(uint32_t directory_rights, uint32_t first, uint32_t second)
{
    directory[WINDOW_ENTRY] = (uint32_t)window_table | directory_rights;
    for (uint32_t page = 0; page < WINDOW_PAGES; page++) {
        window_table[page] = window_frame(page) | (page == 0 ? first : page == 1 ? second : PWU);
        for (uint32_t offset = 0; offset < PAGE_SIZE; offset++) {
            ((uint8_t *)window_frame(page))[offset] = fresh(page, offset);
        }
    }
    cpu_set_page_directory(space_cr3);
}

void poke_half(uint32_t offset, uint32_t value)
{
    for (uint32_t i = 0; i < 2; i++, offset++) {
        ((uint8_t *)window_frame(offset / PAGE_SIZE))[offset % PAGE_SIZE] = (uint8_t)(value >> 8 * i);
    }
}

void poke(uint32_t offset, uint32_t value)
{
    poke_half(offset, value);
    poke_half(offset + 2, value >> 16);
}

/* Registers have the values that report() expects. */
#define ENTER(stack)                                                                                                          \
    stack "movl $0x11111111, %%eax; movl $0x22222222, %%ecx; movl $0x33333333, %%edx; movl $0x44444444, %%ebx;"             \
          "movl $0x66666666, %%ebp; movl $0x77777777, %%esi; movl $0x88888888, %%edi; "

static void enter_ring_0(void)
{
    __asm__ volatile(ENTER("movl %0, %%esp; pushl $2; popfl; pushl %1;") "ret"
                     : : "i"(kernel_stack + PAGE_SIZE), "m"(tried) : "memory");
}

static void enter_ring_3(void)
{
    __asm__ volatile("movl %0, %%ds; movl %0, %%es; movl %0, %%fs; movl %0, %%gs;"
                     ENTER("pushl %1; pushl %2; pushl %%cs:%3; pushl %4; pushl %%cs:%5;") "iret"
                     : : "r"(USER_DATA), "i"(USER_DATA), "i"(user_stack + PAGE_SIZE), "m"(user_flags), "i"(USER_CODE), "m"(tried)
                     : "memory");
}

void run(void (*code)(void), enum how how)
{
    tried = code;
    repairs = 0;
    repairing = how & REPAIRED;
    user_flags = how & PORTS_BY_TASK ? 2 : IOPL_3 | 2;
    __asm__ volatile("movl %0, %%cr2" : : "r"(0));
    raises(how & RING_3 ? enter_ring_3 : enter_ring_0);
    __asm__ volatile("movl %0, %%ds; movl %0, %%es; movl %0, %%fs; movl %0, %%gs" : : "r"(KERNEL_DATA));
    repairing = false;
}

static void report_registers(const struct trap *trap)
{
    const uint32_t values[REGISTERS] = {trap->eax, trap->ecx, trap->edx, trap->ebx, 0, trap->ebp, trap->esi, trap->edi};
    static const char *const names[REGISTERS] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
    bool from_ring_0 = (trap->cs & 3) == 0 && trap->vector != DOUBLE_FAULT;
    uint32_t esp = from_ring_0 ? trap->handler_esp + offsetof(struct trap, esp) - offsetof(struct trap, vector) : trap->esp;

    for (uint32_t i = 0; i < REGISTERS; i++) {
        if (i != 4 && values[i] != (i + 1) * FIRST_VALUE) {
            kprintf(" %s %x", names[i], values[i]);
        }
    }
    uint32_t top = (uint32_t)(from_ring_0 || (trap->cs & 3) == 0 ? kernel_stack : user_stack) + PAGE_SIZE;
    kprintf(top - esp < PAGE_SIZE ? " esp -%x" : " esp %x", top - esp < PAGE_SIZE ? top - esp : esp);
    kprintf(" flags %x", trap->eflags);
}

static void report_page(uint32_t page)
{
    const uint8_t *bytes = (const uint8_t *)window_frame(page);
    uint32_t first = PAGE_SIZE, end = 0, sum = 0;

    for (uint32_t offset = 0; offset < PAGE_SIZE; offset++) {
        if (bytes[offset] != fresh(page, offset)) {
            first = first < offset ? first : offset;
            end = offset + 1;
            sum = sum * 31 + bytes[offset];
        }
    }
    kprintf("%s%s", window_table[page] & A ? "A" : "-", window_table[page] & D ? "D" : "-");
    if (end != 0) {
        kprintf("[%x-%x: %x]", first, end, sum);
    }
}

void report(void (*code)(void), bool all)
{
    uint32_t cr2;

    __asm__ volatile("movl %%cr2, %0" : "=r"(cr2));
    for (uint32_t i = 0; i < repairs; i++) {
        kprintf(" (%x at %x)", repaired_code[i], repaired_at[i]);
    }
    kprintf(" vector %x error %x", last_trap.vector, last_trap.error_code);
    kprintf(last_trap.eip - (uint32_t)code < 0x100 ? " at +%x" : " at %x",
            last_trap.eip - (uint32_t)code < 0x100 ? last_trap.eip - (uint32_t)code : last_trap.eip);
    kprintf(" cr2 %x", cr2);
    if (all) {
        report_registers(&last_trap);
        kprintf(" pages %s ", directory[WINDOW_ENTRY] & A ? "A" : "-");
        report_page(0);
        kprintf(" ");
        report_page(1);
    }
    kprintf("\n");
}
