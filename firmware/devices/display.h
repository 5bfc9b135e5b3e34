/* The graphics adapter: the display interface of Bochs, and modes of the VGA. */

#ifndef DEVICES_DISPLAY_H
#define DEVICES_DISPLAY_H

#include <stdint.h>

#include "common/cpu.h"

enum { DISPLAY_INDEX = 0x1CE, DISPLAY_DATA = 0x1CF };
enum { ID, WIDTH, HEIGHT, DEPTH, ENABLE, BANK, VIRTUAL_WIDTH, VIRTUAL_HEIGHT, X_OFFSET, Y_OFFSET, MEMORY, REGISTERS };
enum { ON = 0x01, LARGEST = 0x02, DAC_8_BITS = 0x20, LINEAR = 0x40, KEEP_MEMORY = 0x80 }; /* of ENABLE */
enum { CRTC = 0x3D4, SEQUENCER = 0x3C4, GRAPHICS = 0x3CE, ATTRIBUTE = 0x3C0, STATUS = 0x3DA, MISCELLANEOUS = 0x3C2 };
enum { DAC_READ = 0x3C7, DAC_WRITE = 0x3C8, DAC_DATA = 0x3C9 };

static inline uint16_t display_get(uint16_t number)
{
    port_write_u16(DISPLAY_INDEX, number);
    return port_read_u16(DISPLAY_DATA);
}

static inline void display_set(uint16_t number, uint32_t value)
{
    port_write_u16(DISPLAY_INDEX, number);
    port_write_u16(DISPLAY_DATA, (uint16_t)value);
}

static inline void display_set_mode(uint32_t width, uint32_t height, uint32_t depth, uint32_t enable)
{
    display_set(ENABLE, 0);
    display_set(WIDTH, width);
    display_set(HEIGHT, height);
    display_set(DEPTH, depth);
    display_set(ENABLE, enable);
}

/* A register of the VGA, by an index port and the data port after it. */
static inline void vga_put(uint16_t port, uint32_t number, uint32_t value) { port_write_u16(port, (uint16_t)(value << 8 | number)); }

/* One of the attribute controller, which shows the screen after that. */
static inline void vga_put_attribute(uint32_t number, uint32_t value)
{
    (void)port_read_u8(STATUS);
    port_write_u8(ATTRIBUTE, (uint8_t)number);
    port_write_u8(ATTRIBUTE, (uint8_t)value);
    port_write_u8(ATTRIBUTE, 0x20);
}

/* A mode of the VGA, as a BIOS sets it: 640 x 480 in 16 colours, or 320 x 200 in 256. */
static inline void vga_set_mode(int chain4)
{
    static const uint8_t fine[] = {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0, 0x40, 0, 0, 0, 0, 0, 0,
                                   0xEA, 0x8C, 0xDF, 0x28, 0,    0xE7, 0x04, 0xE3, 0xFF};
    static const uint8_t coarse[] = {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0, 0x41, 0, 0, 0, 0, 0, 0,
                                     0x9C, 0x8E, 0x8F, 0x28, 0x40, 0x96, 0xB9, 0xA3, 0xFF};

    port_write_u8(MISCELLANEOUS, chain4 ? 0x63 : 0xE3);
    vga_put(SEQUENCER, 0, 3);
    vga_put(SEQUENCER, 1, 1);
    vga_put(SEQUENCER, 2, 15);
    vga_put(SEQUENCER, 3, 0);
    vga_put(SEQUENCER, 4, chain4 ? 0x0E : 0x06);
    vga_put(CRTC, 0x11, 0);
    for (uint32_t i = 0; i < sizeof fine; i++) {
        vga_put(CRTC, i, chain4 ? coarse[i] : fine[i]);
    }
    for (uint32_t i = 0; i < 9; i++) {
        vga_put(GRAPHICS, i, i == 5 && chain4 ? 0x40 : i == 6 ? 5 : i == 7 ? 15 : i == 8 ? 0xFF : 0);
    }
    for (uint32_t i = 0; i < 16; i++) {
        vga_put_attribute(i, i);
    }
    vga_put_attribute(0x10, chain4 ? 0x41 : 0x01);
}

#endif
