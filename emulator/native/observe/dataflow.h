/* What an instruction does to values of which bits are not defined, before it is executed. */
#ifndef KMEMU_DATAFLOW_H
#define KMEMU_DATAFLOW_H

#include "machine.h"

/* Bits of a value that no program has defined, and where they come from: from a byte of a block, which was read somewhere (definedness.c). */
struct undefined { uint32_t bits, origin, distance; };

/* The CPU's registers. `conditions`: bit n is set where condition 2n of a conditional jump cannot be told. */
struct values {
    struct undefined general[8]; /* as instructions encode them */
    struct undefined conditions;
};

/* Follow the instruction at a linear address. False: what it does to memory is not known. */
bool kc_follow(kc *m, struct values *values, uint32_t linear, uintptr_t host_pc);

/* -- definedness.c -- */
/* What of memory is not defined, at most four bytes, which an instruction at a linear address reads. */
struct undefined kc_undefined_load(kc *m, uint32_t linear, uint32_t size, uint32_t pc);
/* An instruction is going to store a value. */
void kc_undefined_store(kc *m, uint32_t linear, uint32_t size, struct undefined value, uintptr_t host_pc);
/* It is going to use one. May leave the block. */
void kc_undefined_use(kc *m, enum kc_use use, struct undefined value, uintptr_t host_pc);

#endif
