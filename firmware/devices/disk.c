/*
 * The first IDE channel (ATA/ATAPI-6): identification, sectors by PIO and by the bus master, errors, resets, interrupts. The disk
 * has 20160 sectors of one byte each, number modulo 251; sectors 100 to 199 are written.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "devices/traps.h"

enum { BASE = 0x1F0, CONTROL = 0x3F6, SECTOR = 512, MASTER_ENABLE = 7 };
enum { DATA, ERROR, COUNT, NUMBER, LOW, HIGH, DEVICE, STATUS };
enum { BUSY = 0x80, DATA_REQUEST = 0x08, NO_INTERRUPTS = 2, RESET = 4, PREVIOUS = 0x80 };
enum { MASTER_COMMAND = 0, MASTER_STATUS = 2, MASTER_TABLE = 4 };
enum { PIC_MASTER = 0x20, PIC_SLAVE = 0xA0, VECTOR = 0x70 + 14 - 8 };

static uint8_t buffer[64 * SECTOR] __attribute__((aligned(65536)));
static struct {
    uint32_t address, size;
} table[4] __attribute__((aligned(32)));
static volatile uint32_t interrupts;
static uint32_t master;

static uint8_t in(uint32_t number)
{
    return port_read_u8((uint16_t)(BASE + number));
}

static void out(uint32_t number, uint32_t value)
{
    port_write_u8((uint16_t)(BASE + number), (uint8_t)value);
}

/* Waits for the drive, without settling its interrupt, which comes by then. */
static uint32_t wait(void)
{
    uint32_t status;

    do {
        status = port_read_u8(CONTROL);
    } while (status & BUSY);
    for (uint32_t i = 0; i < 100; i++) {
        cpu_relax();
    }
    return status;
}

static void print_status(const char *what)
{
    uint32_t status = wait();

    kprintf("%s: status %02x, interrupts %d\n", what, status, interrupts);
    (void)in(STATUS);
}

static void print_registers(const char *what)
{
    uint32_t status = wait();

    kprintf("%s: status %02x error %02x count %02x address %02x %02x %02x device %02x, interrupts %d\n", what, status, in(ERROR),
            in(COUNT), in(NUMBER), in(LOW), in(HIGH), in(DEVICE), interrupts);
    (void)in(STATUS);
}

/* Gives a command with a 28-bit address, or whatever else these registers mean. */
static void give(uint32_t command, uint32_t device, uint32_t address, uint32_t count)
{
    (void)wait();
    out(DEVICE, device | (address >> 24 & 15));
    out(COUNT, count);
    out(NUMBER, address);
    out(LOW, address >> 8);
    out(HIGH, address >> 16);
    out(STATUS, command);
    (void)wait();
}

/* ... with a 48-bit one. */
static void give_extended(uint32_t command, uint32_t high, uint32_t low, uint32_t count)
{
    (void)wait();
    out(DEVICE, 0xE0);
    out(COUNT, count >> 8);
    out(NUMBER, low >> 24);
    out(LOW, high);
    out(HIGH, high >> 8);
    out(COUNT, count);
    out(NUMBER, low);
    out(LOW, low >> 8);
    out(HIGH, low >> 16);
    out(STATUS, command);
    (void)wait();
}

static void read16(uint8_t *to, uint32_t words)
{
    __asm__ volatile("rep insw" : "+D"(to), "+c"(words) : "d"(BASE) : "memory");
}

static void read32(uint8_t *to, uint32_t words)
{
    __asm__ volatile("rep insl" : "+D"(to), "+c"(words) : "d"(BASE) : "memory");
}

static void write16(const uint8_t *from, uint32_t words)
{
    __asm__ volatile("rep outsw" : "+S"(from), "+c"(words) : "d"(BASE) : "memory");
}

static void write32(const uint8_t *from, uint32_t words)
{
    __asm__ volatile("rep outsl" : "+S"(from), "+c"(words) : "d"(BASE) : "memory");
}

static void fill(uint32_t size, uint32_t value)
{
    for (uint32_t i = 0; i < size; i++) {
        buffer[i] = (uint8_t)value;
    }
}

static uint32_t sum(uint32_t size)
{
    uint32_t result = 0;

    for (uint32_t i = 0; i < size; i++) {
        result = result * 31 + buffer[i];
    }
    return result;
}

