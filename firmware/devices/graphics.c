/*
 * The graphics adapter beyond text: its function of PCI, the display interface of Bochs (QEMU, docs/specs/standard-vga.rst) at ports and
 * in memory, the frame buffer and its window at 0xA0000, and the planes of a VGA (IBM VGA Technical Reference, "Graphics Controller").
 */

#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "devices/display.h"

enum { PCI_ADDRESS = 0xCF8, PCI_DATA = 0xCFC, ADAPTER = 2 << 11 };
enum { DATA_ELSEWHERE = 0x1D0 };

static volatile uint32_t *const pixels = (volatile uint32_t *)0xFD000000u;
static volatile uint32_t *const window = (volatile uint32_t *)0xA0000u;
static volatile uint8_t *const registers = (volatile uint8_t *)0xFEBF0000u;

static void show(const char *name)
{
    kprintf("%s:", name);
    for (uint32_t number = 0; number < REGISTERS + 2; number++) {
        kprintf(" %04x", display_get(number));
    }
    kprintf("\n");
}

/* -- registers ---------------------------------------------------------------------------------- */

static uint32_t config(uint32_t offset)
{
    port_write_u32(PCI_ADDRESS, 0x80000000u | ADAPTER | offset);
    return port_read_u32(PCI_DATA);
}

static void set_config(uint32_t offset, uint32_t value)
{
    port_write_u32(PCI_ADDRESS, 0x80000000u | ADAPTER | offset);
    port_write_u32(PCI_DATA, value);
}

static void pci(void)
{
    for (uint32_t offset = 0; offset < 0x30; offset += 16) { /* after that: its ROM */
        kprintf("PCI %02x: %08x %08x %08x %08x\n", offset, config(offset), config(offset + 4), config(offset + 8),
                config(offset + 12));
    }
    for (uint32_t offset = 8; offset < 0x40; offset += 4) {
        if (offset == 0x30) {
            continue;
        }
        uint32_t before = config(offset);
        set_config(offset, 0xFFFFFFFFu);
        uint32_t ones = config(offset);
        set_config(offset, before);
        if (ones != before) {
            kprintf("PCI %02x: %08x to %08x, again %d\n", offset, before, ones, config(offset) == before);
        }
    }
}

static void identities(void)
{
    kprintf("identities:");
    for (uint32_t id = 0xB0BF; id <= 0xB0C6; id++) {
        display_set(ID, id);
        kprintf(" %04x", display_get(ID));
    }
    display_set(ID, 0xB0C5);
    kprintf("\n");
}

static void widths_of_accesses(void)
{
    port_write_u16(DISPLAY_INDEX, ID);
    kprintf("index %04x, data %04x %04x", port_read_u16(DISPLAY_INDEX), port_read_u16(DISPLAY_DATA), port_read_u16(DATA_ELSEWHERE));
    kprintf(", bytes %02x %02x, double words %08x\n", port_read_u8(DISPLAY_INDEX), port_read_u8(DISPLAY_DATA), port_read_u32(DISPLAY_INDEX));
    port_write_u8(DISPLAY_INDEX, WIDTH);
    port_write_u8(DISPLAY_DATA, 0x40);
    port_write_u16(DATA_ELSEWHERE, 0xB0C4);
    kprintf("index %04x, data %04x\n", port_read_u16(DISPLAY_INDEX), port_read_u16(DISPLAY_DATA));
    port_write_u16(DISPLAY_INDEX, 0x1234);
    kprintf("index %04x, data %04x\n", port_read_u16(DISPLAY_INDEX), port_read_u16(DISPLAY_DATA));
}

static void modes(void)
{
    static const struct {
        uint16_t width, height, depth;
    } wanted[] = {
        {640, 480, 32},   {800, 600, 24},   {1024, 768, 16},  {1280, 1024, 15}, {320, 200, 8},  {640, 480, 4},     {0, 0, 0},
        {643, 481, 7},    {1, 1, 32},       {20000, 100, 8},  {100, 20000, 8},  {0xFFFF, 0xFFFF, 32}, {1366, 768, 32},
    };

    for (uint32_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        display_set_mode(wanted[i].width, wanted[i].height, wanted[i].depth, ON | LINEAR);
        show("mode");
    }
    display_set(ENABLE, ON | LARGEST);
    show("largest");
    display_set_mode(640, 480, 32, ON | LINEAR | KEEP_MEMORY | DAC_8_BITS);
    display_set(VIRTUAL_WIDTH, 1000);
    show("virtual");
    display_set(X_OFFSET, 13);
    display_set(Y_OFFSET, 100);
    show("scrolled");
    display_set(Y_OFFSET, 9000);
    display_set(X_OFFSET, 20000);
    show("too far");
    display_set(VIRTUAL_WIDTH, 100);
    display_set(VIRTUAL_HEIGHT, 5);
    display_set(MEMORY, 5);
    show("too narrow");
    display_set(WIDTH, 801); /* while it is on */
    display_set(BANK, 0x1FF);
    display_set(ENABLE, 0);
    show("off");
}

