/*
 * PCI configuration space by mechanism 1 (PCI Local Bus, revision 3.0, 3.2.2.3.2): accesses of all widths, the functions of
 * the host bridge, the ISA bridge and the IDE controller, and functions that are not there.
 */

#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"

enum { ADDRESS = 0xCF8, DATA = 0xCFC };
enum { HOST = 0, ISA = 1 << 11, IDE = 1 << 11 | 1 << 8, POWER = 1 << 11 | 3 << 8 };
enum { COMMAND = 4, BAR4 = 0x20, CACHE_LINE = 0x0C, LATENCY = 0x0D, LINE = 0x3C };

static void select_register(uint32_t function, uint32_t offset)
{
    port_write_u32(ADDRESS, 0x80000000u | function | (offset & 0xFCu));
}

static uint32_t config(uint32_t function, uint32_t offset)
{
    select_register(function, offset);
    return port_read_u32(DATA);
}

static void set_config(uint32_t function, uint32_t offset, uint32_t value)
{
    select_register(function, offset);
    port_write_u32(DATA, value);
}

static void header(const char *name, uint32_t function)
{
    for (uint32_t offset = 0; offset < 0x40; offset += 16) {
        kprintf("%s %02x: %08x %08x %08x %08x\n", name, offset, config(function, offset), config(function, offset + 4),
                config(function, offset + 8), config(function, offset + 12));
    }
}

/* What the chip itself has, as far as it is not 0. */
static void rest(const char *name, uint32_t function)
{
    for (uint32_t offset = 0x40; offset < 0x100; offset += 4) {
        if (config(function, offset)) {
            kprintf("%s %02x: %08x\n", name, offset, config(function, offset));
        }
    }
}

static void reset_control(void)
{
    kprintf("reset control %02x", port_read_u8(0xCF9));
    port_write_u8(0xCF9, 0xFB);
    kprintf(" %02x", port_read_u8(0xCF9));
    port_write_u8(0xCF9, 0);
    kprintf(" %02x\n", port_read_u8(0xCF9));
}

/* The first register has two different halves: 8086 and the device. */
static void widths(void)
{
    select_register(HOST, 0);
    kprintf("address %08x\n", port_read_u32(ADDRESS));
    kprintf("bytes %02x %02x %02x %02x", port_read_u8(DATA), port_read_u8(DATA + 1), port_read_u8(DATA + 2),
            port_read_u8(DATA + 3));
    kprintf(", words %04x %04x %04x\n", port_read_u16(DATA), port_read_u16(DATA + 1), port_read_u16(DATA + 2));
    port_write_u8(ADDRESS, 0x55);
    port_write_u16(ADDRESS, 0x5555);
    kprintf("address after narrow writes %08x\n", port_read_u32(ADDRESS));
    port_write_u32(ADDRESS, 0xFFFFFFFFu);
    kprintf("all ones %08x\n", port_read_u32(ADDRESS));
    port_write_u32(ADDRESS, 0);
    kprintf("not enabled %08x\n", port_read_u32(DATA));
    port_write_u32(ADDRESS, 0x80000003u);
    kprintf("low bits: address %08x, data %08x\n", port_read_u32(ADDRESS), port_read_u32(DATA));
}

static void absent(void)
{
    static const uint32_t functions[] = {1 << 8, 1 << 11 | 2 << 8, 9 << 11, 31 << 11, 31 << 11 | 7 << 8, 1 << 16, 255 << 16};

    for (uint32_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        set_config(functions[i], COMMAND, 7);
        kprintf("absent %06x: %08x %08x, byte %02x\n", functions[i], config(functions[i], 0),
                config(functions[i], COMMAND), port_read_u8(DATA));
    }
}

/* Everything that can be written to a header, and what it was before. */
static void writable(const char *name, uint32_t function)
{
    for (uint32_t offset = 0; offset < 0x40; offset += 4) {
        uint32_t before = config(function, offset);
        if (offset == COMMAND) {
            continue;
        }
        set_config(function, offset, 0xFFFFFFFFu);
        uint32_t ones = config(function, offset);
        set_config(function, offset, 0);
        uint32_t zeros = config(function, offset);
        set_config(function, offset, before);
        if (ones != zeros) {
            kprintf("%s %02x: %08x to %08x, again %d\n", name, offset, zeros, ones, config(function, offset) == before);
        }
    }
}

static void narrow_writes(void)
{
    uint32_t before = config(IDE, LINE);

    select_register(IDE, LINE);
    port_write_u8(DATA, 0x0E);
    kprintf("one byte written %08x\n", config(IDE, LINE));
    set_config(IDE, LINE, before);
    before = config(IDE, COMMAND);
    select_register(IDE, COMMAND);
    port_write_u16(DATA, 0);
    kprintf("command off %08x\n", config(IDE, COMMAND));
    select_register(IDE, COMMAND);
    port_write_u16(DATA, 0xFFFF);
    kprintf("command all %08x\n", config(IDE, COMMAND));
    select_register(IDE, COMMAND);
    port_write_u16(DATA, before);
    kprintf("command again %08x\n", config(IDE, COMMAND));
    select_register(IDE, BAR4);
    port_write_u16(DATA, 0xFFFF);
    kprintf("half a base %08x\n", config(IDE, BAR4));
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    console_init();
    widths();
    header("host", HOST);
    header("ISA", ISA);
    header("IDE", IDE);
    header("power", POWER);
    kprintf("IDE timing %08x\n", config(IDE, 0x40));
    kprintf("ISA routing %08x\n", config(ISA, 0x60));
    rest("host", HOST);
    rest("ISA", ISA);
    rest("power", POWER);
    absent();
    writable("host", HOST);
    writable("ISA", ISA);
    writable("IDE", IDE);
    writable("power", POWER);
    narrow_writes();
    reset_control();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
