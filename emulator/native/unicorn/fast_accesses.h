/* Accesses of translated code that are single instructions of the host. */
#ifndef KMEMU_FAST_ACCESSES_H
#define KMEMU_FAST_ACCESSES_H

#include "unicorn/state.h"

enum { KC_USER = 1, KC_SUPERVISOR = 2 }; /* the engine's modes: MMU_USER_IDX, MMU_KNOSMAP_IDX, target/i386/cpu.h */

/* Stores of allocators, the newest KC_STORES of `count`: the linear address in the lower half, the size in the upper one. */
enum { KC_STORES = 1 << 12 };
struct store_log { uint64_t count, stores[KC_STORES]; };

/* What an instruction does with a return address. */
enum kc_return_use { KC_NO_RETURN, KC_PUSHES_RETURN /* it calls */, KC_TAKES_RETURN /* it returns */, KC_READS_RETURN };

struct fast_window {
    uintptr_t base;   /* where guest address 0 lies among the host's */
    bool is_near;     /* it fits into an instruction */
    uintptr_t shadow; /* where the shadow of guest address 0 lies; 0: the access is not checked */
    bool is_defining; /* stores change the shadow: what they write is initialised */
    bool is_exempt;   /* where they do: the access is an allocator's */
    struct store_log *log; /* where its stores are noted */
    enum kc_return_use returns; /* of the instruction, where return addresses are marked: in the shadow of guest address 0 there */
    uintptr_t marks;
    uint32_t compared_low, compared_size; /* guest addresses to which stores lead to nowhere, so that they are told; size 0: there are none */
};

/* Such an instruction of the host, as a fault has found it. */
struct fast_access {
    uintptr_t place, next;   /* in translated code, as the engine has it; where the instruction after it begins */
    uint64_t at;             /* address in the window */
    bool has_base;           /* the window's base is part of it; else it accesses the shadow */
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

/* The number of the operation "or" of 64 bits; where they can. */
unsigned kc_or_operation(void);

/* What a fault's context says. False: it is not in translated code of this machine, or no access of ours. */
bool kc_fast_access_at(kc *m, const void *context, struct fast_access *out);
/* What it stores. */
uint64_t kc_fast_access_stores(const void *context, const struct fast_access *access);
/* The address of the guest's instruction; EIP is exact then. */
uint32_t kc_fast_access_pc(kc *m, const struct fast_access *access);
/* Let the engine make the access, as that of a user or of a supervisor, then go on after it. An exception of the guest leaves for good. */
void kc_fast_access_make(kc *m, void *context, const struct fast_access *access, uintptr_t base, bool user);
/* Go on after it. */
void kc_fast_access_skip(void *context, const struct fast_access *access);
/* Its block is to be translated anew, if it is still there. */
void kc_fast_access_forget(kc *m, const struct fast_access *access);

/* What the sum of an address and its shadow has above the guest's 32 bits lies from here on, where the process has nothing, or among Linux's own
 * addresses, or is no address at all. */
#define KC_POISONED_AT 0x8000000000ull
#define KC_POISONED_SIZE (0x1000000000ull + (1ull << 33))
#define KC_LINUX_AT (1ull << 63)
enum { KC_POISON_SHIFT = 32 };

/* Of eight bytes of the shadow at once: each byte is 1; times a byte, it has that eight times. */
#define KC_EACH_BYTE UINT64_C(0x0101010101010101)

#endif
