/*
 * Power management of ACPI (ACPI 1.0b, 4.7.3) where QEMU's `pc` has it: status, enable and control registers at ports
 * 600h to 605h, a timer of 3.579545 MHz and 24 bits at 608h.
 */

#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"

enum { STATUS = 0x600, ENABLE = 0x602, CONTROL = 0x604, TIMER = 0x608, GENERAL_STATUS = 0xAFE0, GENERAL_ENABLE = 0xAFE2 };

static void show(const char *what)
{
    kprintf("%s: status %04x, enable %04x, control %04x\n", what, port_read_u16(STATUS), port_read_u16(ENABLE), port_read_u16(CONTROL) & ~1u);
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    uint32_t before, after;

    console_init();
    port_write_u16(STATUS, 0xFFFF); /* the timer may have passed its middle */
    show("first");
    port_write_u16(ENABLE, 0x0320);
    show("enabled");
    port_write_u16(ENABLE, 0xFFFE);
    show("all but the timer");
    port_write_u16(ENABLE, 0);
    port_write_u16(CONTROL, 0x0001);
    show("control 1");
    port_write_u16(CONTROL, 0x1C07);
    show("control 1c07");
    port_write_u16(CONTROL, 0x0001);
    kprintf("bytes %02x %02x\n", port_read_u8(ENABLE), port_read_u8(CONTROL));
    kprintf("general %02x %02x\n", port_read_u8(GENERAL_STATUS), port_read_u8(GENERAL_ENABLE));
    before = port_read_u32(TIMER);
    do {
        after = port_read_u32(TIMER);
    } while (after == before);
    kprintf("timer: %u bits, goes on %u\n", 24, before < 1u << 24 && ((after - before) & 0xFFFFFF) < 1u << 23);
    do {
        after = port_read_u32(TIMER);
    } while (((after - before) & 0xFFFFFF) < 3580);
    kprintf("a millisecond is over\n");
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
