/*
 * Theory of operation
 *
 * An exception that the kernel has no handler for, or whose handler does not know it, is a bug: one line names vector,
 * location and error code, and the run ends with EXIT_EXCEPTION.
 *
 * Shortcomings
 *
 * Ring 0 has no second stack, so a fault caused by a bad stack pointer cannot be reported: the machine resets.
 */

#include "common/exceptions.h"

#include <stdint.h>

#include "common/console.h"
#include "common/debug_exit.h"

enum {
    CODE_SELECTOR = 0x08,           /* entry.S */
    GATE_PRESENT_INTERRUPT = 0x8E00 /* present, ring 0, 32-bit interrupt gate (SDM volume 3, 6.11) */
};

struct __attribute__((packed)) table_register {
    uint16_t limit;
    const struct gate *base;
};

_Static_assert(sizeof(struct gate) == 8, "IDT gate");
_Static_assert(sizeof(struct table_register) == 6, "operand of LIDT");

extern const uint32_t exception_entries[EXCEPTION_COUNT]; /* exception_entries.S */

static exception_handler handle;

struct gate interrupt_gate(uint32_t entry)
{
    return (struct gate){
        .offset_low = (uint16_t)entry,
        .selector = CODE_SELECTOR,
        .type = GATE_PRESENT_INTERRUPT,
        .offset_high = (uint16_t)(entry >> 16),
    };
}

void exceptions_init(struct gate *idt, uint32_t count, exception_handler handler)
{
    handle = handler;
    for (uint32_t vector = 0; vector < EXCEPTION_COUNT; vector++) {
        idt[vector] = interrupt_gate(exception_entries[vector]);
    }
    const struct table_register idt_register = {.limit = (uint16_t)(count * sizeof(*idt) - 1), .base = idt};
    __asm__ volatile("lidt %0" : : "m"(idt_register) : "memory");
}

/* Prints the line and ends the run. */
static __attribute__((noreturn)) void exception_report(const struct trap_frame *frame)
{
    kprintf("exception %u at 0x%08x error 0x%08x\n", frame->vector, frame->eip, frame->error_code);
    debug_exit(EXIT_EXCEPTION);
}

/* Called by exception_entries.S. */
void exception_handle(const struct trap_frame *frame);

void exception_handle(const struct trap_frame *frame)
{
    if (handle == NULL || !handle(frame)) {
        exception_report(frame);
    }
}
