#include "devices/traps.h"

#include <stddef.h>

#include "common/console.h"
#include "common/debug_exit.h"

struct __attribute__((packed)) table_register {
    uint16_t limit;
    const struct gate *base;
};

extern const uint32_t trap_entries[VECTORS];          /* trap_entries.S */
__attribute__((noreturn)) void trap_escape(void);     /* the same */
bool attempt(void (*code)(void));                     /* the same */
void trap_taken(struct trap *trap);                  /* called by trap_entries.S */

struct gate idt[VECTORS];
struct trap last_trap;

static void (*handlers[VECTORS])(struct trap *trap);
static bool trying;

void traps_init(void)
{
    for (uint32_t vector = 0; vector < VECTORS; vector++) {
        idt[vector] = interrupt_gate(trap_entries[vector]);
    }
    const struct table_register idt_register = {.limit = sizeof(idt) - 1, .base = idt};
    __asm__ volatile("lidt %0" : : "m"(idt_register) : "memory");
}

void trap_handle(uint32_t vector, void (*handler)(struct trap *trap))
{
    handlers[vector] = handler;
}

void trap_taken(struct trap *trap)
{
    if (handlers[trap->vector] != NULL) {
        handlers[trap->vector](trap);
        return;
    }
    last_trap = *trap;
    if (!trying) {
        kprintf("vector %u out of place, error code 0x%x, at 0x%08x\n", trap->vector, trap->error_code, trap->eip);
        debug_exit(EXIT_EXCEPTION);
    }
    trap_escape();
}

bool raises(void (*code)(void))
{
    trying = true;
    bool returned = attempt(code);
    trying = false;
    return !returned;
}

void try(const char *name, void (*code)(void))
{
    uint32_t start = (uint32_t)code;
    uint32_t cr2 = 0;

    __asm__ volatile("movl %0, %%cr2" : : "r"(cr2));
    bool raised = raises(code);
    kprintf("%s: ", name);
    if (!raised) {
        kprintf("nothing\n");
        return;
    }
    __asm__ volatile("movl %%cr2, %0" : "=r"(cr2));
    kprintf("vector %u, error code 0x%x, at ", last_trap.vector, last_trap.error_code);
    if (last_trap.eip - start < 64) {
        kprintf("+%u", last_trap.eip - start);
    } else {
        kprintf("0x%08x", last_trap.eip);
    }
    kprintf(", cs 0x%x, flags 0x%x, cr2 0x%08x\n", last_trap.cs, last_trap.eflags, cr2);
}
