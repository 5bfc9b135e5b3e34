/*
 * Theory of operation
 *
 * What compiled code asks for besides its checks (checks.S): poisoning of its stack and its variables, and copies of memory that
 * are checked as a whole. The values are those of KASAN.
 *
 * Shortcomings
 *
 * Variables of a function that returned are not told from others: the shadow of its frame is cleared (no fake stacks). A function that
 * never returns clears the shadow of a stack up to 64 KiB above it, or to the first byte that is no stack's.
 */

#include <stddef.h>
#include <stdint.h>

enum { GRANULE_LOG2 = 3, GRANULE = 1 << GRANULE_LOG2, REDZONE = 32 };
enum {
    STACK_LEFT = 0xf1,
    STACK_USE_AFTER_SCOPE = 0xf8,
    GLOBAL_REDZONE = 0xf9,
    ALLOCA_LEFT = 0xca,
    ALLOCA_RIGHT = 0xcb,
    NO_RETURN_BYTES = 64 << 10,
};

/* As both compilers lay it out. */
struct global {
    uintptr_t start;
    size_t size, size_with_redzone;
    const char *name, *module;
    uintptr_t has_dynamic_init;
    const void *location;
    uintptr_t odr_indicator;
};

extern uint8_t kmemu_kasan_offset[]; /* an absolute symbol */
void __asan_report_load_n(uintptr_t address, size_t size);
void __asan_report_store_n(uintptr_t address, size_t size);

static uint8_t *shadow_of(uintptr_t address) { return kmemu_kasan_offset + (address >> GRANULE_LOG2); }

static void fill(uint8_t *at, size_t size, uint8_t value)
{
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
}

/* Nobody may access [address + size, address + whole); `address` and `whole` are multiples of 8. */
static void poison_after(uintptr_t address, size_t size, size_t whole, uint8_t value)
{
    size_t granules = size / GRANULE;

    fill(shadow_of(address), granules, 0);
    if (size % GRANULE) {
        *(shadow_of(address) + granules++) = size % GRANULE;
    }
    fill(shadow_of(address) + granules, whole / GRANULE - granules, value);
}

/* -- functions with their arguments as they are ------------------------------------------------------ */

#define SET_SHADOW(value) \
    void __asan_set_shadow_##value(uint8_t *at, size_t size) { fill(at, size, 0x##value); }
SET_SHADOW(00)
SET_SHADOW(01)
SET_SHADOW(02)
SET_SHADOW(03)
SET_SHADOW(04)
SET_SHADOW(05)
SET_SHADOW(06)
SET_SHADOW(07)
SET_SHADOW(f1)
SET_SHADOW(f2)
SET_SHADOW(f3)
SET_SHADOW(f5)
SET_SHADOW(f8)

void __asan_poison_stack_memory(uintptr_t address, size_t size)
{
    fill(shadow_of(address), (size + GRANULE - 1) / GRANULE, STACK_USE_AFTER_SCOPE);
}

void __asan_unpoison_stack_memory(uintptr_t address, size_t size) { poison_after(address, size, (size + GRANULE - 1) / GRANULE * GRANULE, 0); }

/* A block of alloca(), with 32 bytes before it, and up to 63 behind it. */
void __asan_alloca_poison(uintptr_t address, size_t size)
{
    size_t whole = (size + REDZONE - 1) / REDZONE * REDZONE + REDZONE;

    fill(shadow_of(address - REDZONE), REDZONE / GRANULE, ALLOCA_LEFT);
    poison_after(address, size, whole, ALLOCA_RIGHT);
}

void __asan_allocas_unpoison(uintptr_t top, uintptr_t bottom)
{
    if (top && top < bottom) {
        fill(shadow_of(top), (bottom - top) / GRANULE, 0);
    }
}

void __asan_handle_no_return(void)
{
    uint8_t *at = shadow_of((uintptr_t)__builtin_frame_address(0));

    for (size_t i = 0; i < NO_RETURN_BYTES / GRANULE && *at <= STACK_USE_AFTER_SCOPE; i++) {
        *at++ = 0;
    }
}

void __asan_register_globals(const struct global *globals, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        poison_after(globals[i].start, globals[i].size, globals[i].size_with_redzone, GLOBAL_REDZONE);
    }
}

void __asan_unregister_globals(const struct global *globals, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fill(shadow_of(globals[i].start), globals[i].size_with_redzone / GRANULE, 0);
    }
}

/* -- nothing ----------------------------------------------------------------------------------------- */

void __asan_init(void) {}
void __asan_version_mismatch_check_v8(void) {}
void __asan_before_dynamic_init(const char *module) { (void)module; }
void __asan_after_dynamic_init(void) {}
void __asan_register_image_globals(void *flag) { (void)flag; }
void __asan_unregister_image_globals(void *flag) { (void)flag; }
void __asan_register_elf_globals(void *flag, const struct global *start, const struct global *stop)
{
    (void)flag;
    __asan_register_globals(start, (size_t)(stop - start));
}
void __asan_unregister_elf_globals(void *flag, const struct global *start, const struct global *stop)
{
    (void)flag;
    __asan_unregister_globals(start, (size_t)(stop - start));
}

int __asan_option_detect_stack_use_after_return; /* no */

#define STACK_MALLOC(class) \
    uintptr_t __asan_stack_malloc_##class(size_t size) { (void)size; return 0; /* the frame is to be on the stack */ } \
    uintptr_t __asan_stack_malloc_always_##class(size_t size) { (void)size; return 0; } \
    void __asan_stack_free_##class(uintptr_t address, size_t size) { (void)address, (void)size; }
STACK_MALLOC(0)
STACK_MALLOC(1)
STACK_MALLOC(2)
STACK_MALLOC(3)
STACK_MALLOC(4)
STACK_MALLOC(5)
STACK_MALLOC(6)
STACK_MALLOC(7)
STACK_MALLOC(8)
STACK_MALLOC(9)
STACK_MALLOC(10)

/* -- copies ------------------------------------------------------------------------------------------ */

static int is_poisoned(uintptr_t address, size_t size)
{
    const uint8_t *at = shadow_of(address), *last = shadow_of(address + size - 1);

    while (size && at <= last) {
        if (*at++) {
            return 1;
        }
    }
    return 0;
}

void *__asan_memset(void *to, int value, size_t size)
{
    if (is_poisoned((uintptr_t)to, size)) {
        __asan_report_store_n((uintptr_t)to, size);
    }
    fill(to, size, (uint8_t)value);
    return to;
}

static inline void check_copy(const void *to, const void *from, size_t size)
{
    if (is_poisoned((uintptr_t)from, size)) {
        __asan_report_load_n((uintptr_t)from, size);
    }
    if (is_poisoned((uintptr_t)to, size)) {
        __asan_report_store_n((uintptr_t)to, size);
    }
}

static void copy(void *to, const void *from, size_t size)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

void *__asan_memcpy(void *to, const void *from, size_t size)
{
    check_copy(to, from, size);
    copy(to, from, size);
    return to;
}

void *__asan_memmove(void *to, const void *from, size_t size)
{
    check_copy(to, from, size);
    if ((uintptr_t)to - (uintptr_t)from >= size) {
        copy(to, from, size);
    } else {
        uint8_t *last_to = (uint8_t *)to + size - 1;
        const uint8_t *last_from = (const uint8_t *)from + size - 1;
        __asm__ volatile("std; rep movsb; cld" : "+D"(last_to), "+S"(last_from), "+c"(size) : : "memory");
    }
    return to;
}
