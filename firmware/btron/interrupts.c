/*
 * Theory of operation
 *
 * The two 8259A controllers deliver irq 0..15 as vectors 32..47, after the CPU's own. Only irq 0 is let
 * through: the 8254's channel 0, which divides 1193182 Hz by 1193. The handler acknowledges it first, because
 * the tick may switch to another task and come back much later. Exceptions of tasks are faults.c's. Ring 3 may use one
 * gate, that of calls.
 *
 * Shortcomings
 *
 * A tick is 0.999847 ms. Ticks that come while interrupts are off for longer than that are lost.
 */

#include "btron/interrupts.h"

#include "btron/faults.h"
#include "btron/task.h"
#include "btron/user_calls.h"
#include "common/cpu.h"
#include "common/exceptions.h"

/* 8259A: initialization command words 1 to 4, then operation command words (Intel 8259A data sheet). */
enum {
    PIC1_COMMAND = 0x20,
    PIC1_DATA = 0x21,
    PIC2_COMMAND = 0xA0,
    PIC2_DATA = 0xA1,
    ICW1_CASCADE_ICW4 = 0x11,
    ICW3_PIC2_ON_IRQ2 = 1 << 2,
    ICW3_PIC2_IS_2 = 2,
    ICW4_8086 = 0x01,
    MASK_ALL = 0xFF,
    MASK_ALL_BUT_TIMER = 0xFE,
    END_OF_IRQ0 = 0x60, /* OCW2: specific end of interrupt */
};

/* 8254 (Intel 8254 data sheet). */
enum {
    PIT_CHANNEL0 = 0x40,
    PIT_CONTROL = 0x43,
    PIT_RATE_GENERATOR = 0x34, /* channel 0, low byte then high byte, mode 2 */
    PIT_DIVISOR = 1193,
};

enum {
    IRQ_VECTOR = EXCEPTION_COUNT,
    IRQ_COUNT = 16,
    VECTOR_TIMER = IRQ_VECTOR + 0,
    VECTOR_SPURIOUS = IRQ_VECTOR + 7, /* what the 8259A says when a request has gone away */
    VECTOR_COUNT = USER_CALL_VECTOR + 1,
    GATE_USER_TRAP = 0xEF00, /* present, ring 3, 32-bit trap gate (SDM volume 3, 6.11) */
};

_Static_assert(USER_CALL_VECTOR >= IRQ_VECTOR + IRQ_COUNT, "vector of calls");

static _Alignas(8) struct gate idt[VECTOR_COUNT];

/* interrupt_entries.S */
void timer_entry(void);
void spurious_entry(void);

static void pic_init(void)
{
    port_write_u8(PIC1_COMMAND, ICW1_CASCADE_ICW4);
    port_write_u8(PIC2_COMMAND, ICW1_CASCADE_ICW4);
    port_write_u8(PIC1_DATA, IRQ_VECTOR);
    port_write_u8(PIC2_DATA, IRQ_VECTOR + 8);
    port_write_u8(PIC1_DATA, ICW3_PIC2_ON_IRQ2);
    port_write_u8(PIC2_DATA, ICW3_PIC2_IS_2);
    port_write_u8(PIC1_DATA, ICW4_8086);
    port_write_u8(PIC2_DATA, ICW4_8086);
    port_write_u8(PIC1_DATA, MASK_ALL);
    port_write_u8(PIC2_DATA, MASK_ALL);
}

void interrupts_init(void)
{
    idt[VECTOR_TIMER] = interrupt_gate((uint32_t)timer_entry);
    idt[VECTOR_SPURIOUS] = interrupt_gate((uint32_t)spurious_entry);
    idt[USER_CALL_VECTOR] = interrupt_gate((uint32_t)user_call_entry);
    idt[USER_CALL_VECTOR].type = GATE_USER_TRAP;
    exceptions_init(idt, VECTOR_COUNT, fault_handle);
    pic_init();
}

void timer_start(void)
{
    port_write_u8(PIT_CONTROL, PIT_RATE_GENERATOR);
    port_write_u8(PIT_CHANNEL0, PIT_DIVISOR & 0xFF);
    port_write_u8(PIT_CHANNEL0, PIT_DIVISOR >> 8);
    port_write_u8(PIC1_DATA, MASK_ALL_BUT_TIMER);
}

/* Called by interrupt_entries.S. */
void timer_interrupt(void);

void timer_interrupt(void)
{
    port_write_u8(PIC1_COMMAND, END_OF_IRQ0);
    tick_handle();
}
