/*
 * The local APIC (SDM volume 3, chapter 11) and the I/O APIC (82093AA data sheet): what a BIOS leaves, registers,
 * priorities, interrupts that the CPU sends to itself, the timer, lines of the board at the I/O APIC, and the 8259 at LINT0.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "devices/traps.h"

enum { LOCAL = 0xFEE00000, ID = 0x20, VERSION = 0x30, TPR = 0x80, ARBITRATION = 0x90, PPR = 0xA0, EOI = 0xB0, REMOTE = 0xC0,
       LOGICAL = 0xD0, FORMAT = 0xE0, SPURIOUS = 0xF0, IN_SERVICE = 0x100, TRIGGER = 0x180, REQUESTS = 0x200, ERRORS = 0x280,
       COMMAND = 0x300, COMMAND_HIGH = 0x310, LVT = 0x320, LVT_LINT0 = 0x350, INITIAL = 0x380, CURRENT = 0x390, DIVIDE = 0x3E0 };
enum { IO = 0xFEC00000, SELECT = 0, WINDOW = 0x10, IO_ID = 0, IO_VERSION = 1, IO_ARBITRATION = 2, ENTRIES = 0x10 };
enum { MASKED = 1 << 16, PERIODIC = 1 << 17, LEVEL = 1 << 15, LOGICAL_MODE = 1 << 11, ENABLED = 1 << 8, EXTINT = 7 << 8 };
enum { TO_SELF = 1 << 18, TO_ALL = 2 << 18, TO_OTHERS = 3 << 18, SEND_INIT = 5 << 8, SEND_STARTUP = 6 << 8, SMI = 2 << 8, NMI = 4 << 8, ASSERT = 1 << 14 };
enum { MASTER = 0x20, MASTER_DATA = 0x21, SLAVE = 0xA0, SLAVE_DATA = 0xA1, READ_REQUESTS = 0x0A, PIC_BASE = 0x40, SPURIOUS_VECTOR = 0xFF };
enum { TIMER_COUNT = 0x40, TIMER_CONTROL = 0x43, ONE_SHOT = 0x30, RATE = 0x34, TIMER_INPUT = 2 };
enum { BASE_REGISTER = 0x1B };

static uint32_t taken[16];
static volatile uint32_t taken_count;
static bool ends = true; /* the handler ends the interrupt */

static uint32_t local_read(uint32_t offset)
{
    return *(volatile uint32_t *)(LOCAL + offset);
}

static void local_write(uint32_t offset, uint32_t value)
{
    *(volatile uint32_t *)(LOCAL + offset) = value;
}

static uint32_t io_read(uint32_t index)
{
    *(volatile uint32_t *)(IO + SELECT) = index;
    return *(volatile uint32_t *)(IO + WINDOW);
}

static void io_write(uint32_t index, uint32_t value)
{
    *(volatile uint32_t *)(IO + SELECT) = index;
    *(volatile uint32_t *)(IO + WINDOW) = value;
}

static void io_route(uint32_t input, uint32_t entry)
{
    io_write(ENTRIES + 2 * input + 1, 0);
    io_write(ENTRIES + 2 * input, entry);
}

static void note(struct trap *trap)
{
    taken[taken_count++ & 15] = trap->vector;
    if (ends && trap->vector != SPURIOUS_VECTOR && trap->vector >= PIC_BASE + 16) {
        local_write(EOI, 0);
    }
}

static void open_for_a_moment(void)
{
    __asm__ volatile("sti; nop; nop; nop; nop; cli" : : : "memory");
}

static void show_bits(const char *name, uint32_t offset)
{
    kprintf(", %s", name);
    for (uint32_t vector = 0; vector < VECTORS; vector++) {
        if (local_read(offset + vector / 32 * 16) >> (vector & 31) & 1) {
            kprintf(" %02x", vector);
        }
    }
}

