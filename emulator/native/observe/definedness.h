/* Which values were never written: of the CPU's registers, and of memory beyond what the shadow says. */
#ifndef KMEMU_DEFINEDNESS_H
#define KMEMU_DEFINEDNESS_H

#include "observe/dataflow.h"

/* A byte that a value comes from. */
struct origin { kc_block block; uint32_t read_at; /* linear: the instruction that has read it */ };

int kc_definedness_init(kc *m);
void kc_definedness_free(kc *m);
int kc_definedness_save(kc *m, void **saved);
int kc_definedness_restore(kc *m, const void *saved);
void kc_definedness_forget(void *saved);

/* Follow values from now on, where the shadow tells what is uninitialised. -1: the host lacks something. */
int kc_definedness_open(kc *m);
void kc_definedness_close(kc *m);
/* An instruction at a place in translated code is going to read or write RAM; 0: the CPU by itself. A read of what is not defined may
 * leave the block: the instruction comes again, followed. */
void kc_defined_by(kc *m, uint32_t linear, uint32_t size, bool write, uintptr_t host_pc);
/* Are values followed from here on? At the beginning of a block it may be that none is left. */
bool kc_follows_values(kc *m, bool begins);
/* An instruction of a told block is executed next, at a place in translated code. It may leave the block. */
void kc_follow_values(kc *m, uint32_t linear, uintptr_t host_pc);
/* An allocator has written to memory that may not be accessed by others. */
void kc_written_by_allocator(kc *m, uint32_t linear, uint32_t size);
/* Where a value comes from; a block of which nothing is known, born 0, where that is not kept. */
struct origin kc_origin(const kc *m, struct undefined value);

#endif