/* The words that are not 0, and then the texts. */
static void identify(void)
{
    give(0xEC, 0xA0, 0, 0);
    print_status("IDENTIFY");
    read16(buffer, 256);
    kprintf("after it: status %02x, one more word %04x\n", wait(), port_read_u16(BASE));
    const uint16_t *words = (const uint16_t *)(const void *)buffer;
    for (uint32_t i = 0; i < 256; i++) {
        if (words[i]) {
            kprintf("word %d: %04x\n", i, words[i]);
        }
    }
}

static void pio_read(void)
{
    give(0x20, 0xE0, 5, 3);
    for (uint32_t i = 0; i < 3; i++) {
        print_status("READ");
        fill(SECTOR, 0);
        read16(buffer, 256);
        kprintf("sector %d: %02x %02x, sum %08x\n", 5 + i, buffer[0], buffer[511], sum(SECTOR));
    }
    print_registers("READ");
    give(0x21, 0xE0, 20159, 1);
    kprintf("the last one in single words: %04x %08x", port_read_u16(BASE), port_read_u32(BASE));
    fill(SECTOR, 0);
    read32(buffer, 126);
    kprintf(" %04x, sum %08x\n", port_read_u16(BASE), sum(504));
    print_registers("READ of the last");
    give(0x20, 0xA0, 0x010203, 1); /* CHS 258/0/3 */
    print_registers("READ CHS that is too far");
    give(0x20, 0xA2, 0x000103, 2); /* 1/2/3 */
    read32(buffer, 128);
    (void)wait();
    read32(buffer + SECTOR, 128);
    kprintf("READ CHS: %02x %02x\n", buffer[0], buffer[512]);
    print_registers("READ CHS");
    give_extended(0x24, 0, 300, 0x0102);
    for (uint32_t i = 0; i < 0x102; i++) {
        (void)wait();
        read32(buffer, 128);
    }
    kprintf("READ EXT: %02x\n", buffer[0]);
    print_registers("READ EXT");
    give(0x20, 0xE0, 20150, 0);
    for (uint32_t i = 0; i < 10; i++) {
        read16(buffer, 256);
        (void)wait();
    }
    print_registers("READ beyond the end");
}

static void pio_write(void)
{
    fill(2 * SECTOR, 0x5A);
    give(0x30, 0xE0, 100, 2);
    print_status("WRITE");
    write16(buffer, 256);
    print_status("WRITE");
    write32(buffer, 128);
    print_registers("WRITE");
    fill(3 * SECTOR, 0);
    give(0xC4, 0xE0, 99, 3);
    read16(buffer, 3 * 256);
    kprintf("READ MULTIPLE: %02x %02x %02x\n", buffer[0], buffer[SECTOR], buffer[2 * SECTOR]);
    print_registers("READ MULTIPLE");
    fill(20 * SECTOR, 0xA5);
    give(0xC5, 0xE0, 110, 20);
    write16(buffer, 16 * 256);
    (void)wait();
    write16(buffer, 4 * 256);
    print_registers("WRITE MULTIPLE");
    give_extended(0x34, 0, 150, 1);
    write16(buffer, 256);
    print_registers("WRITE EXT");
    give_extended(0x24, 0, 150, 1);
    read16(buffer, 256);
    kprintf("READ EXT: %02x\n", buffer[511]);
    give(0x30, 0xE0, 20160, 1);
    write16(buffer, 256);
    print_registers("WRITE beyond the end");
}

static void others(void)
{
    static const uint8_t commands[] = {0x10, 0x40, 0x70, 0x91, 0x94, 0x98, 0xE0, 0xE5, 0xE6, 0xE7, 0xEA, 0xF5, 0xF8,
                                       0x27, 0x00, 0x08, 0x22, 0x50, 0xA0, 0xA1, 0xC0, 0xDE, 0xFF};

    for (uint32_t i = 0; i < sizeof commands; i++) {
        kprintf("%02x ", commands[i]);
        out(ERROR, 0);
        give(commands[i], 0xE0, 7, 1);
        print_registers("command");
    }
}

