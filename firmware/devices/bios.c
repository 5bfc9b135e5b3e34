/*
 * The services of the BIOS in real mode (Ralf Brown's list, INTERRUP.LST), as a kernel in protected mode calls them: what
 * they return, and what they leave in the data area and on the screen.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "common/string.h"
#include "devices/real_mode.h"

enum { CARRY = 0x01, ZERO = 0x40 };
enum { DATA_AREA = 0x400, SCREEN = 0xB8000, SMAP = 0x534D4150 };

static struct real_registers r;

static volatile uint8_t *byte_at(uint32_t address) { return (volatile uint8_t *)address; }

static uint32_t word_at(uint32_t address) { return *(volatile uint16_t *)address; }

static uint32_t long_at(uint32_t address) { return *(volatile uint32_t *)address; }

static void call(uint8_t vector, uint32_t eax) { real_mode_service(vector, eax, &r); }

static void clear(void) { memset(&r, 0, sizeof r); }

static const char *carry(void) { return (r.eflags & CARRY) != 0 ? "CF" : "nc"; }

static void show(const char *name)
{
    kprintf("%s: %08x %08x %08x %08x %08x %08x %s %s\n", name, r.eax, r.ebx, r.ecx, r.edx, r.esi, r.edi, carry(),
            (r.eflags & ZERO) != 0 ? "ZF" : "nz");
}

static void show_bytes(const char *name, uint32_t address, uint32_t count)
{
    kprintf("%s:", name);
    for (uint32_t i = 0; i < count; i++) {
        kprintf(" %02x", *byte_at(address + i));
    }
    kprintf("\n");
}

/* -- int 11h, 12h, 15h ------------------------------------------------------------------------------------ */

static void memory(void)
{
    clear();
    call(0x11, 0xABCD0000);
    show("equipment");
    call(0x12, 0xABCD0000);
    show("low memory");
    call(0x15, 0xABCD8800);
    show("88");
    clear();
    call(0x15, 0xE801);
    show("E801");
    clear();
    r.ecx = 19;
    r.edx = SMAP;
    call(0x15, 0xE820);
    kprintf("E820, small buffer: %s %08x\n", carry(), r.eax);
    clear();
    r.ecx = 20;
    call(0x15, 0xE820);
    kprintf("E820, no SMAP: %s %08x\n", carry(), r.eax);
    clear();
    do {
        r.ecx = 24;
        r.edx = SMAP;
        r.edi = 0x100;
        memset((void *)(REAL_MODE_BUFFER + 0x100), 0xEE, 24);
        call(0x15, 0xE820);
        kprintf("E820: %s %08x %u %08x: %08x %08x %08x %08x %u %08x\n", carry(), r.eax, r.ecx, r.ebx, long_at(REAL_MODE_BUFFER + 0x104),
                long_at(REAL_MODE_BUFFER + 0x100), long_at(REAL_MODE_BUFFER + 0x10C), long_at(REAL_MODE_BUFFER + 0x108),
                long_at(REAL_MODE_BUFFER + 0x110), long_at(REAL_MODE_BUFFER + 0x114));
    } while (r.ebx != 0 && (r.eflags & CARRY) == 0);
    r.ebx = 99;
    r.ecx = 24;
    call(0x15, 0xE820);
    kprintf("E820, no entry: %s %08x\n", carry(), r.eax);
}

static void a20(void)
{
    clear();
    call(0x15, 0x2402);
    show("A20 status");
    call(0x15, 0x2403);
    show("A20 support");
    call(0x15, 0x2401);
    show("A20 on");
    call(0x15, 0x2402);
    show("A20 status");
}

/* Descriptors for int 15h, AH=87: source and target at 0x10 and 0x18. */
static void move(void)
{
    static const uint8_t text[] = "moved by the BIOS";
    static uint8_t target[32];
    uint8_t *table = (uint8_t *)REAL_MODE_BUFFER;

    memset(table, 0, 0x30);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t address = i == 0 ? (uint32_t)text : (uint32_t)target;
        uint8_t *entry = table + 0x10 + 8 * i;
        entry[0] = entry[1] = 0xFF;
        memcpy(entry + 2, &address, 3);
        entry[5] = 0x93;
        entry[7] = (uint8_t)(address >> 24);
    }
    clear();
    r.ecx = sizeof text / 2;
    call(0x15, 0x8700);
    kprintf("move: %s %08x \"%s\"\n", carry(), r.eax, (const char *)target);
}

static void features(void)
{
    clear();
    call(0x15, 0xC000);
    kprintf("C0: %s %04x:%04x %08x\n", carry(), r.es, r.ebx, r.eax);
    show_bytes("features", r.es * 16u + r.ebx, 10);
    call(0x15, 0xC100);
    kprintf("C1: %s %04x\n", carry(), r.es);
    clear();
    call(0x15, 0x4F1E);
    show("4F");
    call(0x15, 0x9000);
    show("90");
    call(0x15, 0x7777);
    show("unknown");
    clear();
    r.edx = 3000;
    call(0x15, 0x8600);
    show("wait");
}

