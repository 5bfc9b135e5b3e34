/* The kernel's console: COM1, 115200 baud 8N1, polled. Also the QEMU/Bochs debug port. */

#ifndef COMMON_CONSOLE_H
#define COMMON_CONSOLE_H

/* Sets the UART up. To be called once, before anything prints. */
void console_init(void);

/* Prints `text` as it is; '\n' stays one byte. */
void console_write(const char *text);

/*
 * Prints formatted text: %u %d %x %p %s %c %%, with a width and a leading 0 for the numbers
 * ("%08x"). All numbers are 32 bits wide; %p prints 0x and eight digits.
 */
__attribute__((format(printf, 1, 2))) void kprintf(const char *format, ...);

/* Prints `text` on port 0xE9, which only emulators have. */
void debug_port_write(const char *text);

#endif
