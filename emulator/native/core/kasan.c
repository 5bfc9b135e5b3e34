/* KASAN's shadow: memory for the checks that a compiler has put into the kernel.
 *
 * Theory of operation. Code that is compiled with -fsanitize=kernel-address looks at one byte for each eight of memory before it accesses
 * that: 0: all may be accessed, 1 to 7: the first so many, from 0x80 up: none. It also writes what its variables on the stack are. A runtime
 * in the kernel would have to keep that shadow. Here it is memory of the emulator's, which is seen by supervisors at the linear addresses that
 * the compiler was given, whatever page tables say, and is no part of the guest's memory. Snapshots keep it like that.
 *
 * While accesses are checked it follows the shadow of RAM (core/shadow.c), which has a byte for each byte: eight of these are put into
 * one. Where that cannot be said exactly (a block that begins in the middle of eight bytes), none of them may be accessed: the compiled check
 * reports more than is wrong, and who is told of it looks at each byte (observe/checked_accesses.c). The linear addresses of RAM are its
 * physical ones, those at which the kernel is linked, and where blocks are.
 *
 * Code of the allocators, which may access all, finds there that it may, and all code while nothing is checked: the translator leaves the load out, if
 * it is one as compilers emit it.
 *
 * Shortcomings. A segment with a base moves the shadow with all else. Code that computes an address of the shadow in another way reads what is
 * there.
 */
#include <string.h>

#include "core/bus.h"
#include "core/kasan.h"
#include "core/mmu.h"
#include "core/reports.h"
#include "core/shadow.h"
#include "core/video.h"
#include "unicorn/engine.h"
#include "unicorn/reports.h"

enum { GRANULE_SHIFT = 3, GRANULE = 1 << GRANULE_SHIFT };

/* Values of Linux's mm/kasan/kasan.h. */
enum {
    KASAN_REDZONE = 0xfc, KASAN_FREED = 0xfb, KASAN_GLOBAL = 0xf9, KASAN_STACK_SCOPE = 0xf8, KASAN_STACK_LEFT = 0xf1, KASAN_STACK_MID = 0xf2,
    KASAN_STACK_RIGHT = 0xf3, KASAN_STACK_PARTIAL = 0xf4, KASAN_ALLOCA_LEFT = 0xca, KASAN_ALLOCA_RIGHT = 0xcb
};

int64_t kc_kasan_at(kc *m, uint32_t linear)
{
    int64_t physical = kc_translate(m, linear);

    if (physical >= 0 && (kc_is_device(m, (uint64_t)physical) || kc_is_video(m, (uint64_t)physical)))
        return -1;
    if (physical >= 0 && kc_is_mapped(m, (uint64_t)physical)) {
        kc_stop *stop = kc_ends(m, KC_FAILED);
        if (stop)
            stop->uc_error = KC_SHADOW_TAKEN;
        return -1;
    }
    return (int64_t)(KASAN_AT + (linear - m->kasan->offset));
}

static uint8_t *byte_of(const kc *m, uint32_t linear) { return kc_piece(m, KASAN_AT)->base + (linear >> GRANULE_SHIFT); }

uint8_t kc_kasan_value(const kc *m, uint32_t linear) { return m->kasan->open ? *byte_of(m, linear) : 0; }

/* The same, where it is going to be changed. */
static uint8_t *change(kc *m, uint32_t linear)
{
    kc_keep_page(m, (uint32_t)((KASAN_AT + (linear >> GRANULE_SHIFT)) >> PAGE_SHIFT));
    return byte_of(m, linear);
}

/* What eight bytes of the shadow of RAM are as one of this. The first of them are the lowest bits. */
static uint8_t encoded(uint64_t bytes)
{
    uint64_t closed = bytes & KC_EACH_BYTE * KC_NO_ACCESS;

    if (!closed)
        return 0;
    return !(closed & UINT8_MAX) ? (uint8_t)(__builtin_ctzll(closed) / 8) : ((uint8_t)bytes & ~KC_WRITTEN) == KC_FREED ? KASAN_FREED : KASAN_REDZONE;
}

static bool is_known(const struct kasan *kasan, uint32_t moved)
{
    for (uint32_t i = 0; i < kasan->moved_count; i++)
        if (kasan->moved[i] == moved)
            return true;
    return false;
}

/* A part of one page, so of one of the shadow's. */
static void follow(kc *m, uint32_t linear, uint64_t physical, uint64_t size)
{
    uint64_t end = physical + size, word;
    uint8_t *byte = change(m, linear);

    for (physical -= physical % GRANULE; physical < end; physical += GRANULE) {
        memcpy(&word, kc_shadow_at(m, physical), sizeof word);
        *byte++ = encoded(word);
    }
}

void kc_kasan_set_at(kc *m, uint32_t linear, uint64_t physical, uint64_t size)
{
    if (!is_known(m->kasan, linear - (uint32_t)physical))
        follow(m, linear, physical, size);
}

void kc_kasan_set_from(kc *m, uint64_t physical, uint64_t size)
{
    for (uint32_t i = 0; i < m->kasan->moved_count; i++)
        follow(m, (uint32_t)physical + m->kasan->moved[i], physical, size);
}

