/*
 * Graphics by the BIOS (int 10h): modes of VGA and of VESA's extension, characters of other heights, what it says of them, and what
 * the adapter's registers hold then.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "common/physical.h"
#include "common/string.h"
#include "devices/display.h"
#include "devices/real_mode.h"

enum { MODE_BYTES = 62, WINDOW_FUNCTION = 12 };

static struct real_registers r;
static uint8_t *const buffer = (uint8_t *)REAL_MODE_BUFFER;

static void call(uint32_t eax) { real_mode_service(0x10, eax, &r); }

static void clear(void) { memset(&r, 0, sizeof r); }

static void registers(const char *name, uint16_t index_port, uint32_t count)
{
    kprintf("    %s:", name);
    for (uint32_t i = 0; i < count; i++) {
        port_write_u8(index_port, (uint8_t)i);
        kprintf(" %02x", port_read_u8(index_port + 1));
    }
    kprintf("\n");
}

static void show_state(const char *name)
{
    const uint8_t *data = at_physical(0x400);

    kprintf("%s: mode %02x, %u columns, %u rows, characters of %u lines, cursor %02x%02x\n", name, data[0x49], data[0x4A],
            data[0x84] + 1, data[0x85], data[0x61], data[0x60]);
    kprintf("    display: %u x %u x %u, enable %04x, bank %u\n", display_get(WIDTH), display_get(HEIGHT), display_get(DEPTH), display_get(ENABLE) & 0x41,
            display_get(BANK));
}

static void show_registers(void)
{
    kprintf("    miscellaneous: %02x\n", port_read_u8(0x3CC));
    registers("sequencer", 0x3C4, 5);
    registers("graphics", 0x3CE, 9);
    registers("crtc", 0x3D4, 12);
    kprintf("    attributes:");
    for (uint32_t i = 0; i < 20; i++) {
        (void)port_read_u8(0x3DA);
        port_write_u8(0x3C0, (uint8_t)i);
        kprintf(" %02x", port_read_u8(0x3C1));
    }
    (void)port_read_u8(0x3DA);
    port_write_u8(0x3C0, 0x20);
    port_write_u8(0x3C7, 0);
    kprintf("\n    colours:");
    for (uint32_t i = 0; i < 3 * 40; i++) {
        kprintf(" %02x", port_read_u8(0x3C9));
    }
    kprintf("\n");
}

static void set(const char *name, uint32_t mode)
{
    clear();
    call(mode);
    kprintf("set: ax %04x\n", r.eax);
    show_state(name);
    show_registers();
}

static void controller(void)
{
    const uint16_t *modes;

    memset(buffer, 0, 512);
    memcpy(buffer, "VBE2", 4);
    clear();
    call(0x4F00);
    kprintf("controller: ax %04x %c%c%c%c %02x%02x, capabilities %02x, %u banks\n", r.eax, buffer[0], buffer[1], buffer[2],
            buffer[3], buffer[5], buffer[4], buffer[10], *(uint16_t *)(buffer + 18));
    modes = at_physical(*(uint16_t *)(buffer + 16) * 16u + *(uint16_t *)(buffer + 14));
    kprintf("modes from 100 to 180:");
    for (uint32_t wanted = 0x100; wanted < 0x180; wanted++) {
        if (wanted == 0x102 || wanted == 0x104 || wanted == 0x106) { /* of planes */
            continue;
        }
        for (uint32_t i = 0; modes[i] != 0xFFFF; i++) {
            if (modes[i] == wanted) {
                kprintf(" %03x", wanted);
            }
        }
    }
    kprintf("\n");
}

static void information(uint32_t mode)
{
    memset(buffer, 0xEE, 256);
    clear();
    r.ecx = mode;
    call(0x4F01);
    kprintf("mode %03x: ax %04x:", mode, r.eax);
    for (uint32_t i = 0; (r.eax & 0xFFFF) == 0x4F && i < MODE_BYTES; i++) {
        if (i < WINDOW_FUNCTION || i >= WINDOW_FUNCTION + 4) {
            kprintf(" %02x", buffer[i]);
        }
    }
    kprintf("\n");
}