static void features(void)
{
    static const uint8_t pairs[][2] = {{2, 0}, {0x82, 0}, {3, 0}, {3, 8}, {3, 0x0C}, {3, 0x12}, {3, 0x22},
                                       {3, 0x18}, {3, 0x45}, {0xAA, 0}, {0x55, 0}, {0x99, 0}};

    for (uint32_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        (void)wait();
        out(ERROR, pairs[i][0]);
        give(0xEF, 0xA0, 0, pairs[i][1]);
        kprintf("feature %02x %02x: ", pairs[i][0], pairs[i][1]);
        print_registers("SET FEATURES");
        give(0xEC, 0xA0, 0, 0);
        read16(buffer, 256);
        const uint16_t *words = (const uint16_t *)(const void *)buffer;
        kprintf("    %04x %04x %04x %04x\n", words[62], words[63], words[85], words[88]);
    }
    static const uint8_t multiples[] = {1, 2, 3, 8, 16, 32, 0};
    for (uint32_t i = 0; i < sizeof multiples; i++) {
        give(0xC6, 0xA0, 0, multiples[i]);
        kprintf("multiple %d: ", multiples[i]);
        print_registers("SET MULTIPLE");
    }
    give(0xC4, 0xE0, 0, 1);
    print_registers("READ MULTIPLE when off");
}

static void no_drive(void)
{
    out(DEVICE, 0xB0);
    kprintf("second drive: %02x %02x %02x %02x\n", in(STATUS), in(ERROR), in(COUNT), in(DEVICE));
    out(STATUS, 0xEC);
    kprintf("IDENTIFY: %02x, interrupts %d\n", in(STATUS), interrupts);
    out(DEVICE, 0xA0);
    for (uint32_t i = 0; i < 8; i++) {
        kprintf(" %02x", port_read_u8((uint16_t)(0x170 + i)));
    }
    port_write_u8(0x176, 0xA0);
    port_write_u8(0x177, 0xEC);
    kprintf(", second channel after IDENTIFY %02x %02x\n", port_read_u8(0x177), port_read_u8(0x376));
}

/* Its interrupt may be late, and without a drive nothing else says when it is over. */
static void reset(void)
{
    uint32_t before = interrupts;

    port_write_u8(CONTROL, RESET);
    for (uint32_t i = 0; i < 10000000 && interrupts == before; i++) {
        cpu_relax();
    }
    (void)wait();
    port_write_u8(CONTROL, 0);
}

static void registers(void)
{
    print_registers("at entry");
    kprintf("data %04x %08x %02x\n", port_read_u16(BASE), port_read_u32(BASE), in(DATA));
    out(DEVICE, 0xA0);
    print_registers("the first drive");
    port_write_u8(CONTROL, PREVIOUS);
    kprintf("previous: %02x %02x %02x %02x %02x\n", in(ERROR), in(COUNT), in(NUMBER), in(LOW), in(HIGH));
    for (uint32_t i = ERROR; i <= DEVICE; i++) {
        out(i, 0x11 * i);
        out(i, 0x10 * i);
    }
    print_registers("written");
    port_write_u8(CONTROL, PREVIOUS);
    kprintf("previous: %02x %02x %02x %02x %02x %02x\n", in(ERROR), in(COUNT), in(NUMBER), in(LOW), in(HIGH), in(DEVICE));
    out(DEVICE, 0xA0);
    kprintf("and after a write: %02x\n", in(COUNT));
    out(STATUS, 0x90);
    print_registers("DIAGNOSE");
    reset();
    print_registers("reset");
    port_write_u8(CONTROL, NO_INTERRUPTS);
    give(0xE7, 0xA0, 0, 0);
    print_registers("FLUSH without interrupts");
    port_write_u8(CONTROL, 0);
    give(0x20, 0xE0, 1, 1);
    out(COUNT, 0x77);
    kprintf("a register during a transfer: %02x, status %02x\n", in(COUNT), wait());
    out(STATUS, 0xEC);
    kprintf("a command: %02x\n", wait());
    read16(buffer, 100);
    kprintf("half of it: %02x\n", wait());
    reset();
    print_registers("reset during a transfer");
}

static uint32_t config(uint32_t offset)
{
    port_write_u32(0xCF8, 0x80000900u | offset);
    return port_read_u32(0xCFC);
}

static void print_master(const char *what)
{
    uint32_t status = wait();

    kprintf("%s: drive %02x, master %02x %02x, interrupts %d\n", what, status, port_read_u8((uint16_t)(master + MASTER_COMMAND)),
            port_read_u8((uint16_t)(master + MASTER_STATUS)), interrupts);
    (void)in(STATUS);
}

