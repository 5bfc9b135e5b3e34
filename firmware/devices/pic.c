/*
 * The pair of interrupt controllers (Intel 8259A data sheet): what a BIOS leaves, registers, priorities, all ways to end
 * an interrupt, polling, spurious interrupts.
 *
 * Requests come from the timer (line 0), whose channel is set so that it ticks once, and from the transmitter of COM1
 * (line 4), which is empty as soon as it is let.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "devices/traps.h"

enum { MASTER = 0x20, MASTER_DATA = 0x21, SLAVE = 0xA0, SLAVE_DATA = 0xA1 };
enum { READ_REQUESTS = 0x0A, READ_IN_SERVICE = 0x0B, POLL = 0x0C, SPECIAL_MASK = 0x68, NO_SPECIAL_MASK = 0x48 };
enum { END = 0x20, END_OF = 0x60, END_AND_ROTATE = 0xA0, SET_LOWEST = 0xC0 };
enum { BASE = 0x20, SLAVE_BASE = 0x28, TIMER = 0, CASCADE = 2, COM1_LINE = 4 };
enum { TIMER_COUNT = 0x40, TIMER_CONTROL = 0x43, ONE_SHOT = 0x30, SPEAKER = 0x61 };
enum { UART_INTERRUPT_ENABLE = 0x3F9, UART_IDENTIFY = 0x3FA, UART_MODEM = 0x3FC, TRANSMITTER_EMPTY = 2 };

static uint32_t taken[8], taken_count;

static uint8_t read_register(uint16_t port, uint8_t which)
{
    port_write_u8(port, which);
    return port_read_u8(port);
}

static void show(const char *what)
{
    kprintf("%s: requests %02x %02x, in service %02x %02x, masks %02x %02x\n", what,
            read_register(MASTER, READ_REQUESTS), read_register(SLAVE, READ_REQUESTS),
            read_register(MASTER, READ_IN_SERVICE), read_register(SLAVE, READ_IN_SERVICE),
            port_read_u8(MASTER_DATA), port_read_u8(SLAVE_DATA));
}

/* Sets both up (ICW1 to ICW4), all lines masked. */
static void pic_init(uint8_t icw4)
{
    port_write_u8(MASTER, 0x11);
    port_write_u8(MASTER_DATA, BASE);
    port_write_u8(MASTER_DATA, 1 << CASCADE);
    port_write_u8(MASTER_DATA, icw4);
    port_write_u8(SLAVE, 0x11);
    port_write_u8(SLAVE_DATA, SLAVE_BASE);
    port_write_u8(SLAVE_DATA, CASCADE);
    port_write_u8(SLAVE_DATA, icw4);
    port_write_u8(MASTER_DATA, 0xFF);
    port_write_u8(SLAVE_DATA, 0xFF);
}

static void wait_for_request(uint8_t line)
{
    while ((read_register(MASTER, READ_REQUESTS) >> line & 1) == 0) {
        cpu_relax();
    }
}

/* Lets the timer request an interrupt once (8254 data sheet, mode 0: its output goes up, and stays up). */
static void timer_request(void)
{
    port_write_u8(TIMER_CONTROL, ONE_SHOT);
    port_write_u8(TIMER_COUNT, 100);
    port_write_u8(TIMER_COUNT, 0);
    wait_for_request(TIMER);
}

/* The timer's output goes down, and its request with it. */
static void timer_quiet(void)
{
    port_write_u8(TIMER_CONTROL, ONE_SHOT);
    port_write_u8(TIMER_COUNT, 0xFF);
    port_write_u8(TIMER_COUNT, 0xFF);
}

static void uart_request(bool on)
{
    port_write_u8(UART_MODEM, on ? 0x0B : 0x03); /* OUT2 lets the line through */
    port_write_u8(UART_INTERRUPT_ENABLE, on ? TRANSMITTER_EMPTY : 0);
}

static void note(struct trap *trap)
{
    taken[taken_count++ & 7] = trap->vector;
}

static void open_for_a_moment(void)
{
    __asm__ volatile("sti; nop; nop; nop; nop; cli");
}

