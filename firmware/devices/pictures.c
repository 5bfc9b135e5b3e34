/*
 * Draws the screen that the last letter of its command line names, for pictures of it: graphics through the display interface of Bochs in
 * every depth, scrolled, through the window at 0xA0000 and in planes; the VGA's own modes; text.
 */

#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/multiboot.h"
#include "common/vga_text.h"
#include "devices/display.h"


static volatile uint8_t *const frame = (volatile uint8_t *)0xFD000000u;
static volatile uint8_t *const window = (volatile uint8_t *)0xA0000u;
static volatile uint16_t *const cells = (volatile uint16_t *)0xB8000u;

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
    display_set_mode(320, 240, 32, ON | LINEAR);
    display_set(VIRTUAL_WIDTH, 400);
    display_set(X_OFFSET, 21);
    display_set(Y_OFFSET, 17);
    draw(400, 300, 1600, 32);
}

static void through_the_window(void)
{
    display_set_mode(640, 400, 8, ON | DAC_8_BITS);
    palette(8);
    for (uint32_t i = 0; i < 640 * 400; i++) {
        if (i % 0x10000 == 0) {
            display_set(BANK, i / 0x10000);
        }
        window[i % 0x10000] = (uint8_t)(i / 640 + i % 640);
    }
}

static void sixteen_colours(void)
{
    vga_set_mode(0);
    for (uint32_t i = 0; i < 0x10000; i++) {
        window[i] = 0;
    }
    vga_put(GRAPHICS, 5, 2); /* bytes are colours */
    for (uint32_t y = 0; y < 480; y++) {
        for (uint32_t x = 0; x < 80; x++) {
            vga_put(GRAPHICS, 8, 0xFFu >> (y & 7));
            (void)window[y * 80 + x];
            window[y * 80 + x] = (uint8_t)(x / 5 + y / 30);
        }
    }
    vga_put(CRTC, 0x0D, 3); /* 24 pixels to the left */
    vga_put(CRTC, 0x07, 0x2E); /* after line 100 the screen begins at the start of memory */
    vga_put(CRTC, 0x09, 0x00);
    vga_put(CRTC, 0x18, 100);
}

static void bytes_of_pixels(int is_unchained)
{
    vga_set_mode(1);
    palette(6);
    if (is_unchained) { /* mode X, 320 x 240 */
        vga_put(SEQUENCER, 4, 6);
        vga_put(CRTC, 0x14, 0);
        vga_put(CRTC, 0x17, 0xE3);
        vga_put(CRTC, 0x06, 0x0D);
        vga_put(CRTC, 0x07, 0x3E);
        vga_put(CRTC, 0x12, 0xDF);
    }
    for (uint32_t plane = 0; plane < (is_unchained ? 4 : 1); plane++) {
        vga_put(SEQUENCER, 2, is_unchained ? 1u << plane : 15);
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

    vga_put(SEQUENCER, 1, 9);
    vga_put(SEQUENCER, 2, 3);
    vga_put(SEQUENCER, 4, 2);
    vga_put(CRTC, 0x11, 0);
    for (uint32_t i = 0; i < sizeof coarse; i++) {
        vga_put(CRTC, i, coarse[i]);
    }
    for (uint32_t i = 0; i < 9; i++) {
        vga_put(GRAPHICS, i, i == 5 ? 0x30 : i == 6 ? 0x0F : i == 8 ? 0xFF : 0);
    }
    vga_put_attribute(0x10, 1);
    vga_put_attribute(0x12, 3);
    for (uint32_t i = 0; i < 0x2000; i++) {
        cells[i] = (uint16_t)(i * 0x0601);
    }
}

/* Every character in every colour; a font of its own, if it is asked for, of which no shape is another font's. */
static void text(int has_font)
{
    if (has_font) {
        vga_put(SEQUENCER, 2, 4);
        vga_put(SEQUENCER, 4, 6);
        vga_put(GRAPHICS, 5, 0);
        vga_put(GRAPHICS, 6, 4);
        for (uint32_t i = 0; i < 256 * 32; i++) {
            window[i] = (uint8_t)(i / 32 * (i % 32 + 1) + i % 3);
        }
        vga_put(SEQUENCER, 2, 3);
        vga_put(SEQUENCER, 4, 2);
        vga_put(GRAPHICS, 5, 0x10);
        vga_put(GRAPHICS, 6, 0x0E);
    }
    for (uint32_t i = 0; i < 80 * 26; i++) {
        cells[i] = (uint16_t)((i + i / 80) << 8 | (i & 0xFF));
    }
    vga_put(CRTC, 0x0C, 0);
    vga_put(CRTC, 0x0D, 80); /* one line further down */
    vga_put(CRTC, 0x0A, has_font ? 0x20 : 0x0D);
    vga_put(CRTC, 0x0B, 0x0E);
    vga_put(CRTC, 0x0E, 0x01);
    vga_put(CRTC, 0x0F, 0x23);
}

static void show(char screen)
{
    switch (screen) {
    case 'a':
        display_set_mode(640, 480, 32, ON | LINEAR);
        draw(640, 480, 2560, 32);
        break;
    case 'b':
        display_set_mode(800, 600, 24, ON | LINEAR);
        draw(800, 600, 2400, 24);
        break;
    case 'c':
        display_set_mode(640, 480, 16, ON | LINEAR);
        draw(640, 480, 1280, 16);
        break;
    case 'd':
        display_set_mode(320, 200, 15, ON | LINEAR);
        draw(320, 200, 640, 15);
        break;
    case 'e':
        display_set_mode(640, 480, 8, ON | LINEAR);
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
        display_set_mode(640, 480, 32, ON | LINEAR);
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
