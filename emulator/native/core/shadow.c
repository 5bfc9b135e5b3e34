/* The shadow of RAM: see shadow.h.
 *
 * It lies in an unnamed file, so that it can be mapped at several addresses. Untouched parts are holes and cost nothing. Snapshots
 * bring its pages back (kept_arrays.c).
 *
 * A page that gets its first byte that may not be accessed leaves the TLB, with all others: it comes back as one in which accesses are
 * told. It stays so for good.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/bits.h"
#include "core/kasan.h"
#include "core/mmu.h"
#include "core/run.h"
#include "core/shadow.h"
#include "core/windows.h"
#include "unicorn/engine.h"

static uint32_t page_count(const kc *m) { return (uint32_t)(m->memory_end >> PAGE_SHIFT); }

/* -- bytes --------------------------------------------------------------------------------------- */

SELDOM void kc_shadow_watch_page(kc *m, uint32_t page)
{
    kc_bit_set(m->shadow->watched, page);
    kc_fill_again(m);
}

void kc_shadow_unmark(kc *m, uint64_t physical)
{
    if (kc_shadow_keep(m, physical))
        m->shadow->bytes[physical] = KC_ACCESSIBLE;
}

void kc_shadow_touch_page(kc *m, uint64_t physical)
{
    uint64_t page = physical & ~(uint64_t)PAGE_MASK;

    kc_bit_clear(m->shadow->fresh, page >> PAGE_SHIFT);
    kc_shadow_set(m, page, PAGE_SIZE, KC_UNINITIALISED);
}

void kc_shadow_wrote(kc *m, uint64_t physical, uint64_t size, bool by_allocator)
{
    uint64_t end = physical + size < m->memory_end ? physical + size : m->memory_end;

    for (uint64_t at = physical; at < end; at++) {
        kc_shadow_touch(m, at);
        uint8_t byte = *kc_shadow_at(m, at), after = !(byte & KC_NO_ACCESS) ? 0 : by_allocator ? byte | KC_WRITTEN : byte;
        uint8_t *changed = after != byte ? kc_shadow_change(m, at, true) : NULL;
        if (changed)
            *changed = after;
    }
}

void kc_memory_written(kc *m, uint64_t physical, uint64_t size)
{
    if (kc_tells_uninitialised(m))
        kc_shadow_wrote(m, physical, size, true);
}

void kc_shadow_forget_stores(kc *m)
{
    struct shadow *s = m->shadow;
    uint64_t next = s->log->count > s->log_seen + KC_STORES ? s->log->count - KC_STORES : s->log_seen;
    for (; next < s->log->count; next++) {
        uint64_t store = s->log->stores[next % KC_STORES];
        for (uint32_t i = 0; i < store >> 32; i++) {
            int64_t at = kc_translate_used(m, (uint32_t)store + i);
            uint8_t *shadow = at >= 0 && (uint64_t)at < m->memory_end && s->bytes[at] & KC_WRITTEN ? kc_shadow_change(m, (uint64_t)at, true) : NULL;
            if (shadow)
                *shadow &= (uint8_t)~KC_WRITTEN;
        }
    }
    s->log_seen = s->log->count;
}

/* Words of eight bytes of a part of one page: what was closed is open, and initialised only where an allocator has written to it. */
static void give_birth(uint8_t *shadow, uint64_t size)
{
    for (uint64_t at = 0; at < size; at += sizeof(uint64_t)) {
        uint64_t part = size - at < sizeof(uint64_t) ? size - at : sizeof(uint64_t), now = 0;
        memcpy(&now, shadow + at, part);
        uint64_t closed = now & KC_EACH_BYTE, unwritten = closed & ~(now / KC_WRITTEN & KC_EACH_BYTE);
        now = (now & ~(closed * UINT8_MAX)) | unwritten * KC_UNINITIALISED;
        memcpy(shadow + at, &now, part);
    }
}

/* What the allocator has written of it in the call that has made it, or since it lay nowhere, is initialised. That of no bytes touches its page, too. */
void kc_shadow_born_unwritten(kc *m, uint64_t physical, uint64_t size)
{
    kc_shadow_touch(m, physical);
    uint8_t *shadow = kc_shadow_change(m, physical, false);
    if (shadow)
        give_birth(shadow, size);
    kc_kasan_follow(m, physical, size);
}

static bool note_fresh(kc *m)
{
    struct shadow *s = m->shadow;

    s->log = calloc(1, sizeof *s->log);
    s->fresh = calloc(1, page_count(m) / 8 + 1);
    if (!s->fresh || !s->log)
        return false;
    for (uint64_t page = 0; page < page_count(m); page++)
        if (kc_next_touched(m, page << PAGE_SHIFT) >= (page + 1) << PAGE_SHIFT)
            kc_bit_set(s->fresh, page);
    return true;
}

void kc_shadow_exclude(kc *m, uint64_t start, uint64_t end)
{
    for (uint64_t page = start >> PAGE_SHIFT; m->shadow->fresh && page < page_count(m) && page << PAGE_SHIFT < end; page++)
        kc_bit_clear(m->shadow->fresh, page);
}

