/* CPU exceptions: reported, then the run ends. */

#ifndef COMMON_EXCEPTIONS_H
#define COMMON_EXCEPTIONS_H

#include <stdint.h>

enum { EXCEPTION_COUNT = 32 }; /* vectors that belong to the CPU */

/* An entry of the interrupt descriptor table (SDM volume 3, 6.11). */
struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint16_t type;
    uint16_t offset_high;
};

/* The gate that leads to `entry` with interrupts off. */
struct gate interrupt_gate(uint32_t entry);

/*
 * Fills the first EXCEPTION_COUNT gates of `idt`, so that each exception is reported, and loads the table. Gates of
 * interrupts, if any, are the caller's: `count` is the number of all gates.
 */
void exceptions_init(struct gate *idt, uint32_t count);

#endif