/* -- int 10h -------------------------------------------------------------------------------------------------- */

static void show_cursor(const char *name)
{
    clear();
    call(0x10, 0x0300);
    port_write_u8(0x3D4, 0x0E);
    uint32_t at = (uint32_t)port_read_u8(0x3D5) << 8;
    port_write_u8(0x3D4, 0x0F);
    at |= port_read_u8(0x3D5);
    kprintf("%s: DX %04x, CX %04x, %04x; controller %u\n", name, r.edx, r.ecx, word_at(DATA_AREA + 0x50), at);
}

static void show_cells(const char *name, uint32_t row, uint32_t column, uint32_t count)
{
    show_bytes(name, SCREEN + (row * 80 + column) * 2, count * 2);
}

static void put_text(const char *text)
{
    for (; *text != 0; text++) {
        clear();
        r.ebx = 0x0007;
        call(0x10, 0x0E00 | (uint8_t)*text);
    }
}

static void at(uint32_t row, uint32_t column)
{
    clear();
    r.edx = row << 8 | column;
    call(0x10, 0x0200);
}

static void screen(void)
{
    clear();
    call(0x10, 0x0003);
    show("mode 3");
    show_bytes("video data", DATA_AREA + 0x49, 30);
    show_bytes("more video data", DATA_AREA + 0x84, 7);
    show_cells("cleared", 0, 0, 4);
    show_cells("last line", 24, 76, 4);
    clear();
    call(0x10, 0x0F00);
    show("mode");
    put_text("one\r\ntwo\b!\athree");
    show_cursor("cursor");
    show_cells("line 0", 0, 0, 5);
    show_cells("line 1", 1, 0, 9);
    at(5, 78);
    put_text("wrap");
    show_cells("end of line 5", 5, 77, 3);
    show_cells("line 6", 6, 0, 4);
    at(24, 0);
    put_text("bottom\nnew");
    show_cells("line 23", 23, 0, 7);
    show_cells("line 24", 24, 0, 12);
    show_cursor("cursor");
    at(3, 10);
    clear();
    r.ebx = 0x001E;
    r.ecx = 3;
    call(0x10, 0x0941);
    show("09");
    show_cells("09", 3, 9, 6);
    clear();
    call(0x10, 0x0800);
    show("08");
    clear();
    r.ecx = 2;
    call(0x10, 0x0A42);
    show_cells("0A", 3, 9, 6);
    clear();
    r.ebx = 0x2F00;
    r.ecx = 0x0309;
    r.edx = 0x030C;
    call(0x10, 0x0601);
    show_cells("scrolled away", 3, 8, 6);
    at(10, 0);
    put_text("ab");
    clear();
    r.ebx = 0x4F00;
    r.ecx = 0x0900;
    r.edx = 0x0B01;
    call(0x10, 0x0701);
    show_cells("down 9", 9, 0, 3);
    show_cells("down 11", 11, 0, 3);
    clear();
    r.ebx = 0x1700;
    r.ecx = 0x0C02;
    r.edx = 0x0C04;
    call(0x10, 0x0600);
    show_cells("blanked", 12, 1, 5);
    clear();
    r.ecx = 0x0A0B;
    call(0x10, 0x0100);
    show_cursor("shape");
    port_write_u8(0x3D4, 0x0A);
    kprintf("shape in the controller: %02x", port_read_u8(0x3D5));
    port_write_u8(0x3D4, 0x0B);
    kprintf(" %02x\n", port_read_u8(0x3D5));
    clear();
    r.ecx = 0x0607;
    call(0x10, 0x0100);
    port_write_u8(0x3D4, 0x0A);
    kprintf("usual shape in the controller: %02x", port_read_u8(0x3D5));
    port_write_u8(0x3D4, 0x0B);
    kprintf(" %02x\n", port_read_u8(0x3D5));
}

static void strings(void)
{
    static const char text[] = "A\x1F" "B\x2F" "C\x3F";

    memcpy((void *)REAL_MODE_BUFFER, text, sizeof text);
    for (uint32_t how = 0; how < 4; how++) {
        clear();
        r.ebx = 0x0070;
        r.ecx = how < 2 ? 6 : 3;
        r.edx = (14 + how) << 8 | 5;
        call(0x10, 0x1300 | how);
        kprintf("13, AL=%u: %04x ", how, word_at(DATA_AREA + 0x50));
        show_cells("", 14 + how, 4, 8);
    }
    clear();
    r.ebx = 0x0100;
    call(0x10, 0x0500 | 1);
    show("page 1");
    show_bytes("page", DATA_AREA + 0x4E, 2);
    show_bytes("active", DATA_AREA + 0x62, 1);
    port_write_u8(0x3D4, 0x0C);
    kprintf("start: %02x", port_read_u8(0x3D5));
    port_write_u8(0x3D4, 0x0D);
    kprintf("%02x\n", port_read_u8(0x3D5));
    clear();
    r.ebx = 0x0107;
    call(0x10, 0x0E00 | 'P');
    show_bytes("on page 1", SCREEN + 0x1000, 4);
    clear();
    call(0x10, 0x0500);
}