static void show_taken(const char *what)
{
    kprintf("%s: taken", what);
    for (uint32_t i = 0; i < taken_count; i++) {
        kprintf(" %x", taken[i]);
    }
    kprintf("\n");
    taken_count = 0;
    show(what);
}

static void masks(void)
{
    static const uint8_t values[] = {0x00, 0x5A, 0xFF};

    for (uint32_t i = 0; i < sizeof values; i++) {
        port_write_u8(MASTER_DATA, values[i]);
        port_write_u8(SLAVE_DATA, (uint8_t)~values[i]);
        kprintf("masks %02x %02x\n", port_read_u8(MASTER_DATA), port_read_u8(SLAVE_DATA));
    }
    port_write_u8(MASTER_DATA, 0xFF);
    port_write_u8(SLAVE_DATA, 0xFF);
}

static void delivery(void)
{
    pic_init(1);
    show("set up");
    timer_request();
    show("timer, masked");
    open_for_a_moment();
    show_taken("open, masked");
    port_write_u8(MASTER_DATA, 0xFE);
    open_for_a_moment();
    show_taken("open");
    open_for_a_moment();
    show_taken("open again, no end");
    timer_request();
    show("timer again");
    open_for_a_moment();
    show_taken("still in service");
    port_write_u8(MASTER, END);
    open_for_a_moment();
    show_taken("ended");
    port_write_u8(MASTER, END_OF | TIMER);
    show("ended by name");
    port_write_u8(MASTER, END);
    show("ended without need");
}

static void priorities(void)
{
    pic_init(1);
    timer_request();
    uart_request(true);
    port_write_u8(MASTER_DATA, (uint8_t)~(1 << TIMER | 1 << COM1_LINE));
    show("two requests");
    open_for_a_moment();
    show_taken("first");
    port_write_u8(MASTER, END);
    open_for_a_moment();
    show_taken("second");
    timer_request();
    open_for_a_moment();
    show_taken("higher one nested");
    port_write_u8(MASTER, END);
    show("one end");
    port_write_u8(MASTER, END);
    show("two ends");
    uart_request(false);

    port_write_u8(MASTER, SET_LOWEST | TIMER);
    timer_request();
    uart_request(true);
    open_for_a_moment();
    show_taken("timer lowest");
    port_write_u8(MASTER, END_AND_ROTATE);
    uart_request(false);
    open_for_a_moment();
    show_taken("rotated");
    port_write_u8(MASTER, END);
    port_write_u8(MASTER, SET_LOWEST | 7);
}

static void special_modes(void)
{
    pic_init(1);
    timer_request();
    port_write_u8(MASTER_DATA, (uint8_t)~(1 << TIMER | 1 << COM1_LINE));
    open_for_a_moment();
    uart_request(true);
    show_taken("lower one waits");
    port_write_u8(MASTER, SPECIAL_MASK);
    port_write_u8(MASTER_DATA, (uint8_t)~(1 << COM1_LINE));
    open_for_a_moment();
    show_taken("special mask");
    port_write_u8(MASTER, NO_SPECIAL_MASK);
    uart_request(false);
    port_write_u8(MASTER, END_OF | COM1_LINE);
    port_write_u8(MASTER, END_OF | TIMER);
    show("ended by name");

    timer_request();
    port_write_u8(MASTER_DATA, 0xFE);
    kprintf("poll %02x\n", read_register(MASTER, POLL));
    show("polled");
    port_write_u8(MASTER, END);
    kprintf("poll %02x\n", read_register(MASTER, POLL));
    show("polled, nothing there");

    pic_init(3); /* ends by itself */
    timer_request();
    port_write_u8(MASTER_DATA, 0xFE);
    open_for_a_moment();
    show_taken("automatic end");
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    uint8_t first_masks[] = {port_read_u8(MASTER_DATA), port_read_u8(SLAVE_DATA)};

    port_write_u8(SPEAKER, 0);
    console_init();
    kprintf("masks at entry: %02x %02x\n", first_masks[0], first_masks[1]);
    traps_init();
    for (uint32_t vector = BASE; vector < SLAVE_BASE + 8; vector++) {
        trap_handle(vector, note);
    }
    pic_init(1);
    timer_quiet();
    masks();
    delivery();
    priorities();
    special_modes();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