int kc_shadow_open(kc *m, bool uninitialised)
{
    struct shadow *s = m->shadow;
    void *bytes = MAP_FAILED;

    s->file = memfd_create("kmemu-shadow", MFD_CLOEXEC);
    s->watched = calloc(1, page_count(m) / 8 + 1);
    s->read_only = calloc(1, page_count(m) / 8 + 1);
    if (s->file >= 0 && s->watched && s->read_only && !ftruncate(s->file, (off_t)m->memory_end))
        bytes = mmap(NULL, m->memory_end, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, s->file, 0);
    s->bytes = bytes == MAP_FAILED ? NULL : bytes;
    if (!s->bytes || !kc_array_open(&s->pages, kc_kept_size(m), s->openings + 1, s->bytes, PAGE_SIZE, page_count(m)) || (uninitialised && !note_fresh(m))) {
        kc_shadow_close(m);
        return -1;
    }
    s->openings++;
    return 0;
}

void kc_shadow_close(kc *m)
{
    struct shadow *s = m->shadow;

    if (s->bytes)
        munmap(s->bytes, m->memory_end);
    if (s->file >= 0)
        close(s->file);
    free(s->watched);
    free(s->fresh);
    free(s->log);
    free(s->read_only);
    kc_array_close(&s->pages);
    *s = (struct shadow){.file = -1, .openings = s->openings}; /* what snapshots keep is of no more use */
}

void kc_shadow_guard(kc *m, uint64_t start, uint64_t end)
{
    for (uint64_t page = start >> PAGE_SHIFT; page < page_count(m) && page << PAGE_SHIFT < end; page++)
        kc_bit_set(m->shadow->read_only, (uint32_t)page);
}

static __attribute__((noinline)) bool map_anew(const kc *m, int file, int kind)
{
    return mmap(m->shadow->bytes, m->memory_end, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_NORESERVE | kind, file, 0) != MAP_FAILED;
}

int kc_shadow_replace(kc *m, int copy)
{
    if (copy < 0) {
        map_anew(m, m->shadow->file, MAP_PRIVATE);
        return -1;
    }
    close(m->shadow->file);
    m->shadow->file = copy;
    return map_anew(m, copy, MAP_SHARED) ? 0 : -1;
}

void kc_shadow_rest(kc *m, bool yes) { m->shadow->rests = yes; }

const uint8_t *kc_shadow_bytes(const kc *m) { return m->shadow->bytes; }

/* -- life, snapshots ----------------------------------------------------------------------------- */

struct kept_shadow {
    struct kept_point *pages;
    uint8_t *fresh;         /* where it matters */
    struct store_log log;
    uint64_t log_seen;
};

int kc_shadow_save(kc *m, void **out)
{
    const struct shadow *s = m->shadow;
    size_t size = page_count(m) / 8 + 1;
    struct kept_shadow *kept;

    *out = NULL;
    if (!s->bytes)
        return 0;
    if (!(kept = calloc(1, s->fresh ? sizeof *kept : offsetof(struct kept_shadow, log))))
        return -1;
    *out = kept;
    if (s->fresh && !(kept->fresh = malloc(size)))
        return -1;
    if (s->fresh) {
        memcpy(kept->fresh, s->fresh, size);
        kept->log = *s->log;
        kept->log_seen = s->log_seen;
    }
    return (kept->pages = kc_array_save(&m->shadow->pages)) ? 0 : -1;
}

static void clear(kc *m)
{
    for (uint32_t page = 0; page < page_count(m); page++)
        if (kc_bit(m->shadow->watched, page))
            memset(m->shadow->bytes + (uint64_t)page * PAGE_SIZE, KC_ACCESSIBLE, PAGE_SIZE);
}

/* If there is none of this shadow here, there is no other one, ahead or not: those further in have been forgotten by now. */
int kc_shadow_restore(kc *m, const void *saved)
{
    struct shadow *s = m->shadow;
    const struct kept_shadow *kept = saved;

    if (s->bytes && kept && kc_array_has(&s->pages, kept->pages)) {
        kc_array_go_to(&s->pages, kept->pages);
        kc_windows_keep_shadow(m);
        if (s->fresh) {
            memcpy(s->fresh, kept->fresh, page_count(m) / 8 + 1);
            *s->log = kept->log;
            s->log_seen = kept->log_seen;
        }
    } else if (s->bytes)
        clear(m);
    return 0;
}

void kc_shadow_forget(void *saved)
{
    struct kept_shadow *kept = saved;

    if (kept) {
        kc_array_forget(kept->pages);
        free(kept->fresh);
    }
    free(kept);
}

int kc_shadow_init(kc *m)
{
    if (KC_NEW(m->shadow))
        return -1;
    m->shadow->file = -1;
    return 0;
}

void kc_shadow_free(kc *m)
{
    if (m->shadow)
        kc_shadow_close(m);
    free(m->shadow);
}