static void vga_registers(const char *name)
{
    static const struct {
        uint16_t port;
        uint8_t number;
    } some[] = {{CRTC, 1},      {CRTC, 7},      {CRTC, 9},     {CRTC, 0x12},  {CRTC, 0x13}, {CRTC, 0x17},
                {CRTC, 0x18},   {SEQUENCER, 1}, {SEQUENCER, 2}, {SEQUENCER, 4}, {GRAPHICS, 5}, {GRAPHICS, 6}};

    kprintf("%s:", name);
    for (uint32_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        port_write_u8(some[i].port, some[i].number);
        kprintf(" %02x", port_read_u8((uint16_t)(some[i].port + 1)));
    }
    kprintf("\n");
}

static void registers_in_memory(void)
{
    display_set_mode(800, 600, 32, ON | LINEAR);
    volatile uint16_t *words = (volatile uint16_t *)(registers + 0x500);
    kprintf("in memory:");
    for (uint32_t number = 0; number < REGISTERS + 2; number++) {
        kprintf(" %04x", words[number]);
    }
    kprintf(", index %04x\n", port_read_u16(DISPLAY_INDEX));
    kprintf("wide %08x, byte %02x", *(volatile uint32_t *)(registers + 0x502), registers[0x502]);
    kprintf(", beyond %08x, extension %08x %08x %08x\n", *(volatile uint32_t *)(registers + 0x520),
            *(volatile uint32_t *)(registers + 0x600), *(volatile uint32_t *)(registers + 0x604),
            *(volatile uint32_t *)(registers + 0x608));
    *(volatile uint32_t *)(registers + 0x502) = 480u << 16 | 640; /* width and height */
    kprintf("written %04x %04x, index %04x\n", words[WIDTH], words[HEIGHT], port_read_u16(DISPLAY_INDEX));
    *(volatile uint16_t *)(registers + 0x40E) = 0x0508; /* graphics controller, as at port 0x3CE */
    kprintf("VGA %02x %02x, miscellaneous %02x\n", registers[0x40E], registers[0x40F], registers[0x40C]);
    *(volatile uint16_t *)(registers + 0x40E) = 0xFF08;
}

/* -- memory ------------------------------------------------------------------------------------- */

static void frame_buffer(void)
{
    display_set_mode(640, 480, 32, ON | LINEAR);
    uint32_t all = 640 * 480;
    for (uint32_t i = 0; i < all; i++) {
        pixels[i] = i * 2654435761u;
    }
    uint32_t sum = 0;
    for (uint32_t i = 0; i < all; i++) {
        sum = sum * 31 + pixels[i];
    }
    kprintf("pixels %08x, first %08x %08x, last %08x, beyond %08x\n", sum, pixels[0], pixels[1], pixels[all - 1], pixels[all]);
    pixels[(16 << 18) - 1] = 0x12345678; /* the last word of memory */
    kprintf("window %08x", window[1]);
    display_set(BANK, 3);
    kprintf(", bank 3 %08x is %08x", window[1], pixels[3 * 0x4000 + 1]);
    window[2] = 0xCAFEF00Du;
    kprintf(", written %08x", pixels[3 * 0x4000 + 2]);
    display_set(BANK, 0xFF);
    kprintf(", last %08x\n", window[0x3FFF]);
    display_set_mode(640, 480, 32, ON | LINEAR | KEEP_MEMORY);
    kprintf("kept %08x %08x", pixels[1], window[1]);
    display_set_mode(320, 200, 32, ON | LINEAR);
    kprintf(", cleared %08x %08x %08x\n", pixels[1], pixels[320 * 200 - 1], pixels[320 * 200]);
}

static void palette(void)
{
    for (uint32_t bits = 0; bits < 2; bits++) {
        display_set_mode(320, 200, 8, ON | (bits ? DAC_8_BITS : 0));
        port_write_u8(DAC_WRITE, 7);
        port_write_u8(DAC_DATA, 0xFF);
        port_write_u8(DAC_DATA, 0x3F);
        port_write_u8(DAC_DATA, 0x80);
        port_write_u8(DAC_READ, 7);
        kprintf("palette %02x", port_read_u8(DAC_DATA));
        kprintf(" %02x", port_read_u8(DAC_DATA));
        kprintf(" %02x\n", port_read_u8(DAC_DATA));
    }
    display_set(ENABLE, 0);
}