static void start(uint32_t command)
{
    port_write_u8((uint16_t)(master + MASTER_COMMAND), (uint8_t)command);
    while ((wait() & DATA_REQUEST) && (port_read_u8((uint16_t)(master + MASTER_STATUS)) & 1)) {
    }
}

static void stop(void)
{
    port_write_u8((uint16_t)(master + MASTER_COMMAND), 0);
    port_write_u8((uint16_t)(master + MASTER_STATUS), 6);
}

static void describe(uint32_t first, uint32_t second)
{
    table[0].address = (uint32_t)(uintptr_t)buffer;
    table[0].size = first | (second ? 0 : 0x80000000u);
    table[1].address = (uint32_t)(uintptr_t)buffer + 0x4000;
    table[1].size = second | 0x80000000u;
    port_write_u32((uint16_t)(master + MASTER_TABLE), (uint32_t)(uintptr_t)table);
}

static void dma(void)
{
    master = config(0x20) & 0xFFFC;
    print_master("at entry");
    port_write_u32(0xCF8, 0x80000904u);
    port_write_u32(0xCFC, MASTER_ENABLE);
    port_write_u32((uint16_t)(master + MASTER_TABLE), 0xFFFFFFFFu);
    kprintf("table %08x, wide %08x %04x\n", port_read_u32(master + MASTER_TABLE), port_read_u32(master), port_read_u16(master + 2));
    port_write_u8((uint16_t)(master + MASTER_STATUS), 0xFF);
    port_write_u8((uint16_t)(master + MASTER_COMMAND), 0xF6);
    print_master("all bits but start");

    describe(3 * SECTOR, SECTOR);
    fill(sizeof buffer, 0);
    stop();
    give(0xC8, 0xE0, 10, 4);
    print_master("READ DMA, not started");
    start(9);
    print_master("READ DMA");
    stop();
    print_master("stopped");
    kprintf("sectors %02x %02x %02x %02x, not %02x %02x\n", buffer[0], buffer[512], buffer[1024], buffer[0x4000], buffer[1536],
            buffer[0x4200]);
    print_registers("READ DMA");

    fill(3 * SECTOR, 0x77);
    port_write_u8((uint16_t)(master + MASTER_COMMAND), 1);
    give(0xCA, 0xE0, 160, 3);
    while (!(port_read_u8((uint16_t)(master + MASTER_STATUS)) & 4)) {
    }
    print_master("WRITE DMA, more memory than needed");
    stop();
    give(0x20, 0xE0, 162, 1);
    read16(buffer, 256);
    kprintf("written %02x\n", buffer[0]);

    describe(SECTOR, 0);
    give(0xC8, 0xE0, 10, 2);
    start(9);
    print_master("table too short");
    stop();
    give(0xC8, 0xE0, 20160, 1);
    start(9);
    print_master("READ DMA beyond the end");
    stop();
    print_registers("READ DMA beyond the end");

    describe(0, 0); /* 64 KiB */
    give_extended(0x25, 0, 200, 64);
    start(9);
    print_master("READ DMA EXT");
    stop();
    kprintf("64 sectors, sum %08x\n", sum(64 * SECTOR));
    print_registers("READ DMA EXT");
}

static void taken(struct trap *trap)
{
    (void)trap;
    interrupts++;
    port_write_u8(PIC_SLAVE, 0x20);
    port_write_u8(PIC_MASTER, 0x20);
}

static void interrupts_init(void)
{
    static const uint8_t words[][2] = {{0x11, 0x11}, {0x08, 0x70}, {4, 2}, {1, 1}, {0xFB, 0xBF}};

    port_write_u8(PIC_MASTER, words[0][0]);
    port_write_u8(PIC_SLAVE, words[0][1]);
    for (uint32_t i = 1; i < 5; i++) {
        port_write_u8(PIC_MASTER + 1, words[i][0]);
        port_write_u8(PIC_SLAVE + 1, words[i][1]);
    }
    traps_init();
    trap_handle(VECTOR, taken);
    cpu_enable_interrupts();
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    console_init();
    interrupts_init();
    registers();
    identify();
    pio_read();
    pio_write();
    others();
    no_drive();
    dma();
    features();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