static void vesa_mode(uint32_t mode)
{
    clear();
    r.ebx = mode;
    call(0x4F02);
    kprintf("set %04x: ax %04x\n", mode, r.eax);
    show_state("VESA");
    clear();
    call(0x4F03);
    kprintf("    is set: ax %04x bx %04x\n", r.eax, r.ebx);
}

static void ask(const char *name, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    clear();
    r.ebx = ebx;
    r.ecx = ecx;
    r.edx = edx;
    call(eax);
    kprintf("%s: ax %04x bx %04x cx %04x dx %04x\n", name, r.eax, r.ebx & 0xFFFF, r.ecx & 0xFFFF, r.edx & 0xFFFF);
}

static void many(void)
{
    vesa_mode(0x4101);
    volatile uint8_t *window = at_physical(0xA0000);
    window[0] = 0x5A;
    ask("bank 3", 0x4F05, 0, 0, 3);
    ask("which bank", 0x4F05, 0x100, 0, 0);
    kprintf("    at the window: %02x\n", window[0]);
    ask("bank 0", 0x4F05, 0, 0, 0);
    kprintf("    at the window: %02x\n", window[0]);
    ask("no second window", 0x4F05, 1, 0, 0);
    ask("start", 0x4F07, 0, 16, 20);
    ask("which start", 0x4F07, 1, 0, 0);
    ask("start", 0x4F07, 0x80, 0, 0);
    ask("bits of colours", 0x4F08, 1, 0, 0);
    memcpy(buffer, "\x01\x02\x03\x00\x04\x05\x06\x00", 8);
    ask("colours", 0x4F09, 0, 2, 7);
    memset(buffer, 0xEE, 12);
    ask("which colours", 0x4F09, 1, 2, 7);
    kprintf("    %02x %02x %02x, %02x %02x %02x\n", buffer[0], buffer[1], buffer[2], buffer[4], buffer[5], buffer[6]);
    vesa_mode(0x115);
    vesa_mode(0x4144);
    vesa_mode(0x4177);
    vesa_mode(0x81FF);
}

static void show_font(const char *name, uint32_t service)
{
    clear();
    call(service);
    kprintf("set: ax %04x\n", r.eax);
    show_state(name);
    kprintf("    a page has %u bytes\n", *(const uint16_t *)at_physical(0x44C));
    registers("crtc", 0x3D4, 12);
}

/* Characters of other heights, and so other rows, as kernels set them. */
static void fonts(void)
{
    set("mode 3", 0x03);
    show_font("8 lines", 0x1112);
    ask("size of characters", 0x1130, 0x300, 0, 0);
    show_font("14 lines", 0x1111);
    show_font("16 lines", 0x1114);
    show_font("8 lines", 0x1112);
    ask("two fonts", 0x1103, 4, 0, 0);
    registers("sequencer", 0x3C4, 5);
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    static const uint16_t modes[] = {0x100, 0x101, 0x105, 0x10D, 0x110, 0x111, 0x112, 0x115, 0x118, 0x11B, 0x143, 0x144, 0x17A, 0x1FE};

    console_init();
    set("mode 13h", 0x13);
    ((volatile uint8_t *)at_physical(0xA0000))[5] = 0x77;
    kprintf("pixel %02x\n", ((volatile uint8_t *)at_physical(0xA0000))[5]);
    set("mode 13h, not cleared", 0x93);
    kprintf("pixel %02x\n", ((volatile uint8_t *)at_physical(0xA0000))[5]);
    set("mode 13h, cleared", 0x13);
    kprintf("pixel %02x\n", ((volatile uint8_t *)at_physical(0xA0000))[5]);
    set("mode 12h", 0x12);
    set("mode 3", 0x03);
    controller();
    for (uint32_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        information(modes[i]);
    }
    many();
    fonts();
    set("mode 3", 0x03);
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