static void adapter(void)
{
    clear();
    call(0x10, 0x1A00);
    show("1A");
    clear();
    r.ebx = 0xFF10;
    call(0x10, 0x1200);
    show("12, BL=10");
    clear();
    call(0x10, 0x1130);
    kprintf("11, AL=30: %08x %08x\n", r.ecx, r.edx);
    clear();
    r.ebx = 5;
    r.edx = 0x1100;
    r.ecx = 0x2233;
    call(0x10, 0x1010);
    clear();
    r.ebx = 5;
    call(0x10, 0x1015);
    show("colour 5");
    clear();
    r.ebx = 0x0000;
    call(0x10, 0x1003);
    clear();
    r.ebx = 0x0110;
    call(0x10, 0x1007);
    show("attribute 10");
    clear();
    r.ebx = 0x0A03;
    call(0x10, 0x1000);
    clear();
    r.ebx = 0x0003;
    call(0x10, 0x1007);
    show("attribute 3");
    r.ebx = 0x0303;
    call(0x10, 0x1000);
    clear();
    call(0x10, 0x7700);
    show("no service");
}

/* -- int 16h, int 1Ah, int 14h ---------------------------------------------------------------------------------- */

static void keyboard(void)
{
    clear();
    call(0x16, 0x0100);
    show("no key");
    clear();
    r.ecx = 0x1E61;
    call(0x16, 0x0500);
    show("key put");
    r.ecx = 0x48E0;
    call(0x16, 0x0500);
    call(0x16, 0x0100);
    show("key waits");
    call(0x16, 0x0000);
    show("key");
    call(0x16, 0x1100);
    show("grey key waits");
    call(0x16, 0x0000);
    show("grey key");
    call(0x16, 0x1100);
    kprintf("no key: %s\n", (r.eflags & ZERO) != 0 ? "ZF" : "nz");
    clear();
    call(0x16, 0x0200);
    show("shift");
    call(0x16, 0x1200);
    show("more of shift");
    for (uint32_t i = 0; i < 16; i++) {
        r.ecx = 0x3920;
        call(0x16, 0x0500);
        kprintf("%u", r.eax & 0xFF);
    }
    kprintf("\n");
    show_bytes("buffer", DATA_AREA + 0x1A, 4);
    for (uint32_t i = 0; i < 15; i++) {
        call(0x16, 0x1000);
    }
    show("last key");
    clear();
    call(0x16, 0x0900);
    show("functions");
    call(0x16, 0x0A00);
    show("identity");
}

static void clock(void)
{
    clear();
    r.edx = 0x5678;
    r.ecx = 0x0012;
    call(0x1A, 0x0100);
    clear();
    call(0x1A, 0x0000);
    kprintf("ticks: %s %08x %04x%04x\n", carry(), r.eax, r.ecx, r.edx & 0xFFF0);
    clear();
    r.ecx = 0x1234;
    r.edx = 0x5600;
    call(0x1A, 0x0300);
    kprintf("set time: %s %04x\n", carry(), r.eax);
    call(0x1A, 0x0200);
    kprintf("time: %s %04x %04x %02x\n", carry(), r.eax, r.ecx, r.edx & 0xFF);
    r.ecx = 0x2025;
    r.edx = 0x1124;
    call(0x1A, 0x0500);
    kprintf("set date: %s %04x\n", carry(), r.eax);
    call(0x1A, 0x0400);
    kprintf("date: %s %04x %04x %04x\n", carry(), r.eax, r.ecx, r.edx);
    call(0x1A, 0x7700);
    kprintf("no service: %s %04x\n", carry(), r.eax);
}

static void pci(void)
{
    clear();
    call(0x1A, 0xB101);
    r.edi = 0; /* the entry of 32 bits */
    show("PCI BIOS");
    for (uint32_t i = 0; i < 2; i++) {
        clear();
        r.ecx = i == 0 ? 0x1237 : 0x9999;
        r.edx = 0x8086;
        call(0x1A, 0xB102);
        show("find device");
    }
    clear();
    r.ecx = 0x060100;
    call(0x1A, 0xB103);
    show("find class");
    for (uint32_t size = 0; size < 3; size++) {
        clear();
        r.ebx = 0x0009; /* IDE */
        r.edi = 0;
        r.ecx = 0xEEEEEEEE;
        call(0x1A, 0xB108 + size);
        show("read");
    }
    clear();
    call(0x1A, 0xB177);
    show("no PCI service");
}

static void serial(void)
{
    clear();
    r.edx = 3;
    call(0x14, 0x0300);
    show("no COM4");
    r.edx = 0;
    call(0x14, 0x0300);
    show("COM1");
    call(0x14, 0x0100 | '*');
    show("sent");
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    console_init();
    memory();
    a20();
    move();
    features();
    screen();
    strings();
    adapter();
    keyboard();
    clock();
    pci();
    serial();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
