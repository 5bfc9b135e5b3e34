/* KASAN's shadow: what code that was compiled with -fsanitize=kernel-address reads and writes at (address >> 3) + offset. */
#ifndef KMEMU_KASAN_H
#define KMEMU_KASAN_H

#include "core/ram.h"

#define KASAN_SIZE (1u << 29) /* a byte for each 8 bytes of the address space */
#define KASAN_AT (1ull << 32) /* where it lies among the pages of memory: beyond all that the guest can have */
#define KASAN_ENGINE_AT (1ull << 35) /* where the engine has it; video.c has what lies below */

struct kasan {
    bool open;
    uint32_t offset;
    uint32_t moved[KC_LINKED]; /* how far from their physical addresses linear ones may lie */
    uint32_t moved_count;
};

int kc_kasan_init(kc *m);
void kc_kasan_free(kc *m);

/* May a linear address lie in the shadow? */
static inline bool kc_kasan_covers(const kc *m, uint64_t linear)
{
    return m->kasan->open && (uint32_t)linear - m->kasan->offset < KASAN_SIZE;
}

/* Such an address among the pages of memory; -1: something else answers there, or the run is ended, because RAM does. */
int64_t kc_kasan_at(kc *m, uint32_t linear);
/* The same as the engine has it. */
static inline uint64_t kc_kasan_engine_address(uint64_t at) { return at - KASAN_AT + KASAN_ENGINE_AT; }
/* Why a byte may not be accessed by code that was compiled with KASAN: what the shadow of RAM says, and what that code does. */
enum kc_poison kc_kasan_poison(const kc *m, uint32_t linear, uint64_t physical);
/* The state of bytes of RAM has changed (core/shadow.h): of a part of a page, also where it is known at a linear address. */
void kc_kasan_set_from(kc *m, uint64_t physical, uint64_t size);
static inline void kc_kasan_follow(kc *m, uint64_t physical, uint64_t size)
{
    if (m->kasan->open)
        kc_kasan_set_from(m, physical, size);
}
void kc_kasan_set_at(kc *m, uint32_t linear, uint64_t physical, uint64_t size);
static inline void kc_kasan_follow_at(kc *m, uint32_t linear, uint64_t physical, uint64_t size)
{
    if (m->kasan->open)
        kc_kasan_set_at(m, linear, physical, size);
}
/* Where the frame begins, with its description, that an address in or between variables on the stack lies in; 0: not known. */
uint32_t kc_kasan_frame(kc *m, uint32_t linear);

/* Is it memory with so many static variables in it that it is meant as a whole, as when .bss is cleared? */
bool kc_kasan_goes_through(kc *m, uint32_t linear, uint32_t size);

#endif
