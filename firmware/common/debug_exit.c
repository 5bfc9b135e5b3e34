/*
 * Theory of operation
 *
 * A write to port 0xF4 ends the virtual machine: `-device isa-debug-exit,iobase=0xf4,iosize=0x04`.
 * With an iosize of 4 the write is 32 bits wide.
 *
 * Shortcomings
 *
 * On a machine without the device the CPU just stops, with interrupts off.
 */

#include "common/debug_exit.h"

#include "common/cpu.h"

enum { DEBUG_EXIT_PORT = 0xF4 };

void debug_exit(uint8_t value)
{
    port_write_u32(DEBUG_EXIT_PORT, value);
    for (;;) {
        cpu_disable_interrupts();
        cpu_halt();
    }
}
