/*
 * The text screen's controller (IBM VGA Technical Reference): CRTC registers and cursor, sequencer, graphics and attribute
 * registers in the mode in which a BIOS leaves them, status and retrace, the palette.
 */

#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"

enum { CRTC = 0x3D4, SEQUENCER = 0x3C4, GRAPHICS = 0x3CE, ATTRIBUTE = 0x3C0, ATTRIBUTE_READ = 0x3C1 };
enum { STATUS = 0x3DA, MISCELLANEOUS = 0x3CC, DAC_READ = 0x3C7, DAC_WRITE = 0x3C8, DAC_DATA = 0x3C9, DAC_MASK = 0x3C6 };
enum { CURSOR_START = 0x0A, CURSOR_HIGH = 0x0E, CURSOR_LOW = 0x0F, RETRACE = 8, ROUNDS = 1000000 };

static uint8_t get(uint16_t port, uint8_t number)
{
    port_write_u8(port, number);
    return port_read_u8((uint16_t)(port + 1));
}

static void set(uint16_t port, uint8_t number, uint8_t value)
{
    port_write_u8(port, number);
    port_write_u8((uint16_t)(port + 1), value);
}

static void show(const char *name, uint16_t port, uint8_t count)
{
    kprintf("%s:", name);
    for (uint8_t number = 0; number < count; number++) {
        if (port == CRTC && (number == CURSOR_HIGH || number == CURSOR_LOW)) {
            kprintf(" .."); /* where the BIOS has written last */
        } else {
            kprintf(" %02x", get(port, number));
        }
    }
    kprintf("\n");
}

static void attributes(void)
{
    kprintf("attributes:");
    for (uint8_t number = 0; number < 0x15; number++) {
        (void)port_read_u8(STATUS); /* the next write is an index */
        port_write_u8(ATTRIBUTE, number);
        kprintf(" %02x", port_read_u8(ATTRIBUTE_READ));
    }
    (void)port_read_u8(STATUS);
    port_write_u8(ATTRIBUTE, 0x20); /* the screen is on again */
    kprintf("\n");
}

static void palette(void)
{
    kprintf("palette mask %02x:", port_read_u8(DAC_MASK));
    port_write_u8(DAC_READ, 0);
    for (uint32_t i = 0; i < 3 * 8; i++) {
        kprintf(" %02x", port_read_u8(DAC_DATA));
    }
    port_write_u8(DAC_WRITE, 5);
    port_write_u8(DAC_DATA, 0x11);
    port_write_u8(DAC_DATA, 0x22);
    port_write_u8(DAC_DATA, 0x33);
    port_write_u8(DAC_READ, 5);
    kprintf(", written");
    for (uint32_t i = 0; i < 3; i++) {
        kprintf(" %02x", port_read_u8(DAC_DATA));
    }
    kprintf("\n");
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    console_init();
    kprintf("miscellaneous %02x\n", port_read_u8(MISCELLANEOUS));
    show("CRTC", CRTC, 0x19);
    show("sequencer", SEQUENCER, 5);
    show("graphics", GRAPHICS, 9);
    attributes();
    palette();
    set(CRTC, CURSOR_HIGH, 0x03);
    set(CRTC, CURSOR_LOW, 0x45);
    kprintf("cursor %02x%02x\n", get(CRTC, CURSOR_HIGH), get(CRTC, CURSOR_LOW));
    set(CRTC, CURSOR_START, 0x20);
    kprintf("cursor off %02x\n", get(CRTC, CURSOR_START));
    kprintf("index reads %02x\n", port_read_u8(CRTC));
    uint32_t seen = 0;
    for (uint32_t i = 0; i < ROUNDS && seen != 3; i++) {
        seen |= (port_read_u8(STATUS) & RETRACE) != 0 ? 2 : 1;
    }
    kprintf("retrace %s\n", seen == 3 ? "comes and goes" : "stays");
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
