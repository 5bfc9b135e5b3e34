/*
 * Page faults while the CPU loads segments, looks into descriptor tables, and reads tasks and their maps of ports. Such accesses are
 * the kernel's in every ring (SDM volume 3, 4.6.1).
 */

#include <stddef.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "devices/space.h"
#include "devices/steps.h"
#include "devices/traps.h"

enum { OTHER_TASK = 0x38, LOCAL_TABLE = 0x60, FIRST_IN_SECOND = 0x40, IDT_FIRST_IN_SECOND = 0x40, TSS_TYPE = 0x89, TYPE_AT = 40 };

CODE(by_int, "int $0x80");
CODE(by_undefined, "ud2");
CODE(by_call_gate, "lcall $0x6b, $0");
CODE(load_es, "movl $0x40, %eax; movl %eax, %es");
CODE(load_es_3, "movl $0x4b, %eax; movl %eax, %es");
CODE(load_ss, "movl $0x40, %eax; movl %eax, %ss");
CODE(load_ss_3, "movl $0x4b, %eax; movl %eax, %ss");
CODE(pop_fs, "pushl $0x4b; popl %fs");
CODE(jump_far, "ljmp $0x50, $by_int");
CODE(jump_far_3, "ljmp $0x5b, $by_int");
CODE(call_far, "lcall $0x50, $by_int");
CODE(call_far_3, "lcall $0x5b, $by_int");
CODE(return_far, "pushl $0x50; pushl $by_int; lret");
CODE(return_far_3, "pushl $0x5b; pushl $by_int; lret");
CODE(return_outward, "pushl $0x4b; pushl $0x40000800; pushl $0x5b; pushl $by_int; lret");
CODE(iret_outward, "pushl $0x4b; pushl $0x40000800; pushl $2; pushl $0x5b; pushl $by_int; iret");
CODE(load_local, "movl $0x60, %eax; lldt %ax");
CODE(read_rights, "movl $0x40, %ecx; lar %ecx, %eax; movl $0x4b, %ecx; lsl %ecx, %ebx");
CODE(verify, "movl $0x4b, %ecx; verr %cx; movl $0x4b, %ecx; verw %cx");
CODE(through_local, "movl $7, %eax; movl %eax, %gs");
CODE(port, "inb $0x80, %al");
CODE(port_word, "movw $0x87, %dx; inw %dx, %ax");
CODE(to_task, "ljmp $0x38, $0");
CODE(lidt_from, "lidt 0x40000ffc; lidt kept_idt");

struct __attribute__((packed)) table_register {
    uint16_t limit;
    const void *base;
};
const struct table_register kept_idt = {sizeof idt - 1, idt};

/* -- descriptor tables: those from 0x40 on are in the second page -------------------------------- */

static void gdt_in_window(void)
{
    uint32_t offset = PAGE_SIZE - FIRST_IN_SECOND;

    for (uint32_t i = 0; i < sizeof gdt / 4; i++) {
        poke(offset + 4 * i, ((const uint32_t *)gdt)[i]);
    }
    gdt_load((const uint64_t *)(WINDOW + offset));
}

static void gdt_back(void)
{
    gdt_load(gdt);
    gdt[TASK / 8] &= ~(2ull << 40); /* not busy */
    __asm__ volatile("lldt %w0; ltr %w1" : : "r"(0), "r"(TASK));
}

static void descriptors(void)
{
    static const struct step all[] = {
        STEP(load_es, RING_0), STEP(load_es_3, RING_3), STEP(load_es, RING_0 | REPAIRED), STEP(load_es_3, RING_3 | REPAIRED),
        STEP(load_ss, RING_0), STEP(load_ss_3, RING_3), STEP(pop_fs, RING_0), STEP(pop_fs, RING_3), STEP(pop_fs, RING_3 | REPAIRED),
        STEP(jump_far, RING_0), STEP(jump_far_3, RING_3), STEP(call_far, RING_0), STEP(call_far_3, RING_3),
        STEP(call_far_3, RING_3 | REPAIRED), STEP(return_far, RING_0), STEP(return_far_3, RING_3), STEP(return_far_3, RING_3 | REPAIRED),
        STEP(return_outward, RING_0), STEP(iret_outward, RING_0), STEP(iret_outward, RING_0 | REPAIRED), STEP(load_local, RING_0),
        STEP(read_rights, RING_0), STEP(read_rights, RING_3), STEP(verify, RING_3), STEP(by_call_gate, RING_3),
    };

    steps("GDT", all, COUNT(all), true, gdt_in_window, gdt_back);
}

