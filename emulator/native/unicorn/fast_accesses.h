/* Accesses of translated code that are single instructions of the host. */
#ifndef KMEMU_FAST_ACCESSES_H
#define KMEMU_FAST_ACCESSES_H

#include "unicorn/state.h"

/* Where guest address 0 lies among the host's; is_near: it fits into an instruction. */
enum { KC_SUPERVISOR = 2 }; /* MMU_KNOSMAP_IDX, target/i386/cpu.h */

struct fast_window { uintptr_t base; bool is_near; };

/* Such an instruction of the host, as a fault has found it. */
struct fast_access {
    uintptr_t place, next;   /* in translated code, as the engine has it; where the instruction after it begins */
    uint64_t at;             /* address in the window */
    bool is_store, is_wide;  /* wide: a load fills 64 bits of a register */
    uint8_t size;            /* in bytes */
    bool is_signed;          /* a load extends the sign */
    uint8_t reg;             /* as instructions encode it; of a store without `is_constant` */
    bool is_high;            /* bits 8 to 15 of register `reg` */
    bool is_constant;
    uint64_t constant;
};

void kc_fast_accesses_load(void *unicorn);
/* Can accesses of this translation be made so? `state` is that of the translator. */
bool kc_fast_accesses_hold(kc *m, void *state);

/* What a fault's context says. False: it is not in translated code of this machine, or no access of ours. */
bool kc_fast_access_at(kc *m, const void *context, struct fast_access *out);
/* The address of the guest's instruction; EIP is exact then. */
uint32_t kc_fast_access_pc(kc *m, const struct fast_access *access);
/* Let the engine make the access, then go on after it; its block is translated anew. An exception of the guest leaves for good. */
void kc_fast_access_make(kc *m, void *context, const struct fast_access *access, uintptr_t base);

#endif