static void show(const char *what)
{
    kprintf("%s: taken", what);
    for (uint32_t i = 0; i < taken_count; i++) {
        kprintf(" %02x", taken[i]);
    }
    taken_count = 0;
    show_bits("requests", REQUESTS);
    show_bits("in service", IN_SERVICE);
    show_bits("level", TRIGGER);
    kprintf(", tpr %02x ppr %02x\n", local_read(TPR), local_read(PPR));
}

static void send_self(uint32_t vector)
{
    local_write(COMMAND, TO_SELF | vector);
}

static void read_all(void)
{
    for (uint32_t offset = 0x20; offset < 0x400; offset += 0x10) {
        uint32_t value = local_read(offset);
        if (value) {
            kprintf("local %03x: %08x\n", offset, value);
        }
    }
    kprintf("errors now %08x\n", local_read(ERRORS));
    kprintf("word %04x, byte %02x\n", *(volatile uint16_t *)(LOCAL + VERSION), *(volatile uint8_t *)(LOCAL + VERSION));
    for (uint32_t index = 0; index < 0x12; index++) {
        kprintf("io %02x: %08x\n", index, io_read(index));
    }
    kprintf("io 3e: %08x, 40: %08x\n", io_read(0x3E), io_read(0x40));
    kprintf("select %08x, byte %02x, other %08x\n", *(volatile uint32_t *)(IO + SELECT), *(volatile uint8_t *)(IO + WINDOW),
            *(volatile uint32_t *)(IO + 0x20));
}

static void write_all(void)
{
    static const uint16_t offsets[] = {ID, VERSION, TPR, ARBITRATION, PPR, LOGICAL, FORMAT, SPURIOUS, ERRORS, COMMAND_HIGH, 0x320, 0x330,
                                       0x340, 0x350, 0x360, 0x370, INITIAL, CURRENT, DIVIDE, 0x3F0, 0x40};
    for (uint32_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        uint32_t before = local_read(offsets[i]), ones, zeroes;
        uint32_t keep = offsets[i] >= LVT && offsets[i] <= 0x370 ? MASKED : offsets[i] == SPURIOUS ? ENABLED : 0;

        local_write(offsets[i], 0xFFFFFFFF);
        ones = local_read(offsets[i]);
        local_write(offsets[i], keep);
        zeroes = local_read(offsets[i]);
        local_write(offsets[i], before);
        kprintf("local %03x: ones %08x, zeroes %08x, again %08x\n", offsets[i], ones, zeroes, local_read(offsets[i]));
    }
    local_write(INITIAL, 0);
    *(volatile uint16_t *)(LOCAL + TPR) = 0x55;
    *(volatile uint8_t *)(LOCAL + TPR) = 0x66;
    kprintf("tpr after a word and a byte: %08x\n", local_read(TPR));
    for (uint32_t index = 0; index < 0x12; index++) {
        io_write(index, 0xFFFFFFFF);
        kprintf("io %02x: ones %08x", index, io_read(index));
        io_write(index, index >= ENTRIES && !(index & 1) ? MASKED : 0);
        kprintf(", zeroes %08x\n", io_read(index));
    }
}

static void priorities(void)
{
    local_write(SPURIOUS, ENABLED | SPURIOUS_VECTOR);
    send_self(0x61);
    send_self(0x93);
    send_self(0x71);
    show("three requests");
    open_for_a_moment();
    show("open");
    send_self(0x61);
    local_write(TPR, 0x60);
    open_for_a_moment();
    show("same class as the task");
    local_write(TPR, 0x5F);
    open_for_a_moment();
    show("lower class");
    local_write(TPR, 0);
    ends = false;
    send_self(0x81);
    open_for_a_moment();
    send_self(0x82);
    send_self(0x71);
    open_for_a_moment();
    show("same and lower class wait");
    send_self(0x91);
    open_for_a_moment();
    show("nested");
    local_write(TPR, 0xA5);
    show("task above");
    local_write(TPR, 0);
    local_write(EOI, 0);
    show("one end");
    open_for_a_moment();
    show("one end, open");
    ends = true;
    local_write(EOI, 0);
    open_for_a_moment();
    show("two ends, open");
    local_write(EOI, 0);
    show("ended without need");
    local_write(COMMAND, TO_SELF | LEVEL | ASSERT | 0xA1);
    show("level");
    open_for_a_moment();
    show("level taken");
    kprintf("errors %08x, command %08x %08x\n", local_read(ERRORS), local_read(COMMAND), local_read(COMMAND_HIGH));
}

