/*
 * The keyboard controller (IBM PC AT Technical Reference, "Keyboard Controller") with keyboard and mouse that nobody
 * touches: self-tests, commands, answers, the interrupt of line 1, A20.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"

enum { DATA = 0x60, STATUS = 0x64, OUTPUT_FULL = 1, INPUT_FULL = 2, ROUNDS = 10000, ANSWERS_MAX = 8, NOTHING = 0x100 };

static void write_when_empty(uint16_t port, uint8_t value)
{
    for (uint32_t i = 0; i < ROUNDS && (port_read_u8(STATUS) & INPUT_FULL) != 0; i++) {
        cpu_relax();
    }
    port_write_u8(port, value);
}

static void command(uint8_t value)
{
    write_when_empty(STATUS, value);
}

static void data(uint8_t value)
{
    write_when_empty(DATA, value);
}

static uint32_t answer(void)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        if ((port_read_u8(STATUS) & OUTPUT_FULL) != 0) {
            return port_read_u8(DATA);
        }
    }
    return NOTHING;
}

static void show_answers(const char *what)
{
    kprintf("%s: status %02x, answers", what, port_read_u8(STATUS));
    uint32_t value = answer();
    for (uint32_t count = 0; count < ANSWERS_MAX && value != NOTHING; count++, value = answer()) {
        kprintf(" %02x", value);
    }
    kprintf(", status %02x\n", port_read_u8(STATUS));
}

static void controller(void)
{
    static const struct {
        const char *name;
        uint8_t value;
    } commands[] = {
        {"disable keyboard", 0xAD}, {"disable mouse", 0xA7}, {"read command byte", 0x20}, {"self-test", 0xAA},
        {"read command byte", 0x20}, {"test keyboard", 0xAB}, {"test mouse", 0xA9},  {"read input", 0xC0},
        {"read output", 0xD0},       {"enable mouse", 0xA8},  {"enable keyboard", 0xAE},
    };

    for (uint32_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        command(commands[i].value);
        show_answers(commands[i].name);
    }
    command(0x60);
    data(0x64); /* no translation into set 2, no interrupts */
    command(0x20);
    show_answers("command byte written");
    command(0xD2);
    data(0x1E);
    show_answers("byte as from the keyboard");
    command(0xD3);
    data(0x2D);
    show_answers("byte as from the mouse");
}

static void keyboard(void)
{
    static const struct {
        const char *name;
        uint8_t value, more;
        bool has_more;
    } commands[] = {
        {"echo", 0xEE, 0, false},        {"identify", 0xF2, 0, false},     {"lights", 0xED, 2, true},
        {"scan code set", 0xF0, 0, true}, {"rate", 0xF3, 0x20, true},       {"disable scanning", 0xF5, 0, false},
        {"enable scanning", 0xF4, 0, false}, {"defaults", 0xF6, 0, false}, {"reset", 0xFF, 0, false},
    };

    for (uint32_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        data(commands[i].value);
        if (commands[i].has_more) {
            kprintf("(%02x) ", answer());
            data(commands[i].more);
        }
        show_answers(commands[i].name);
    }
}

static void mouse(void)
{
    static const uint8_t commands[] = {0xFF, 0xF2, 0xF4, 0xE9, 0xF5};

    for (uint32_t i = 0; i < sizeof commands; i++) {
        command(0xD4);
        data(commands[i]);
        kprintf("%02x to the ", commands[i]);
        show_answers("mouse");
    }
}

static void a20(void)
{
    kprintf("port 92: %02x\n", port_read_u8(0x92));
    command(0xDF);
    command(0xD0);
    show_answers("A20 on");
    port_write_u8(0x92, 2);
    kprintf("port 92: %02x\n", port_read_u8(0x92));
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    console_init();
    show_answers("at entry");
    command(0x20);
    show_answers("command byte at entry");
    controller();
    keyboard();
    mouse();
    a20();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
