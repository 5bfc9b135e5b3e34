/*
 * The pair of interrupt controllers (Intel 8259A data sheet): what a BIOS leaves, registers, priorities, all ways to end
 * an interrupt, polling, spurious interrupts.
 *
 * Requests come from the timer (line 0), whose channel is set so that it ticks once, from the transmitter of COM1
 * (line 4), which is empty as soon as it is let, from the keyboard controller in the name of keyboard (line 1) and mouse
 * (line 12), and from the periodic interrupt of the clock (line 8).
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "devices/traps.h"

enum { MASTER = 0x20, MASTER_DATA = 0x21, SLAVE = 0xA0, SLAVE_DATA = 0xA1 };
enum { READ_REQUESTS = 0x0A, READ_IN_SERVICE = 0x0B, POLL = 0x0C, SPECIAL_MASK = 0x68, NO_SPECIAL_MASK = 0x48 };
enum { END = 0x20, END_OF = 0x60, END_AND_ROTATE = 0xA0, SET_LOWEST = 0xC0, END_OF_AND_ROTATE = 0xE0 };
enum { ROTATE_AUTOMATIC = 0x80, DO_NOT_ROTATE = 0x00, NO_OPERATION = 0x40 };
enum { PLAIN = 0x01, AUTOMATIC_END = 0x03, FULLY_NESTED = 0x11 }; /* of ICW4 */
enum { LEVELS = 0x4D0, SLAVE_LEVELS = 0x4D1 };
enum { BASE = 0x20, SLAVE_BASE = 0x28, TIMER = 0, KEYBOARD = 1, CASCADE = 2, COM1_LINE = 4, CLOCK = 0, MOUSE = 4 };
enum { KEYBOARD_DATA = 0x60, KEYBOARD_COMMAND = 0x64, CLOCK_INDEX = 0x70, CLOCK_DATA = 0x71 };
enum { TIMER_COUNT = 0x40, TIMER_CONTROL = 0x43, ONE_SHOT = 0x30, SPEAKER = 0x61 };
enum { UART_INTERRUPT_ENABLE = 0x3F9, UART_MODEM = 0x3FC, TRANSMITTER_EMPTY = 2 };

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

static void wait_for_request(uint16_t chip, uint8_t line)
{
    while ((read_register(chip, READ_REQUESTS) >> line & 1) == 0) {
        cpu_relax();
    }
}