static void send(const char *what, uint32_t high, uint32_t low)
{
    local_write(COMMAND_HIGH, high);
    local_write(COMMAND, low);
    open_for_a_moment();
    kprintf("command %08x %08x, ", local_read(COMMAND_HIGH), local_read(COMMAND));
    show(what);
}

static void commands(void)
{
    uint32_t logical = local_read(LOGICAL), format = local_read(FORMAT);

    send("by id", 0, 0x50);
    send("absent", 1 << 24, 0x51);
    send("everybody", 0xFFu << 24, 0x52);
    send("all", 0, TO_ALL | 0x53);
    send("others", 0, TO_OTHERS | 0x54);
    send("lowest priority", 0, 1 << 8 | 0x55);
    send("logical, without", 1 << 24, LOGICAL_MODE | 0x56);
    local_write(LOGICAL, 0x12u << 24);
    send("logical", 0x02u << 24, LOGICAL_MODE | 0x57);
    send("logical, other", 0x04u << 24, LOGICAL_MODE | 0x58);
    local_write(FORMAT, 0x0FFFFFFF);
    send("cluster", 0x12u << 24, LOGICAL_MODE | 0x59);
    send("other cluster", 0x22u << 24, LOGICAL_MODE | 0x5A);
    local_write(FORMAT, format);
    local_write(LOGICAL, logical);
    send("init to an absent one", 1 << 24, SEND_INIT | LEVEL | ASSERT);
    send("init, end", 1 << 24, SEND_INIT | LEVEL);
    send("start-up of an absent one", 1 << 24, SEND_STARTUP | 7);
    send("init of the others", 0, TO_OTHERS | SEND_INIT | ASSERT);
    send("start-up of the others", 0, TO_OTHERS | SEND_STARTUP | 7);
    local_write(COMMAND_HIGH, 0);
}

static void switched_off(void)
{
    local_write(SPURIOUS, SPURIOUS_VECTOR);
    send_self(0x50);
    open_for_a_moment();
    show("off");
    local_write(SPURIOUS, ENABLED | SPURIOUS_VECTOR);
    open_for_a_moment();
    show("on again");
}

/* Waits for interrupts with hlt until `count` came. */
static void wait_for(uint32_t count)
{
    while (taken_count < count) {
        cpu_wait_for_interrupt();
        cpu_disable_interrupts();
    }
}

static void timer(void)
{
    static const uint8_t divides[] = {0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xA, 0xB, 0xFF};

    for (uint32_t i = 0; i < sizeof divides; i++) {
        local_write(DIVIDE, divides[i]);
        kprintf("divide %02x: %02x\n", divides[i], local_read(DIVIDE));
    }
    local_write(DIVIDE, 0xB);
    local_write(LVT, MASKED | 0xB0);
    local_write(INITIAL, 1000);
    while (local_read(CURRENT)) {
        cpu_relax();
    }
    show("one shot, masked");
    kprintf("initial %08x, current %08x, timer %08x\n", local_read(INITIAL), local_read(CURRENT), local_read(LVT));
    local_write(LVT, 0xB0);
    open_for_a_moment();
    show("unmasked after the end");
    local_write(INITIAL, 100000);
    wait_for(1);
    show("one shot");
    kprintf("current %08x\n", local_read(CURRENT));
    local_write(LVT, PERIODIC | 0xB1);
    local_write(INITIAL, 20000000);
    wait_for(3);
    local_write(INITIAL, 0);
    open_for_a_moment();
    show("periodic");
    kprintf("initial %08x, current %08x\n", local_read(INITIAL), local_read(CURRENT));
    local_write(LVT, 0xB2);
    local_write(INITIAL, 1000000000);
    uint32_t first = local_read(CURRENT), second = local_read(CURRENT);
    kprintf("counts down: %u\n", first <= 1000000000 && second <= first && second > 0);
    local_write(LVT, MASKED);
    local_write(INITIAL, 0);
}

