/* CPU exceptions: handled, or reported, and then the run ends. */

#ifndef COMMON_EXCEPTIONS_H
#define COMMON_EXCEPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXCEPTION_COUNT = 32 }; /* vectors that belong to the CPU */

/* An entry of the interrupt descriptor table (SDM volume 3, 6.11). */
struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint16_t type;
    uint16_t offset_high;
};

/* What an exception finds, as exception_entries.S leaves it. The last two only where it came from ring 3. */
struct trap_frame {
    uint32_t es, ds;
    uint32_t edi, esi, ebp, unused_esp, ebx, edx, ecx, eax;
    uint32_t vector;
    uint32_t error_code; /* 0 where the CPU pushes none */
    uint32_t eip, cs, eflags;
    uint32_t esp, ss;
};

_Static_assert(offsetof(struct trap_frame, vector) == 40, "trap_frame.vector");

/* Handles an exception, with interrupts off. True: the interrupted code goes on; false: it is reported. */
typedef bool (*exception_handler)(const struct trap_frame *frame);

/* The gate that leads to `entry` with interrupts off. */
struct gate interrupt_gate(uint32_t entry);

/*
 * Fills the first EXCEPTION_COUNT gates of `idt`, so that each exception is reported, and loads the table. Gates of
 * interrupts, if any, are the caller's: `count` is the number of all gates. `handler` is asked first; NULL: nobody.
 */
void exceptions_init(struct gate *idt, uint32_t count, exception_handler handler);

#endif