/* Lets the timer request an interrupt once (8254 data sheet, mode 0: its output goes up, and stays up). */
static void timer_request(void)
{
    port_write_u8(TIMER_CONTROL, ONE_SHOT);
    port_write_u8(TIMER_COUNT, 100);
    port_write_u8(TIMER_COUNT, 0);
    wait_for_request(MASTER, TIMER);
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

/* The controller gives a byte as if it came from the keyboard, or from the mouse; what was there is read before. */
static void keyboard_request(bool of_mouse)
{
    (void)port_read_u8(KEYBOARD_DATA);
    port_write_u8(KEYBOARD_COMMAND, 0x60);
    port_write_u8(KEYBOARD_DATA, 0x47);
    port_write_u8(KEYBOARD_COMMAND, of_mouse ? 0xD3 : 0xD2);
    port_write_u8(KEYBOARD_DATA, 0x55);
}

static void write_clock(uint8_t index, uint8_t value)
{
    port_write_u8(CLOCK_INDEX, index);
    port_write_u8(CLOCK_DATA, value);
}

/* One period of the clock ends. Its line stays up until register C is read. */
static void clock_request(void)
{
    port_write_u8(CLOCK_INDEX, 0x0C);
    (void)port_read_u8(CLOCK_DATA);
    write_clock(0x0B, 0x42);
    wait_for_request(SLAVE, CLOCK);
    write_clock(0x0B, 0x02);
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
    pic_init(PLAIN);
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
    pic_init(PLAIN);
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
    pic_init(PLAIN);
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

    pic_init(AUTOMATIC_END);
    timer_request();
    port_write_u8(MASTER_DATA, 0xFE);
    open_for_a_moment();
    show_taken("automatic end");
}

static void rotation(void)
{
    static const uint8_t commands[] = {END_OF_AND_ROTATE | KEYBOARD, NO_OPERATION | 3, END_OF_AND_ROTATE | 7};

    pic_init(PLAIN);
    port_write_u8(MASTER_DATA, (uint8_t)~(1 << TIMER | 1 << KEYBOARD));
    for (uint32_t i = 0; i < sizeof commands; i++) {
        timer_request();
        keyboard_request(false);
        open_for_a_moment();
        show_taken("of two");
        port_write_u8(MASTER, commands[i]);
        open_for_a_moment();
        show_taken("of the rest");
        port_write_u8(MASTER, END);
        port_write_u8(MASTER, END);
    }
    pic_init(AUTOMATIC_END);
    port_write_u8(MASTER_DATA, (uint8_t)~(1 << TIMER | 1 << KEYBOARD));
    port_write_u8(MASTER, ROTATE_AUTOMATIC);
    for (uint32_t i = 0; i < 3; i++) {
        timer_request();
        keyboard_request(false);
        open_for_a_moment();
        show_taken("automatic rotation");
    }
    port_write_u8(MASTER, DO_NOT_ROTATE);
    timer_request();
    keyboard_request(false);
    open_for_a_moment();
    show_taken("rotation stopped");
}

static void cascade(uint8_t icw4)
{
    kprintf("two lines of the slave, ICW4 is %x\n", icw4);
    pic_init(icw4);
    port_write_u8(MASTER_DATA, (uint8_t)~(1 << CASCADE));
    port_write_u8(SLAVE_DATA, (uint8_t)~(1 << CLOCK | 1 << MOUSE));
    keyboard_request(true);
    open_for_a_moment();
    show_taken("mouse");
    clock_request();
    open_for_a_moment();
    show_taken("clock, more urgent");
    port_write_u8(MASTER, END);
    open_for_a_moment();
    show_taken("end at the master");
    port_write_u8(SLAVE, END);
    open_for_a_moment();
    show_taken("end at the slave");
    port_write_u8(SLAVE, END);
    port_write_u8(MASTER, END);
    open_for_a_moment();
    show_taken("ends at both");
    keyboard_request(true);
    clock_request();
    open_for_a_moment();
    show_taken("both at once");
    port_write_u8(SLAVE, END);
    port_write_u8(MASTER, END);
    open_for_a_moment();
    show_taken("ends at both");
    port_write_u8(SLAVE, END);
    port_write_u8(MASTER, END);
}

static void lost_requests(void)
{
    pic_init(PLAIN);
    port_write_u8(MASTER_DATA, (uint8_t)~(1 << CASCADE));
    port_write_u8(SLAVE_DATA, (uint8_t)~(1 << MOUSE));
    keyboard_request(true);
    port_write_u8(SLAVE_DATA, 0xFF);
    show("masked at the slave");
    open_for_a_moment();
    show_taken("spurious");
    port_write_u8(MASTER, END);
    keyboard_request(false);
    port_write_u8(MASTER_DATA, (uint8_t)~(1 << KEYBOARD));
    port_write_u8(MASTER_DATA, 0xFF);
    open_for_a_moment();
    show_taken("masked at the master");
    port_write_u8(SLAVE_DATA, (uint8_t)~(1 << MOUSE));
    show("open at the slave");
    port_write_u8(MASTER, 0x11); /* ICW1; the slave still asks */
    show("master set up anew");
    pic_init(PLAIN);
    show("both set up anew");
}

static void polls(void)
{
    pic_init(PLAIN);
    port_write_u8(MASTER_DATA, (uint8_t)~(1 << CASCADE));
    port_write_u8(SLAVE_DATA, (uint8_t)~(1 << MOUSE));
    keyboard_request(true);
    kprintf("poll of the master %02x\n", read_register(MASTER, POLL));
    show("polled");
    kprintf("poll of the slave %02x\n", read_register(SLAVE, POLL));
    show("polled");
    port_write_u8(SLAVE, END);
    port_write_u8(MASTER, END);
    open_for_a_moment();
    show_taken("after the polls");
    keyboard_request(true);
    port_write_u8(SLAVE, POLL);
    kprintf("poll by the masks' port %02x\n", port_read_u8(SLAVE_DATA));
    show("polled");
    port_write_u8(MASTER, END);
    port_write_u8(SLAVE, POLL | 3);
    kprintf("poll, and in service %02x %02x\n", port_read_u8(SLAVE), port_read_u8(SLAVE));
    open_for_a_moment();
    show_taken("nothing at the slave");
}

static void levels(void)
{
    kprintf("levels %02x %02x\n", port_read_u8(LEVELS), port_read_u8(SLAVE_LEVELS));
    port_write_u8(LEVELS, 0xFF);
    port_write_u8(SLAVE_LEVELS, 0xFF);
    kprintf("levels %02x %02x\n", port_read_u8(LEVELS), port_read_u8(SLAVE_LEVELS));
    pic_init(PLAIN);
    kprintf("levels %02x %02x\n", port_read_u8(LEVELS), port_read_u8(SLAVE_LEVELS));
    port_write_u8(LEVELS, 0);
    port_write_u8(SLAVE_LEVELS, 0);
    kprintf("levels %02x %02x\n", port_read_u8(LEVELS), port_read_u8(SLAVE_LEVELS));
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
    pic_init(PLAIN);
    timer_quiet();
    masks();
    delivery();
    priorities();
    special_modes();
    rotation();
    cascade(PLAIN);
    cascade(FULLY_NESTED);
    cascade(AUTOMATIC_END);
    lost_requests();
    polls();
    levels();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