static void pic_init(uint8_t mask)
{
    port_write_u8(MASTER, 0x11);
    port_write_u8(MASTER_DATA, PIC_BASE);
    port_write_u8(MASTER_DATA, 4);
    port_write_u8(MASTER_DATA, 1);
    port_write_u8(SLAVE, 0x11);
    port_write_u8(SLAVE_DATA, PIC_BASE + 8);
    port_write_u8(SLAVE_DATA, 2);
    port_write_u8(SLAVE_DATA, 1);
    port_write_u8(MASTER_DATA, mask);
    port_write_u8(SLAVE_DATA, 0xFF);
}

/* Sets the 8259 up again, with these lines of the master masked; lets the timer's line go up (8254 data sheet, mode 0). */
static void line_0(uint8_t mask)
{
    port_write_u8(TIMER_CONTROL, ONE_SHOT);
    pic_init(mask);
    port_write_u8(TIMER_COUNT, 100);
    port_write_u8(TIMER_COUNT, 0);
    do {
        port_write_u8(MASTER, READ_REQUESTS);
    } while (!(port_read_u8(MASTER) & 1));
}

static void virtual_wire(void)
{
    local_write(LVT_LINT0, EXTINT | LEVEL);
    line_0(0xFE);
    open_for_a_moment();
    show("8259 through LINT0");
    local_write(LVT_LINT0, EXTINT | MASKED);
    line_0(0xFE);
    open_for_a_moment();
    show("LINT0 masked");
    local_write(LVT_LINT0, EXTINT | LEVEL);
    open_for_a_moment();
    show("LINT0 open");
    local_write(TPR, 0xF0);
    line_0(0xFE);
    open_for_a_moment();
    show("whatever the task's priority");
    local_write(TPR, 0);
    local_write(LVT_LINT0, EXTINT | MASKED);
}

static void io_lines(void)
{
    io_route(TIMER_INPUT, MASKED | 0xC1);
    line_0(0xFF);
    io_route(TIMER_INPUT, 0xC1);
    open_for_a_moment();
    show("edge while masked");
    line_0(0xFF);
    show("edge");
    open_for_a_moment();
    show("edge, open");
    kprintf("entry %08x %08x\n", io_read(ENTRIES + 2 * TIMER_INPUT + 1), io_read(ENTRIES + 2 * TIMER_INPUT));
    io_write(ENTRIES + 2 * TIMER_INPUT + 1, 1 << 24);
    line_0(0xFF);
    open_for_a_moment();
    show("to an absent one");
    io_route(TIMER_INPUT, 0xC2);
    port_write_u8(TIMER_CONTROL, RATE);
    port_write_u8(TIMER_COUNT, 0);
    port_write_u8(TIMER_COUNT, 0x10);
    wait_for(3);
    io_route(TIMER_INPUT, MASKED);
    open_for_a_moment();
    taken_count = 3; /* a slow host lets more ticks come */
    show("ticks wake the CPU");
}

/* The register with its base: writing what was read changes nothing. */
static void base(void)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(BASE_REGISTER));
    kprintf("base %08x %08x\n", high, low);
    __asm__ volatile("wrmsr" : : "a"(low), "d"(high), "c"(BASE_REGISTER));
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(BASE_REGISTER));
    kprintf("base %08x %08x, spurious %08x\n", high, low, local_read(SPURIOUS));
}

static void cpuid(void)
{
    uint32_t a = 1, b, c, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    kprintf("cpuid: APIC %u, id %u\n", d >> 9 & 1, b >> 24);
}

static volatile uint32_t nested_nmi;

