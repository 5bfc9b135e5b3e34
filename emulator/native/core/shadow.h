/* The shadow: a byte for each byte of RAM, which says whether it may be accessed (enum kc_poison). There is one while somebody checks. */
#ifndef KMEMU_SHADOW_H
#define KMEMU_SHADOW_H

#include "core/bits.h"
#include "core/kasan.h"
#include "core/kept_arrays.h"
#include "core/ram.h"
#include "core/run.h"
#include "core/windows.h"
#include "unicorn/fast_accesses.h"

/* `bytes` is a shared mapping of `file`, [0, memory_end); NULL: nobody checks. */
struct shadow {
    int file;
    uint8_t *bytes;
    uint8_t *watched;        /* one bit a page: it has had a byte that may not be accessed */
    uint8_t *fresh;          /* one bit a page: nobody has ever written to it; NULL: it does not matter what was written */
    struct store_log *log;   /* of allocators, where it matters */
    uint64_t log_seen;       /* so many of its stores were before the call that goes on, or have been seen to */
    uint8_t *read_only;      /* one bit a page: bytes in it are only to be read; the others are not accessed much */
    struct kept_array pages;
    uint32_t openings;
    bool rests;              /* for a while it is as if nobody checked */
};

int kc_shadow_init(kc *m);
void kc_shadow_free(kc *m);
int kc_shadow_save(kc *m, void **saved);
int kc_shadow_restore(kc *m, const void *saved);
void kc_shadow_forget(void *saved);

/* From now on there is a shadow, of zeros; `uninitialised`: it tells what was never written, too. -1: the host lacks something. */
int kc_shadow_open(kc *m, bool uninitialised);
/* A physical range is no memory that was never written. */
void kc_shadow_exclude(kc *m, uint64_t start, uint64_t end);
void kc_shadow_close(kc *m);
/* As kc_ram_replace(). */
int kc_shadow_replace(kc *m, int copy);

/* While it rests, accesses are not looked at, and what it says is of no use. */
void kc_shadow_rest(kc *m, bool yes);

static inline bool kc_has_shadow(const kc *m) { return m->shadow->bytes; }

static inline int kc_shadow_file(const kc *m) { return m->shadow->file; }

/* The byte of a physical address in RAM, and those of its page that follow. */
static inline const uint8_t *kc_shadow_at(const kc *m, uint64_t physical) { return m->shadow->bytes + physical; }

/* Each access to a page has to be looked at from now on, if the engine makes it. */
void kc_shadow_watch_page(kc *m, uint32_t page);
static inline void kc_shadow_watch(kc *m, uint64_t physical)
{
    if (!kc_bit(m->shadow->watched, physical >> PAGE_SHIFT))
        kc_shadow_watch_page(m, (uint32_t)(physical >> PAGE_SHIFT));
}

/* The bytes of a page are going to be changed by others. false: no memory. */
static inline bool kc_shadow_keep(kc *m, uint64_t physical)
{
    if (kc_array_keep(&m->shadow->pages, physical >> PAGE_SHIFT))
        return true;
    kc_no_memory(m);
    return false;
}

/* The same as kc_shadow_at(), where they are going to be changed; `poisons`: to others than 0. NULL: there is
 * nothing to change, as all are 0, or no memory. */
static inline uint8_t *kc_shadow_change(kc *m, uint64_t physical, bool poisons)
{
    struct shadow *s = m->shadow;

    if (!poisons && !kc_bit(s->watched, physical >> PAGE_SHIFT))
        return NULL; /* it is all zeros */
    if (!kc_shadow_keep(m, physical))
        return NULL;
    kc_shadow_watch(m, physical);
    if (poisons)
        kc_windows_on_poisoned(m, (uint32_t)(physical >> PAGE_SHIFT));
    return s->bytes + physical;
}

/* A byte has the mark of a return address no more. No page leaves the TLB. */
void kc_shadow_unmark(kc *m, uint64_t physical);

/* Set a part of one page. */
static inline void kc_shadow_set(kc *m, uint64_t physical, uint64_t size, enum kc_poison value)
{
    uint8_t *bytes = size ? kc_shadow_change(m, physical, value != KC_ACCESSIBLE) : NULL;

    if (!bytes)
        return;
    __builtin_memset(bytes, value, size);
    kc_kasan_follow(m, physical, size);
}

static inline bool kc_tells_uninitialised(const kc *m) { return m->shadow->fresh && !m->shadow->rests; }

/* A page is going to be written, for the first time perhaps: what is not written of it is uninitialised then. */
void kc_shadow_touch_page(kc *m, uint64_t physical);
static inline void kc_shadow_touch(kc *m, uint64_t physical)
{
    if (kc_tells_uninitialised(m) && physical < m->memory_end && kc_bit(m->shadow->fresh, physical >> PAGE_SHIFT))
        kc_shadow_touch_page(m, physical);
}
/* A part of RAM was written: it is initialised; where it may not be accessed, an allocator has done it, or nobody counts it. */
void kc_shadow_wrote(kc *m, uint64_t physical, uint64_t size, bool by_allocator);
/* What allocators have written to memory of nobody was not written by the call that begins now. */
void kc_shadow_forget_stores(kc *m);
static inline void kc_shadow_begin_call(kc *m)
{
    if (m->shadow->log)
        kc_shadow_forget_stores(m);
}
/* Note a store of an allocator. */
static inline void kc_shadow_note(kc *m, uint32_t linear, uint32_t size)
{
    struct store_log *log = m->shadow->log;
    log->stores[log->count++ % KC_STORES] = (uint64_t)size << 32 | linear;
}
static inline struct store_log *kc_store_log(const kc *m) { return m->shadow->log; }
/* A block begins to live in a part of one page. */
void kc_shadow_born_unwritten(kc *m, uint64_t physical, uint64_t size);
static inline void kc_shadow_born(kc *m, uint64_t physical, uint64_t size)
{
    if (kc_tells_uninitialised(m))
        kc_shadow_born_unwritten(m, physical, size);
    else
        kc_shadow_set(m, physical, size, KC_ACCESSIBLE);
}

/* Why a byte may not be accessed; or KC_ACCESSIBLE, whether it is initialised or not. */
static inline enum kc_poison kc_poison_at(const kc *m, uint64_t physical)
{
    uint8_t byte = physical < m->memory_end ? m->shadow->bytes[physical] : 0;
    return byte & KC_NO_ACCESS ? (enum kc_poison)(byte & ~KC_WRITTEN) : KC_ACCESSIBLE;
}

/* Let each write to the pages of a part of RAM be looked at. */
void kc_shadow_guard(kc *m, uint64_t start, uint64_t end);

/* Has each write to a page to be looked at? */
static inline bool kc_is_read_only(const kc *m, uint64_t physical)
{
    return m->shadow->bytes && !m->shadow->rests && physical < m->memory_end && kc_bit(m->shadow->read_only, (uint32_t)(physical >> PAGE_SHIFT));
}

/* Has each access to a page to be looked at? */
static inline bool kc_is_poisoned(const kc *m, uint64_t physical)
{
    return m->shadow->bytes && !m->shadow->rests && physical < m->memory_end && m->shadow->watched[physical >> (PAGE_SHIFT + 3)] >> (physical >> PAGE_SHIFT & 7) & 1;
}

#endif
