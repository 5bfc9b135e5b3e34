/*
 * Power management of ACPI (ACPI 1.0b, 4.7.3) where QEMU's `pc` has it: status, enable and control registers at ports
 * 600h to 605h, a timer of 3.579545 MHz and 24 bits at 608h.
 */

#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"

enum { STATUS = 0x600, ENABLE = 0x602, CONTROL = 0x604, TIMER = 0x608, GENERAL_STATUS = 0xAFE0, GENERAL_ENABLE = 0xAFE2 };

static uint16_t read_u16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void write_u16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static uint32_t read_u32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void show(const char *what)
{
    kprintf("%s: status %04x, enable %04x, control %04x\n", what, read_u16(STATUS), read_u16(ENABLE), read_u16(CONTROL) & ~1u);
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    uint32_t before, after;

    console_init();
    write_u16(STATUS, 0xFFFF); /* the timer may have passed its middle */
    show("first");
    write_u16(ENABLE, 0x0320);
    show("enabled");
    write_u16(ENABLE, 0xFFFE);
    show("all but the timer");
    write_u16(ENABLE, 0);
    write_u16(CONTROL, 0x0001);
    show("control 1");
    write_u16(CONTROL, 0x1C07);
    show("control 1c07");
    write_u16(CONTROL, 0x0001);
    kprintf("bytes %02x %02x\n", port_read_u8(ENABLE), port_read_u8(CONTROL));
    kprintf("general %02x %02x\n", port_read_u8(GENERAL_STATUS), port_read_u8(GENERAL_ENABLE));
    before = read_u32(TIMER);
    do {
        after = read_u32(TIMER);
    } while (after == before);
    kprintf("timer: %u bits, goes on %u\n", 24, before < 1u << 24 && ((after - before) & 0xFFFFFF) < 1u << 23);
    do {
        after = read_u32(TIMER);
    } while (((after - before) & 0xFFFFFF) < 3580);
    kprintf("a millisecond is over\n");
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