static void note_nmi(struct trap *trap)
{
    note(trap);
    if (nested_nmi && taken_count == 1) {
        local_write(COMMAND, TO_SELF | NMI);
        nested_nmi = taken_count; /* it has not come yet */
    }
}

static void nmi(void)
{
    trap_handle(2, note_nmi);
    local_write(COMMAND, TO_SELF | NMI);
    show("NMI, interrupts off");
    local_write(COMMAND, TO_SELF | NMI | 0x77);
    show("NMI with a vector");
    nested_nmi = 99;
    local_write(COMMAND, TO_SELF | NMI);
    kprintf("taken after the first was over: %u\n", nested_nmi);
    show("NMI in the handler of another");
    nested_nmi = 0;
    local_write(COMMAND_HIGH, 1 << 24);
    local_write(COMMAND, NMI);
    show("NMI to an absent one");
    local_write(COMMAND_HIGH, 0);
    local_write(COMMAND, TO_ALL | NMI);
    show("NMI to all");
    local_write(COMMAND, TO_OTHERS | NMI);
    show("NMI to the others");
    local_write(COMMAND, TO_SELF | SMI);
    show("SMI");
    local_write(COMMAND, TO_SELF | LEVEL | SEND_INIT);
    show("end of an INIT");
    local_write(LVT, NMI);
    local_write(DIVIDE, 0xB);
    local_write(INITIAL, 1000);
    while (taken_count == 0) {
        cpu_relax();
    }
    show("NMI of the timer");
    local_write(LVT, MASKED);
    send_self(0x91);
    local_write(COMMAND, TO_SELF | NMI);
    show("NMI before a request");
    open_for_a_moment();
    show("and the request");
}

static void own_vector(void)
{
    local_write(LVT_LINT0, 0xD1);
    line_0(0xFE);
    show("8259 as a vector");
    open_for_a_moment();
    show("8259 as a vector, open");
    port_write_u8(MASTER_DATA, 0xFE);
    open_for_a_moment();
    show("it asks again");
    local_write(LVT_LINT0, MASKED | 0xD1);
    port_write_u8(MASTER_DATA, 0xFE);
    open_for_a_moment();
    show("masked");
}

static void switched_off_for_ever(void)
{
    uint32_t low = LOCAL + 0x1000 + 0x900, high = 0;

    __asm__ volatile("wrmsr" : : "a"(low), "d"(high), "c"(BASE_REGISTER));
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(BASE_REGISTER));
    kprintf("base %08x %08x, version there %08x\n", high, low, local_read(VERSION));
    __asm__ volatile("wrmsr" : : "a"(LOCAL), "d"(0), "c"(BASE_REGISTER));
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(BASE_REGISTER));
    kprintf("base %08x %08x, spurious %08x, version %08x\n", high, low, local_read(SPURIOUS), local_read(VERSION));
    cpuid();
    send_self(0x51);
    open_for_a_moment();
    show("off");
    __asm__ volatile("wrmsr" : : "a"(LOCAL | 0x900), "d"(0), "c"(BASE_REGISTER));
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(BASE_REGISTER));
    kprintf("base %08x %08x, spurious %08x\n", high, low, local_read(SPURIOUS));
    cpuid();
    local_write(LVT_LINT0, EXTINT);
    line_0(0xFE);
    open_for_a_moment();
    show("8259 past the APIC");
    local_write(SPURIOUS, ENABLED | SPURIOUS_VECTOR);
    send_self(0x52);
    open_for_a_moment();
    show("switched on by software");
}


__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    console_init();
    cpuid();
    base();
    read_all();
    traps_init();
    for (uint32_t vector = 32; vector < VECTORS; vector++) {
        trap_handle(vector, note);
    }
    port_write_u8(TIMER_CONTROL, ONE_SHOT);
    pic_init(0xFF);
    write_all();
    priorities();
    commands();
    switched_off();
    timer();
    virtual_wire();
    io_lines();
    nmi();
    own_vector();
    switched_off_for_ever();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
