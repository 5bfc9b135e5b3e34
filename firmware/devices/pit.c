/*
 * The timer (Intel 8254 data sheet): modes, latches, read-back, halves of counts, BCD, channel 2 with its output at port 0x61,
 * and the request that setting channel 0 makes at once. What a count is at a moment depends on time, so ranges are printed. Where QEMU does otherwise
 * than the data sheet nothing is printed: it counts on in mode 0 while the gate is closed, and its output follows the
 * old count until a new one is written.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"

enum { COUNT_0 = 0x40, COUNT_2 = 0x42, CONTROL = 0x43, SPEAKER = 0x61 };
enum { PIC = 0x20, PIC_DATA = 0x21, READ_REQUESTS = 0x0A, POLL = 0x0C, END_OF_INTERRUPT = 0x20 };
enum { GATE_2 = 1, SPEAKER_ON = 2, OUTPUT_2 = 0x20 };
enum { LATCH = 0x00, LOW_HALF = 0x10, HIGH_HALF = 0x20, BOTH_HALVES = 0x30, READ_BACK = 0xC0 };

static void set(uint32_t channel, uint8_t how, uint32_t count)
{
    port_write_u8(CONTROL, (uint8_t)(channel << 6 | how));
    if ((how & LOW_HALF) != 0) {
        port_write_u8((uint16_t)(COUNT_0 + channel), (uint8_t)count);
    }
    if ((how & HIGH_HALF) != 0) {
        port_write_u8((uint16_t)(COUNT_0 + channel), (uint8_t)(count >> 8));
    }
}

static uint32_t latched(uint32_t channel)
{
    port_write_u8(CONTROL, (uint8_t)(channel << 6 | LATCH));
    uint32_t low = port_read_u8((uint16_t)(COUNT_0 + channel));
    return low | (uint32_t)port_read_u8((uint16_t)(COUNT_0 + channel)) << 8;
}

static uint8_t status(uint32_t channel)
{
    port_write_u8(CONTROL, (uint8_t)(READ_BACK | 0x20 | 2u << channel));
    return port_read_u8((uint16_t)(COUNT_0 + channel));
}

static const char *size_of(uint32_t count)
{
    return count == 0 ? "0" : count < 0x1000 ? "small" : count < 0xF000 ? "middling" : "large";
}

static void modes(void)
{
    for (uint32_t mode = 0; mode < 7; mode++) {
        port_write_u8(CONTROL, (uint8_t)(2 << 6 | BOTH_HALVES | mode << 1));
        uint8_t before = status(2) & 0x7F;
        set(2, (uint8_t)(BOTH_HALVES | mode << 1), 0xFFF0);
        kprintf("channel 2, mode %u: status %02x, with a count %02x, count %s\n", mode, before, status(2) & 0xBF,
                size_of(latched(2)));
    }
}

static void halves(void)
{
    set(2, LOW_HALF, 0x34);
    kprintf("low half: status %02x\n", status(2) & 0x3F);
    set(2, HIGH_HALF, 0xF000);
    uint32_t first = port_read_u8(COUNT_2), second = port_read_u8(COUNT_2);
    kprintf("high half: status %02x, %s, %s\n", status(2) & 0x3F, first >= 0xE0 ? "as set" : "not as set",
            second >= 0xE0 ? "as set" : "not as set");
    set(2, BOTH_HALVES, 0xFFFF);
    port_write_u8(CONTROL, 2 << 6 | LATCH);
    port_write_u8(CONTROL, 2 << 6 | LATCH);
    uint32_t low = port_read_u8(COUNT_2), high = port_read_u8(COUNT_2);
    uint32_t later = port_read_u8(COUNT_2);
    later |= (uint32_t)port_read_u8(COUNT_2) << 8;
    kprintf("latched twice: %s, then %s\n", size_of(low | high << 8), later <= (low | high << 8) ? "less" : "more");
    port_write_u8(CONTROL, 0xC8); /* count and status of channel 2 */
    uint8_t both = port_read_u8(COUNT_2);
    low = port_read_u8(COUNT_2), high = port_read_u8(COUNT_2);
    kprintf("read back: status %02x, count %s\n", both & 0x3F, size_of(low | high << 8));
    set(2, BOTH_HALVES | 1, 0x9999);
    bool is_decimal = true;
    for (uint32_t i = 0; i < 200; i++) {
        uint32_t count = latched(2);
        for (uint32_t shift = 0; shift < 16; shift += 4) {
            is_decimal = is_decimal && (count >> shift & 15) < 10;
        }
    }
    kprintf("decimal: status %02x, digits %s\n", status(2) & 0x3F, is_decimal ? "all decimal" : "not all decimal");
}

