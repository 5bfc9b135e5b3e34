/*
 * Draws the screen that the last letter of its command line names, for pictures of it: graphics through the display interface of Bochs in
 * every depth, scrolled, through the window at 0xA0000 and in planes; the VGA's own modes; text.
 */

#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/multiboot.h"
#include "common/vga_text.h"

enum { INDEX = 0x1CE, DATA = 0x1CF };
enum { WIDTH = 1, HEIGHT, DEPTH, ENABLE, BANK, VIRTUAL_WIDTH, X_OFFSET = 8, Y_OFFSET };
enum { ON = 0x01, DAC_8_BITS = 0x20, LINEAR = 0x40 };
enum { CRTC = 0x3D4, SEQUENCER = 0x3C4, GRAPHICS = 0x3CE, ATTRIBUTE = 0x3C0, STATUS = 0x3DA, MISCELLANEOUS = 0x3C2 };
enum { DAC_WRITE = 0x3C8, DAC_DATA = 0x3C9 };

static volatile uint8_t *const frame = (volatile uint8_t *)0xFD000000u;
static volatile uint8_t *const window = (volatile uint8_t *)0xA0000u;
static volatile uint16_t *const cells = (volatile uint16_t *)0xB8000u;

static void out16(uint32_t port, uint32_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"((uint16_t)value), "Nd"((uint16_t)port));
}

static void set(uint32_t number, uint32_t value)
{
    out16(INDEX, number);
    out16(DATA, value);
}

static void set_mode(uint32_t width, uint32_t height, uint32_t depth, uint32_t enable)
{
    set(ENABLE, 0);
    set(WIDTH, width);
    set(HEIGHT, height);
    set(DEPTH, depth);
    set(ENABLE, enable);
}

static void put(uint32_t port, uint32_t number, uint32_t value) { out16(port, value << 8 | number); }

static void attribute(uint32_t number, uint32_t value)
{
    (void)port_read_u8(STATUS);
    port_write_u8(ATTRIBUTE, (uint8_t)number);
    port_write_u8(ATTRIBUTE, (uint8_t)value);
    port_write_u8(ATTRIBUTE, 0x20);
}

/* All colours of 3 bits of red and green and 2 of blue. */
static void palette(uint32_t bits)
{
    port_write_u8(DAC_WRITE, 0);
    for (uint32_t i = 0; i < 256; i++) {
        port_write_u8(DAC_DATA, (uint8_t)((i >> 5) * ((1u << bits) - 1) / 7));
        port_write_u8(DAC_DATA, (uint8_t)((i >> 2 & 7) * ((1u << bits) - 1) / 7));
        port_write_u8(DAC_DATA, (uint8_t)((i & 3) * ((1u << bits) - 1) / 3));
    }
}

/* Smooth in x and y, and a diagonal that shows where lines begin. */
static void draw(uint32_t width, uint32_t height, uint32_t pitch, uint32_t depth)
{
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            uint32_t red = x * 255 / width, green = y * 255 / height, blue = (x ^ y) & 255, pixel = 0;
            uint32_t bytes = (depth + 7) / 8;
            if (x == y) {
                red = green = blue = 255;
            }
            if (depth == 8) {
                pixel = (red & 0xE0) | (green & 0xE0) >> 3 | blue >> 6;
            } else if (depth == 15) {
                pixel = red >> 3 << 10 | green >> 3 << 5 | blue >> 3;
            } else if (depth == 16) {
                pixel = red >> 3 << 11 | green >> 2 << 5 | blue >> 3;
            } else {
                pixel = red << 16 | green << 8 | blue;
            }
            for (uint32_t i = 0; i < bytes; i++) {
                frame[y * pitch + x * bytes + i] = (uint8_t)(pixel >> 8 * i);
            }
        }
    }
}

static void scrolled(void)
{
    set_mode(320, 240, 32, ON | LINEAR);
    set(VIRTUAL_WIDTH, 400);
    set(X_OFFSET, 21);
    set(Y_OFFSET, 17);
    draw(400, 300, 1600, 32);
}

static void through_the_window(void)
{
    set_mode(640, 400, 8, ON | DAC_8_BITS);
    palette(8);
    for (uint32_t i = 0; i < 640 * 400; i++) {
        if (i % 0x10000 == 0) {
            set(BANK, i / 0x10000);
        }
        window[i % 0x10000] = (uint8_t)(i / 640 + i % 640);
    }
}

/* A mode of the VGA, as a BIOS sets it: 640 x 480 in 16 colours, or 320 x 200 in 256. */
static void set_vga_mode(int chain4)
{
    static const uint8_t fine[] = {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0, 0x40, 0, 0, 0, 0, 0, 0,
                                   0xEA, 0x8C, 0xDF, 0x28, 0,    0xE7, 0x04, 0xE3, 0xFF};
    static const uint8_t coarse[] = {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0, 0x41, 0, 0, 0, 0, 0, 0,
                                     0x9C, 0x8E, 0x8F, 0x28, 0x40, 0x96, 0xB9, 0xA3, 0xFF};

    port_write_u8(MISCELLANEOUS, chain4 ? 0x63 : 0xE3);
    put(SEQUENCER, 1, 1);
    put(SEQUENCER, 2, 15);
    put(SEQUENCER, 4, chain4 ? 0x0E : 0x06);
    put(CRTC, 0x11, 0);
    for (uint32_t i = 0; i < sizeof fine; i++) {
        put(CRTC, i, chain4 ? coarse[i] : fine[i]);
    }
    for (uint32_t i = 0; i < 9; i++) {
        put(GRAPHICS, i, i == 5 && chain4 ? 0x40 : i == 6 ? 5 : i == 7 ? 15 : i == 8 ? 0xFF : 0);
    }
    attribute(0x10, chain4 ? 0x41 : 0x01);
}

