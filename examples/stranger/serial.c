/* COM1, and the port that ends the virtual machine (QEMU: -device isa-debug-exit,iobase=0xf4,iosize=4). */

#include "serial.h"

enum { COM1 = 0x3F8, EXIT = 0xF4 };

static void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

void serial_open(void)
{
    out8(COM1 + 3, 0x80); /* the divisor is set next */
    out8(COM1 + 0, 1);    /* 115200 baud */
    out8(COM1 + 1, 0);
    out8(COM1 + 3, 0x03); /* 8N1 */
}

void say(const char *text)
{
    for (; *text != '\0'; text++) {
        while ((in8(COM1 + 5) & 0x20) == 0) {
        }
        out8(COM1, (uint8_t)*text);
    }
}

void say_number(uint32_t value)
{
    char digits[11];
    char *first = digits + sizeof(digits) - 1;

    *first = '\0';
    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    say(first);
}

_Noreturn void power_off(uint8_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"((uint32_t)value), "Nd"((uint16_t)EXIT));
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}
