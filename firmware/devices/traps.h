/* Interrupts and exceptions of the self-tests: all vectors have a gate, and what raises an exception can be tried. */

#ifndef DEVICES_TRAPS_H
#define DEVICES_TRAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/exceptions.h"

/* What the CPU and trap_entries.S have pushed. The last two are there only if the interrupted code was in another ring. */
struct trap {
    uint32_t gs, fs, es, ds;
    uint32_t edi, esi, ebp, handler_esp, ebx, edx, ecx, eax;
    uint32_t vector;
    uint32_t error_code; /* 0 where the CPU pushes none */
    uint32_t eip, cs, eflags;
    uint32_t esp, ss;
};

enum { VECTORS = 256 };

extern struct gate idt[VECTORS];

/* Leads all vectors to trap_taken(), and loads the IDT. */
void traps_init(void);

/* Calls `handler` for a vector from now on, in place of escaping from attempt(). NULL: escapes again. */
void trap_handle(uint32_t vector, void (*handler)(struct trap *trap));

/* The last exception that nothing handled. */
extern struct trap last_trap;

/*
 * Calls `code`. Returns true if it raised an exception that nothing handles: it has been given up then, and `last_trap`
 * says what it was; false if it returned.
 */
bool raises(void (*code)(void));

/* Calls raises() and prints one line about what came of it; addresses are relative to `code`. */
void try(const char *name, void (*code)(void));

#endif