static void sixteen_colours(void)
{
    set_vga_mode(0);
    for (uint32_t i = 0; i < 0x10000; i++) {
        window[i] = 0;
    }
    put(GRAPHICS, 5, 2); /* bytes are colours */
    for (uint32_t y = 0; y < 480; y++) {
        for (uint32_t x = 0; x < 80; x++) {
            put(GRAPHICS, 8, 0xFFu >> (y & 7));
            (void)window[y * 80 + x];
            window[y * 80 + x] = (uint8_t)(x / 5 + y / 30);
        }
    }
    put(CRTC, 0x0D, 3); /* 24 pixels to the left */
    put(CRTC, 0x07, 0x2E); /* after line 100 the screen begins at the start of memory */
    put(CRTC, 0x09, 0x00);
    put(CRTC, 0x18, 100);
}

static void bytes_of_pixels(int is_unchained)
{
    set_vga_mode(1);
    palette(6);
    if (is_unchained) { /* mode X, 320 x 240 */
        put(SEQUENCER, 4, 6);
        put(CRTC, 0x14, 0);
        put(CRTC, 0x17, 0xE3);
        put(CRTC, 0x06, 0x0D);
        put(CRTC, 0x07, 0x3E);
        put(CRTC, 0x12, 0xDF);
    }
    for (uint32_t plane = 0; plane < (is_unchained ? 4 : 1); plane++) {
        put(SEQUENCER, 2, is_unchained ? 1u << plane : 15);
        for (uint32_t i = 0; i < (is_unchained ? 320 * 240 / 4 : 320 * 200); i++) {
            uint32_t pixel = is_unchained ? i * 4 + plane : i;
            window[i] = (uint8_t)(pixel / 320 + pixel % 320);
        }
    }
}

static void four_colours(void)
{
    static const uint8_t coarse[] = {0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0, 0xC1, 0, 0, 0, 0, 0, 0,
                                     0x9C, 0x8E, 0x8F, 0x14, 0,    0x96, 0xB9, 0xA2, 0xFF};

    put(SEQUENCER, 1, 9);
    put(SEQUENCER, 2, 3);
    put(SEQUENCER, 4, 2);
    put(CRTC, 0x11, 0);
    for (uint32_t i = 0; i < sizeof coarse; i++) {
        put(CRTC, i, coarse[i]);
    }
    for (uint32_t i = 0; i < 9; i++) {
        put(GRAPHICS, i, i == 5 ? 0x30 : i == 6 ? 0x0F : i == 8 ? 0xFF : 0);
    }
    attribute(0x10, 1);
    attribute(0x12, 3);
    for (uint32_t i = 0; i < 0x2000; i++) {
        cells[i] = (uint16_t)(i * 0x0601);
    }
}

/* Every character in every colour; a font of its own, if it is asked for, of which no shape is another font's. */
static void text(int has_font)
{
    if (has_font) {
        put(SEQUENCER, 2, 4);
        put(SEQUENCER, 4, 6);
        put(GRAPHICS, 5, 0);
        put(GRAPHICS, 6, 4);
        for (uint32_t i = 0; i < 256 * 32; i++) {
            window[i] = (uint8_t)(i / 32 * (i % 32 + 1) + i % 3);
        }
        put(SEQUENCER, 2, 3);
        put(SEQUENCER, 4, 2);
        put(GRAPHICS, 5, 0x10);
        put(GRAPHICS, 6, 0x0E);
    }
    for (uint32_t i = 0; i < 80 * 26; i++) {
        cells[i] = (uint16_t)((i + i / 80) << 8 | (i & 0xFF));
    }
    put(CRTC, 0x0C, 0);
    put(CRTC, 0x0D, 80); /* one line further down */
    put(CRTC, 0x0A, has_font ? 0x20 : 0x0D);
    put(CRTC, 0x0B, 0x0E);
    put(CRTC, 0x0E, 0x01);
    put(CRTC, 0x0F, 0x23);
}

static void show(char screen)
{
    switch (screen) {
    case 'a':
        set_mode(640, 480, 32, ON | LINEAR);
        draw(640, 480, 2560, 32);
        break;
    case 'b':
        set_mode(800, 600, 24, ON | LINEAR);
        draw(800, 600, 2400, 24);
        break;
    case 'c':
        set_mode(640, 480, 16, ON | LINEAR);
        draw(640, 480, 1280, 16);
        break;
    case 'd':
        set_mode(320, 200, 15, ON | LINEAR);
        draw(320, 200, 640, 15);
        break;
    case 'e':
        set_mode(640, 480, 8, ON | LINEAR);
        palette(6);
        draw(640, 480, 640, 8);
        break;
    case 'f':
        through_the_window();
        break;
    case 'g':
        scrolled();
        break;
    case 'h':
        sixteen_colours();
        break;
    case 'i':
        bytes_of_pixels(0);
        break;
    case 'j':
        bytes_of_pixels(1);
        break;
    case 'k':
        four_colours();
        break;
    case 'l':
        text(1);
        break;
    case 'm':
        text(0);
        break;
    default:
        set_mode(640, 480, 32, ON | LINEAR);
        draw(640, 480, 2560, 32);
        (void)port_read_u8(STATUS);
        port_write_u8(ATTRIBUTE, 0); /* the screen is off */
    }
}

__attribute__((noreturn)) void kmain(uint32_t magic, const struct multiboot_info *info);

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    const char *letter = (const char *)info->cmdline;

    (void)magic;
    console_init();
    while (letter[1] != '\0') {
        letter++;
    }
    show(*letter);
    kprintf("ready\n");
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}