/* -- the IDT: gates from 0x40 on are in the second page ------------------------------------------ */

static void idt_in_window(void)
{
    uint32_t offset = PAGE_SIZE - IDT_FIRST_IN_SECOND * sizeof(struct gate);
    const struct table_register idt_register = {sizeof idt - 1, (void *)(WINDOW + offset)};

    for (uint32_t i = 0; i < sizeof idt / 4; i++) {
        poke(offset + 4 * i, ((const uint32_t *)idt)[i]);
    }
    __asm__ volatile("lidt %0" : : "m"(idt_register));
}

static void idt_back(void)
{
    __asm__ volatile("lidt %0" : : "m"(kept_idt));
}

static void gates(void)
{
    static const struct step all[] = {
        STEP(by_int, RING_0), STEP(by_int, RING_3), STEP(by_int, RING_0 | REPAIRED), STEP(by_int, RING_3 | REPAIRED),
        STEP(by_undefined, RING_3),
    };

    steps("IDT", all, COUNT(all), true, idt_in_window, idt_back);
}

/* -- local descriptors, tasks -------------------------------------------------------------------- */

static void describe(uint32_t entry, uint32_t base, uint32_t limit, uint32_t type)
{
    gdt[entry / 8] = (uint64_t)(base >> 24) << 56 | (uint64_t)type << TYPE_AT | (uint64_t)(base & 0xFFFFFF) << 16 | limit;
}

static void local_in_window(void)
{
    poke(PAGE_SIZE, 0x0000FFFF);
    poke(PAGE_SIZE + 4, 0x00CFF200);
    describe(LOCAL_TABLE, WINDOW + PAGE_SIZE, 7, 0x82);
    __asm__ volatile("lldt %w0" : : "r"(LOCAL_TABLE));
}

static void poke_task(uint32_t offset, const struct tss *contents)
{
    for (uint32_t i = 0; i < sizeof *contents / 4; i++) {
        poke(offset + 4 * i, ((const uint32_t *)contents)[i]);
    }
}

/* Its map of ports begins the second page. */
static void ports_in_window(void)
{
    uint32_t offset = PAGE_SIZE - sizeof(struct tss);

    poke_task(offset, &task);
    for (uint32_t i = 0; i < 32; i += 2) {
        poke_half(PAGE_SIZE + i, 0);
    }
    describe(OTHER_TASK, WINDOW + offset, sizeof(struct tss) + 0x18, TSS_TYPE);
    __asm__ volatile("ltr %w0" : : "r"(OTHER_TASK));
}

/* The second page has all from EIP on. */
static void task_in_window(void)
{
    struct tss other = task;
    uint32_t offset = PAGE_SIZE - offsetof(struct tss, eip);

    other.eip = (uint32_t)by_int;
    other.esp = (uint32_t)kernel_stack + PAGE_SIZE;
    other.eflags = 2;
    other.cs = KERNEL_CODE;
    other.ss = other.ds = other.es = other.fs = other.gs = KERNEL_DATA;
    poke_task(offset, &other);
    describe(OTHER_TASK, WINDOW + offset, sizeof other - 1, TSS_TYPE);
}

static void task_back(void)
{
    __asm__ volatile("clts");
    gdt_back();
}

static void tasks(void)
{
    static const struct step local[] = {
        STEP(through_local, RING_0), STEP(through_local, RING_3), STEP(through_local, RING_3 | REPAIRED),
    };
    static const struct step ports[] = {
        STEP(port, RING_3 | PORTS_BY_TASK), STEP(port, RING_3 | PORTS_BY_TASK | REPAIRED), STEP(port_word, RING_3 | PORTS_BY_TASK),
        STEP(by_int, RING_3),
    };
    static const struct step switches[] = {STEP(to_task, RING_0), STEP(to_task, RING_0 | REPAIRED)};

    steps("LDT", local, COUNT(local), false, local_in_window, gdt_back);
    steps("ports", ports, COUNT(ports), true, ports_in_window, task_back);
    steps("task", switches, COUNT(switches), false, task_in_window, task_back);
}

/* -- registers of tables ------------------------------------------------------------------------- */

static void register_in_window(void)
{
    poke_half(PAGE_SIZE - 4, sizeof idt - 1);
    poke(PAGE_SIZE - 2, (uint32_t)idt);
}

static void registers(void)
{
    static const struct step all[] = {STEP(lidt_from, RING_0), STEP(lidt_from, RING_0 | REPAIRED)};

    steps("register", all, COUNT(all), false, register_in_window, idt_back);
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    space_init();
    descriptors();
    gates();
    tasks();
    registers();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