static void output(void)
{
    port_write_u8(SPEAKER, 0);
    kprintf("speaker port %02x\n", port_read_u8(SPEAKER) & 0xCF & ~OUTPUT_2);
    port_write_u8(SPEAKER, SPEAKER_ON);
    kprintf("speaker port %02x\n", port_read_u8(SPEAKER) & 0xCF & ~OUTPUT_2);
    port_write_u8(SPEAKER, GATE_2);
    set(2, BOTH_HALVES, 1000);
    kprintf("one shot: output %x", port_read_u8(SPEAKER) >> 5 & 1);
    uint32_t rounds = 0;
    while ((port_read_u8(SPEAKER) & OUTPUT_2) == 0) {
        rounds++;
    }
    kprintf(", later 1, %s, status %x\n", rounds > 0 ? "not at once" : "at once", status(2) >> 7);
    for (uint32_t mode = 2; mode <= 3; mode++) {
        set(2, (uint8_t)(BOTH_HALVES | mode << 1), 200);
        bool seen[2] = {false, false};
        for (uint32_t i = 0; i < 5000; i++) {
            seen[port_read_u8(SPEAKER) >> 5 & 1] = true;
        }
        kprintf("mode %u: output %s high\n", mode, mode == 2 ? (seen[1] ? "is" : "is never") : "is seen");
        kprintf("mode %u: low %s\n", mode, mode == 3 ? (seen[0] ? "as well" : "never") : "for one count only");
    }
    set(2, BOTH_HALVES, 50000);
    port_write_u8(SPEAKER, GATE_2);
    uint32_t first = latched(2);
    for (uint32_t i = 0; i < 100; i++) {
        (void)port_read_u8(SPEAKER);
    }
    kprintf("gate open: %s\n", latched(2) < first ? "runs" : "stands still");
    port_write_u8(SPEAKER, 0);
}

static void forget_requests(void)
{
    port_write_u8(PIC, 0x11);
    port_write_u8(PIC_DATA, 0x20);
    port_write_u8(PIC_DATA, 0x04);
    port_write_u8(PIC_DATA, 0x01);
}

static uint32_t requested(void)
{
    port_write_u8(PIC, READ_REQUESTS);
    return port_read_u8(PIC) & 1u;
}

static void requests(void)
{
    static const uint8_t changes[] = {2, 3, 2, 0, 3};

    for (uint32_t i = 0; i < sizeof changes; i++) {
        forget_requests();
        set(0, (uint8_t)(BOTH_HALVES | changes[i] << 1), 0);
        kprintf("channel 0 set to mode %u: requested %u\n", changes[i], requested());
    }
    set(0, BOTH_HALVES | 3 << 1, 0);
    port_write_u8(PIC, POLL);
    (void)port_read_u8(PIC);
    port_write_u8(PIC, END_OF_INTERRUPT);
    set(0, BOTH_HALVES | 3 << 1, 0);
    uint32_t in_first_half = requested();
    uint32_t in_second_half = 0;
    for (uint32_t tries = 0; tries < 50 && in_second_half == 0; tries++) {
        for (uint32_t low = 0; low < 2000;) { /* QEMU lowers the line later than it says so, on a busy host even later */
            low += (status(0) & 0x80) == 0;
        }
        set(0, BOTH_HALVES | 3 << 1, 0);
        in_second_half = requested();
    }
    kprintf("set again: requested %u, in the second half %u\n", in_first_half, in_second_half);
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    uint8_t first = status(0);
    uint32_t count = latched(0), rounds = 0;

    while (latched(0) == count && rounds < 1000) {
        rounds++;
    }
    console_init();
    kprintf("channel 0 at entry: status %02x, %s\n", first & 0x7F, rounds < 1000 ? "runs" : "stands still");
    modes();
    halves();
    output();
    requests();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