/* -- what the shadow says ---------------------------------------------------------------------------- */

static enum kc_poison of_code(uint8_t value)
{
    switch (value) {
    case KASAN_STACK_LEFT: case KASAN_STACK_MID: case KASAN_STACK_RIGHT: case KASAN_STACK_PARTIAL: case KASAN_ALLOCA_LEFT: case KASAN_ALLOCA_RIGHT:
        return KC_STACK;
    case KASAN_STACK_SCOPE:
        return KC_SCOPE;
    case KASAN_GLOBAL:
        return KC_GLOBAL;
    default:
        return KC_ACCESSIBLE;
    }
}

enum kc_poison kc_kasan_poison(const kc *m, uint32_t linear, uint64_t physical)
{
    uint64_t bytes;
    enum kc_poison poison = kc_poison_at(m, physical);
    uint8_t value = kc_kasan_value(m, linear);

    if (poison || value >= GRANULE)
        return poison ? poison : of_code(value);
    if (linear % GRANULE < value && value)
        return KC_ACCESSIBLE;
    memcpy(&bytes, kc_shadow_at(m, physical - physical % GRANULE), sizeof bytes);
    if (!value || encoded(bytes)) /* else it is what that says */
        return KC_ACCESSIBLE;
    return of_code(kc_kasan_value(m, linear + GRANULE)); /* the last bytes of a variable, which the code does not use */
}

uint32_t kc_kasan_frame(kc *m, uint32_t linear)
{
    enum { LARGEST = 64 << 10, MAGIC = 0x41b58ab3 }; /* kCurrentStackFrameMagic of Clang, ASAN_STACK_FRAME_MAGIC of GCC */
    uint32_t at = linear - linear % GRANULE, word;

    for (uint32_t end = at - LARGEST; at != end && kc_kasan_value(m, at) != KASAN_STACK_LEFT;)
        at -= GRANULE;
    while (kc_kasan_value(m, at) == KASAN_STACK_LEFT && kc_kasan_value(m, at - GRANULE) == KASAN_STACK_LEFT)
        at -= GRANULE;
    kc_words(m, at, &word, 1);
    return word == MAGIC ? at : 0;
}

bool kc_kasan_goes_through(kc *m, uint32_t linear, uint32_t size)
{
    enum { MANY = 4 };
    uint32_t redzones = 0;
    uint8_t last = 0;

    for (uint32_t at = 0; at < size && redzones < MANY; at += GRANULE) {
        uint8_t value = kc_kasan_value(m, linear + at);
        redzones += value == KASAN_GLOBAL && last != KASAN_GLOBAL;
        last = value;
    }
    return redzones == MANY;
}

/* -- code that may access all ----------------------------------------------------------------------- */

/* Intel SDM vol. 2A, 2.1: opcode, ModR/M with a base register and a displacement of 32 bits.
 *
 * What GCC loads by movzx it compares with the bytes that an access needs, and asks then whether it is 0. A number of bytes beyond all
 * that checks need answers both at once. Others ask only the second. */
static bool loads_shadow(kc *m, uint32_t pc, uint32_t *value)
{
    enum { LONGEST = 8, MANY_BYTES = 0x7f, MOVZX = 0xb6 };
    int64_t at = kc_translate(m, pc);
    uint8_t bytes[LONGEST] = {0};
    uint32_t displacement;

    if (at < 0 || (uint64_t)at + LONGEST > m->memory_end || (pc & PAGE_MASK) + LONGEST > PAGE_SIZE)
        return false;
    memcpy(bytes, kc_at(m, (uint64_t)at), LONGEST);
    const uint8_t *p = bytes;
    p += *p == 0x66;
    *value = p[0] == 0x0f && p[1] == MOVZX ? MANY_BYTES : 0;
    p += *p == 0x0f;
    p++;
    if (*p >> 6 != 2 || (*p & 7) == 4)
        return false;
    memcpy(&displacement, p + 1, sizeof displacement);
    return displacement == m->kasan->offset;
}

bool kc_loads_accessible(kc *m, uint32_t pc, uint32_t *value)
{
    return m->kasan->open && (!kc_checks(m) || kc_is_exempt(m, pc)) && loads_shadow(m, pc, value);
}

/* -- for Python, life -------------------------------------------------------------------------------- */

int kc_kasan_open(kc *m, uint32_t offset, const uint32_t *moved, uint32_t count)
{
    struct kasan *kasan = m->kasan;

    if (kasan->open || m->reference || count > KC_LINKED)
        return UC_ERR_ARG;
    int error = kc_ram_add(m, KASAN_AT, KASAN_AT + KASAN_SIZE, KASAN_ENGINE_AT);
    if (error)
        return error;
    kasan->open = true;
    kasan->offset = offset;
    memcpy(kasan->moved, moved, count * sizeof *moved);
    kasan->moved_count = count;
    return 0;
}

void kc_kasan_set(kc *m, uint32_t linear, uint8_t value) { *change(m, linear) = value; }

int kc_kasan_init(kc *m) { return KC_NEW(m->kasan); }

void kc_kasan_free(kc *m) { free(m->kasan); }
