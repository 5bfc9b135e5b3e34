/*
 * The serial ports (PC16550D data sheet): registers, loopback, interrupts, FIFOs. What is tried is printed afterwards,
 * because the console is the same device.
 */

#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"

enum { COM1 = 0x3F8, COM2 = 0x2F8 };
enum { DATA = 0, ENABLE = 1, IDENTIFY = 2, LINE = 3, MODEM = 4, LINE_STATUS = 5, MODEM_STATUS = 6, SCRATCH = 7 };
enum { DIVISOR_LATCH = 0x80, LOOPBACK = 0x10 };

static uint32_t base;

static uint8_t read(uint32_t number)
{
    return port_read_u8((uint16_t)(base + number));
}

static void write(uint32_t number, uint32_t value)
{
    port_write_u8((uint16_t)(base + number), (uint8_t)value);
}

/* What was seen, until it can be printed. */
static struct {
    const char *what;
    uint32_t value;
} seen[160];
static uint32_t seen_count;

static void see(const char *what, uint32_t value)
{
    seen[seen_count].what = what;
    seen[seen_count++].value = value;
}

static void registers(void)
{
    for (uint32_t number = ENABLE; number <= SCRATCH; number++) {
        see("register at entry", read(number));
    }
    write(SCRATCH, 0xA5);
    see("scratch", read(SCRATCH));
    write(ENABLE, 0xFF);
    see("all interrupts", read(ENABLE));
    write(ENABLE, 0);
    write(LINE, 0x7F);
    see("line control", read(LINE));
    write(MODEM, 0xFF);
    see("modem control", read(MODEM));
    write(MODEM, 0);
    write(LINE, DIVISOR_LATCH | 3);
    write(DATA, 0x34);
    write(ENABLE, 0x12);
    see("divisor, low", read(DATA));
    see("divisor, high", read(ENABLE));
    write(LINE, 3);
    see("interrupts behind the divisor", read(ENABLE));
    write(IDENTIFY, 0xC7);
    see("FIFOs on", read(IDENTIFY));
    write(IDENTIFY, 0);
    see("FIFOs off", read(IDENTIFY));
}

static void loopback(void)
{
    for (uint32_t bits = 0; bits < 16; bits++) {
        write(MODEM, LOOPBACK | bits);
        see("modem status in loopback", read(MODEM_STATUS) & 0xF0);
    }
    write(MODEM, LOOPBACK);
    (void)read(MODEM_STATUS);
    write(MODEM, LOOPBACK | 0x0F);
    see("lines changed", read(MODEM_STATUS));
    see("and not again", read(MODEM_STATUS));
    write(MODEM, LOOPBACK);
    see("lines changed back", read(MODEM_STATUS));
    (void)read(DATA);
    see("nothing received", read(LINE_STATUS));
    write(DATA, 0x55);
    see("received", read(LINE_STATUS));
    see("data", read(DATA));
    see("taken", read(LINE_STATUS));
}

static void interrupts(void)
{
    see("no interrupt", read(IDENTIFY));
    write(ENABLE, 2);
    see("transmitter empty", read(IDENTIFY));
    see("seen, so gone", read(IDENTIFY));
    write(ENABLE, 0);
    write(ENABLE, 2);
    see("enabled once more", read(IDENTIFY));
    write(ENABLE, 1);
    write(DATA, 0x42);
    see("data there", read(IDENTIFY));
    see("and still", read(IDENTIFY));
    (void)read(DATA);
    see("data taken", read(IDENTIFY));
    write(ENABLE, 8);
    write(MODEM, LOOPBACK | 2);
    see("modem line", read(IDENTIFY));
    (void)read(MODEM_STATUS);
    see("modem status read", read(IDENTIFY));
    write(ENABLE, 0);
    write(MODEM, 0);
}

__attribute__((noreturn)) void kmain(void);

static void test(uint32_t port)
{
    base = port;
    see("port", port);
    registers();
    loopback();
    interrupts();
}

void kmain(void)
{
    test(COM1);
    test(COM2);
    for (const char *c = "hello from COM2\n"; *c != '\0'; c++) {
        write(DATA, (uint8_t)*c);
    }
    console_init();
    for (uint32_t i = 0; i < seen_count; i++) {
        kprintf("%s: %02x\n", seen[i].what, seen[i].value);
    }
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