/* -- planes ------------------------------------------------------------------------------------- */

static uint32_t in_planes(uint32_t at)
{
    volatile uint8_t *bytes = (volatile uint8_t *)window;
    uint32_t all = 0;

    vga_put(GRAPHICS, 5, 0);
    for (uint32_t plane = 0; plane < 4; plane++) {
        vga_put(GRAPHICS, 4, plane);
        all |= (uint32_t)bytes[at] << 8 * plane;
    }
    return all;
}

static void planes(void)
{
    volatile uint8_t *bytes = (volatile uint8_t *)window;

    vga_set_mode(0);
    vga_registers("640 x 480");
    for (uint32_t plane = 0; plane < 4; plane++) {
        vga_put(SEQUENCER, 2, 1u << plane);
        bytes[5] = (uint8_t)(0x11 * (plane + 3));
        *(volatile uint32_t *)(bytes + 8) = 0x01020408u << plane;
    }
    vga_put(SEQUENCER, 2, 15);
    kprintf("planes %08x, in one access %08x %08x, linear %08x\n", in_planes(5), in_planes(8), in_planes(11), pixels[5]);
    for (uint32_t operation = 0; operation < 4; operation++) {
        for (uint32_t mode = 0; mode < 4; mode++) {
            uint32_t at = 100 + 4 * operation + mode;
            vga_put(GRAPHICS, 3, 0);
            vga_put(GRAPHICS, 8, 0xFF);
            vga_put(GRAPHICS, 5, 0);
            bytes[at] = 0xC5;
            vga_put(GRAPHICS, 5, mode);
            vga_put(GRAPHICS, 3, operation << 3 | 3);
            vga_put(GRAPHICS, 0, 0x05);
            vga_put(GRAPHICS, 1, 0x06);
            vga_put(GRAPHICS, 8, 0x3C);
            (void)bytes[5]; /* the latches */
            bytes[at] = 0x9A;
            vga_put(GRAPHICS, 1, 0);
            kprintf(" %08x", in_planes(at));
        }
    }
    kprintf("\n");
    vga_put(GRAPHICS, 3, 0);
    vga_put(GRAPHICS, 8, 0xFF);
    kprintf("compared:");
    for (uint32_t colour = 0; colour < 16; colour++) {
        vga_put(GRAPHICS, 2, colour);
        vga_put(GRAPHICS, 7, colour ^ 9);
        vga_put(GRAPHICS, 5, 8);
        kprintf(" %02x", bytes[5]);
    }
    vga_put(GRAPHICS, 7, 15);
    kprintf("\nodd and even:");
    vga_put(GRAPHICS, 5, 0x10);
    vga_put(GRAPHICS, 4, 0);
    vga_put(SEQUENCER, 2, 3);
    *(volatile uint32_t *)(bytes + 0x200) = 0xA1B2C3D4u;
    kprintf(" %08x", *(volatile uint32_t *)(bytes + 0x200));
    kprintf(" %08x %08x\n", in_planes(0x200), in_planes(0x202));
    vga_put(SEQUENCER, 2, 15);
}

static void bytes_of_pixels(void)
{
    volatile uint8_t *bytes = (volatile uint8_t *)window;

    vga_set_mode(1);
    vga_registers("320 x 200");
    for (uint32_t i = 0; i < 320 * 200; i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    kprintf("bytes %02x %02x %02x, linear %08x\n", bytes[1], bytes[319], bytes[63999], pixels[15999]);
    vga_put(SEQUENCER, 2, 5);
    *(volatile uint32_t *)(bytes + 16) = 0xFFFFFFFFu;
    kprintf("with a mask %08x\n", window[4]);
    vga_put(SEQUENCER, 2, 15);
    vga_put(SEQUENCER, 4, 6); /* mode X */
    kprintf("unchained %08x %08x\n", in_planes(1), in_planes(80));
    vga_put(SEQUENCER, 2, 2);
    bytes[3] = 0x77;
    kprintf("linear %08x\n", pixels[3]);
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    console_init();
    pci();
    show("at start");
    identities();
    widths_of_accesses();
    vga_registers("text");
    modes();
    vga_registers("graphics");
    registers_in_memory();
    frame_buffer();
    palette();
    planes();
    bytes_of_pixels();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
