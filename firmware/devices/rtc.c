/*
 * The clock and its memory (Motorola MC146818A data sheet; IBM PC AT Technical Reference, "CMOS RAM"): registers, what a
 * BIOS notes there, setting the time. The time itself is not printed.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"

enum { INDEX = 0x70, DATA = 0x71 };
enum { SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH, YEAR, A, B, C, D };
enum { UPDATING = 0x80, SET = 0x80, BINARY = 4, HOURS_24 = 2, CENTURY = 0x32, ROUNDS = 100000 };

static uint8_t get(uint8_t number)
{
    port_write_u8(INDEX, number);
    return port_read_u8(DATA);
}

static void set(uint8_t number, uint8_t value)
{
    port_write_u8(INDEX, number);
    port_write_u8(DATA, value);
}

static void wait_for_update(void)
{
    for (uint32_t i = 0; i < ROUNDS && (get(A) & UPDATING) != 0; i++) {
        cpu_relax();
    }
}

static void show_time(const char *what)
{
    kprintf("%s: %02x-%02x-%02x %02x:%02x, weekday %02x\n", what, get(YEAR), get(MONTH), get(DAY), get(HOURS),
            get(MINUTES), get(WEEKDAY));
}

/* Sets the time, year to minutes and weekday, in the mode that register B has from now on. */
static void set_time(const char *what, uint8_t mode, const uint8_t fields[7])
{
    static const uint8_t numbers[] = {YEAR, MONTH, DAY, HOURS, MINUTES, WEEKDAY, CENTURY};

    set(B, SET | mode);
    for (uint32_t i = 0; i < sizeof numbers; i++) {
        set(numbers[i], fields[i]);
    }
    set(SECONDS, 7);
    show_time("set");
    set(B, mode);
    wait_for_update();
    show_time(what);
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    static const uint8_t noted[] = {0x0E, 0x0F, 0x10, 0x12, 0x14, 0x15, 0x16, 0x17, 0x18, 0x30, 0x31, 0x34, 0x35, 0x38, 0x3D};

    console_init();
    kprintf("registers A to D: %02x %02x %02x %02x\n", get(A) & ~UPDATING, get(B), get(C), get(D));
    for (uint32_t i = 0; i < sizeof noted; i++) {
        kprintf("noted at %02x: %02x\n", noted[i], get(noted[i]));
    }
    wait_for_update();
    kprintf("century %02x\n", get(CENTURY));
    set(0x40, 0x5A);
    kprintf("memory %02x, with NMI off %02x\n", get(0x40), get(0x80 | 0x40));
    kprintf("index reads %02x\n", port_read_u8(INDEX));
    set(D, 0);
    kprintf("register D is read-only: %02x\n", get(D));
    set_time("decimal, 24 hours", HOURS_24, (const uint8_t[]){0x31, 0x12, 0x31, 0x13, 0x59, 0x03, 0x20});
    set_time("binary, 24 hours", BINARY | HOURS_24, (const uint8_t[]){31, 12, 31, 23, 58, 3, 20});
    set_time("decimal, 12 hours", 0, (const uint8_t[]){0x31, 0x12, 0x30, 0x92, 0x30, 0x02, 0x20});
    set_time("binary, 12 hours", BINARY, (const uint8_t[]){30, 2, 28, 0x8B, 15, 4, 20});
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
