/*
 * Theory of operation
 *
 * One byte goes out at a time, as soon as the 16550's transmit holding register is empty. No
 * interrupts, no buffer: what was printed before a crash has left the machine.
 *
 * Shortcomings
 *
 * Output only. A line may be torn when two CPUs print at once: callers hold no lock here.
 */

#include "common/console.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cpu.h"

/* 16550 registers (PC16550D data sheet, table I). */
enum {
    COM1 = 0x3F8,
    UART_DATA = COM1 + 0,             /* divisor latch low while DLAB is set */
    UART_INTERRUPT_ENABLE = COM1 + 1, /* divisor latch high while DLAB is set */
    UART_FIFO_CONTROL = COM1 + 2,
    UART_LINE_CONTROL = COM1 + 3,
    UART_MODEM_CONTROL = COM1 + 4,
    UART_LINE_STATUS = COM1 + 5,
};

enum {
    LINE_8N1 = 0x03,
    LINE_DIVISOR_LATCH = 0x80,
    FIFO_ENABLE_AND_CLEAR = 0x07,
    MODEM_DTR_AND_RTS = 0x03,
    STATUS_TRANSMIT_EMPTY = 0x20,
    DIVISOR_115200 = 1,
};

enum { DEBUG_PORT = 0xE9 };

void console_init(void)
{
    port_write_u8(UART_INTERRUPT_ENABLE, 0);
    port_write_u8(UART_LINE_CONTROL, LINE_DIVISOR_LATCH);
    port_write_u8(UART_DATA, DIVISOR_115200);
    port_write_u8(UART_INTERRUPT_ENABLE, 0);
    port_write_u8(UART_LINE_CONTROL, LINE_8N1);
    port_write_u8(UART_FIFO_CONTROL, FIFO_ENABLE_AND_CLEAR);
    port_write_u8(UART_MODEM_CONTROL, MODEM_DTR_AND_RTS);
}

static void put_char(char c)
{
    while ((port_read_u8(UART_LINE_STATUS) & STATUS_TRANSMIT_EMPTY) == 0) {
        cpu_relax();
    }
    port_write_u8(UART_DATA, (uint8_t)c);
}

void console_write(const char *text)
{
    while (*text != '\0') {
        put_char(*text++);
    }
}

void debug_port_write(const char *text)
{
    while (*text != '\0') {
        port_write_u8(DEBUG_PORT, (uint8_t)*text++);
    }
}

static void put_number(uint32_t value, uint32_t base, uint32_t width, char pad)
{
    char digits[10]; /* 4294967295 */
    uint32_t count = 0;

    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    for (; width > count; width--) {
        put_char(pad);
    }
    while (count > 0) {
        put_char(digits[--count]);
    }
}

static void put_signed(int32_t value, uint32_t width, char pad)
{
    if (value < 0) {
        put_char('-');
        put_number(-(uint32_t)value, 10, width > 0 ? width - 1 : 0, pad);
    } else {
        put_number((uint32_t)value, 10, width, pad);
    }
}

void kprintf(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    for (; *format != '\0'; format++) {
        if (*format != '%') {
            put_char(*format);
            continue;
        }
        char pad = *++format == '0' ? '0' : ' ';
        uint32_t width = 0;
        for (; *format >= '0' && *format <= '9'; format++) {
            width = width * 10 + (uint32_t)(*format - '0');
        }
        switch (*format) {
        case 'u':
            put_number(va_arg(arguments, uint32_t), 10, width, pad);
            break;
        case 'd':
            put_signed(va_arg(arguments, int32_t), width, pad);
            break;
        case 'x':
            put_number(va_arg(arguments, uint32_t), 16, width, pad);
            break;
        case 'p':
            console_write("0x");
            put_number(va_arg(arguments, uint32_t), 16, 8, '0');
            break;
        case 's':
            console_write(va_arg(arguments, const char *));
            break;
        case 'c':
            put_char((char)va_arg(arguments, int));
            break;
        case '\0':
            format--; /* a lone % at the end: let the loop see the end */
            break;
        default:
            put_char(*format);
            break;
        }
    }
    va_end(arguments);
}
