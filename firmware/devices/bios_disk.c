/*
 * Disks by the BIOS (int 13h): their geometry, sectors by cylinder and by number, errors, and that the controller's ports show what
 * was written. The disk has a number in the first word of each sector; sector 100 is written.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "common/physical.h"
#include "common/string.h"
#include "devices/real_mode.h"

enum { CARRY = 0x01, SECTOR = 512 };
enum { PACKET = 0x8000, ANSWER = 0x8100, IDE = 0x1F0, DATA_REQUEST = 0x08 };

static struct real_registers r;
static uint8_t *const buffer = (uint8_t *)REAL_MODE_BUFFER;

static void call(uint32_t eax) { real_mode_service(0x13, eax, &r); }

static void show(const char *name)
{
    kprintf("%s: ax %04x bx %04x cx %04x dx %04x %s, status %02x\n", name, r.eax, r.ebx, r.ecx, r.edx,
            (r.eflags & CARRY) != 0 ? "CF" : "nc", *(volatile uint8_t *)at_physical(0x474));
}

static void ask(const char *name, uint32_t eax, uint32_t ecx, uint32_t edx)
{
    memset(&r, 0, sizeof r);
    r.ecx = ecx;
    r.edx = edx;
    call(eax);
    show(name);
}

static uint32_t first_word(uint32_t sector) { return *(volatile uint32_t *)(buffer + sector * SECTOR); }

static void packet(const char *name, uint32_t eax, uint32_t lba, uint32_t count)
{
    static const uint8_t head[] = {16, 0};

    memcpy(buffer + PACKET, head, 2);
    *(volatile uint32_t *)(buffer + PACKET + 2) = count;
    *(volatile uint16_t *)(buffer + PACKET + 6) = REAL_MODE_BUFFER_SEGMENT;
    *(volatile uint32_t *)(buffer + PACKET + 8) = lba;
    *(volatile uint32_t *)(buffer + PACKET + 12) = 0;
    memset(&r, 0, sizeof r);
    r.edx = 0x80;
    r.esi = PACKET;
    call(eax);
    show(name);
    kprintf("    %u done, words %08x %08x\n", *(volatile uint16_t *)(buffer + PACKET + 2), first_word(0), first_word(1));
}

static void parameters(uint32_t room)
{
    memset(buffer + ANSWER, 0xEE, 80);
    *(volatile uint16_t *)(buffer + ANSWER) = (uint16_t)room;
    memset(&r, 0, sizeof r);
    r.edx = 0x80;
    r.esi = ANSWER;
    call(0x4800);
    kprintf("parameters, %u bytes: %s %04x\n   ", room, (r.eflags & CARRY) != 0 ? "CF" : "nc", r.eax);
    for (uint32_t i = 0; i < 80; i++) {
        if (i < 26 || i >= 30) { /* where the table lies */
            kprintf(" %02x", buffer[ANSWER + i]);
        }
    }
    kprintf("\n");
    if (room >= 30 && (r.eflags & CARRY) == 0) {
        uint16_t *table = (uint16_t *)(buffer + ANSWER + 26);
        const uint8_t *bytes = (const uint8_t *)(table[1] * 16u + table[0]);
        kprintf("   ");
        for (uint32_t i = 0; i < 16; i++) {
            kprintf(" %02x", bytes[i]);
        }
        kprintf("\n");
    }
}

/* The first word of a sector, by the ports of the first channel. */
static uint32_t by_ports(uint32_t lba)
{
    uint32_t first = 0;

    port_write_u8(0x3F6, 2);
    port_write_u8(IDE + 6, 0xE0);
    port_write_u8(IDE + 2, 1);
    port_write_u8(IDE + 3, (uint8_t)lba);
    port_write_u8(IDE + 4, (uint8_t)(lba >> 8));
    port_write_u8(IDE + 5, (uint8_t)(lba >> 16));
    port_write_u8(IDE + 7, 0x20);
    while ((port_read_u8(IDE + 7) & DATA_REQUEST) == 0) {
        cpu_relax();
    }
    for (uint32_t i = 0; i < SECTOR / 4; i++) {
        uint32_t word = port_read_u32(IDE);
        first = i == 0 ? word : first;
    }
    return first;
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    console_init();
    kprintf("disks: %u\n", *(volatile uint8_t *)at_physical(0x475));
    ask("no floppy disk", 0x0201, 1, 0);
    kprintf("status of floppy disks: %02x\n", *(volatile uint8_t *)at_physical(0x441));
    ask("no second disk", 0x0201, 1, 0x81);
    ask("reset", 0x0000, 0, 0x80);
    ask("status", 0x0100, 0, 0x80);
    ask("geometry", 0x0800, 0, 0x80);
    ask("type", 0x1500, 0, 0x80);
    ask("type of no disk", 0x1500, 0, 0x81);
    ask("sector 0, 0, 1", 0x0202, 0x0001, 0x0080);
    kprintf("    words %08x %08x\n", first_word(0), first_word(1));
    ask("sector 1, 3, 17", 0x0201, 0x0111, 0x0380);
    kprintf("    word %08x\n", first_word(0));
    ask("ready", 0x1000, 0, 0x80); /* by now: SeaBIOS asks the drive that was selected last, after POST any */
    ask("recalibrated", 0x1100, 0, 0x80);
    ask("no sector 0", 0x0201, 0x0100, 0x0080);
    ask("no sector 64", 0x0201, 0x0140, 0x0080);
    ask("no head 200", 0x0201, 0x0001, 0xC880);
    ask("no cylinder 1023", 0x0201, 0xFFC1, 0x0080);
    ask("status", 0x0100, 0, 0x80);
    ask("no sectors", 0x0200, 0x0001, 0x0080);
    ask("verified", 0x0405, 0x0001, 0x0080);
    *(volatile uint32_t *)buffer = 0x12345678;
    ask("written", 0x0301, 0x0126, 0x0080);
    kprintf("    by ports: %08x\n", by_ports(16 * 63 + 37));
    memset(&r, 0, sizeof r);
    r.ebx = 0x55AA;
    r.edx = 0x80;
    call(0x4100);
    show("extensions");
    ask("extensions of whom", 0x4100, 0, 0x80);
    packet("read", 0x4200, 5000, 2);
    *(volatile uint32_t *)buffer = 0x87654321;
    packet("write", 0x4300, 100, 1);
    kprintf("    by ports: %08x\n", by_ports(100));
    packet("verify", 0x4400, 100, 3);
    packet("seek", 0x4700, 100, 1);
    packet("beyond the end", 0x4200, 0x00FFFFFF, 1);
    packet("over the end", 0x4200, 20159, 2);
    parameters(25);
    parameters(26);
    parameters(30);
    parameters(66);
    parameters(74);
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
