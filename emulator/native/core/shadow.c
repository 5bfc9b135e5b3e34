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
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/bits.h"
#include "core/run.h"
#include "core/shadow.h"
#include "unicorn/engine.h"

static uint32_t page_count(const kc *m) { return (uint32_t)(m->memory_end >> PAGE_SHIFT); }

/* -- bytes --------------------------------------------------------------------------------------- */

uint8_t *kc_shadow_change(kc *m, uint64_t physical, bool poisons)
{
    struct shadow *s = m->shadow;
    uint32_t page = (uint32_t)(physical >> PAGE_SHIFT);
    bool is_watched = kc_bit(s->watched, page);

    if (!poisons && !is_watched)
        return NULL; /* it is all zeros */
    if (!kc_array_keep(&s->pages, page)) {
        kc_no_memory(m);
        return NULL;
    }
    if (!is_watched) {
        kc_bit_set(s->watched, page);
        kc_fill_again(m);
    }
    return s->bytes + physical;
}

/* memset(), for what is mostly a few bytes. */
static void set_bytes(uint8_t *bytes, uint64_t size, enum kc_poison value)
{
    uint64_t word = 0x0101010101010101u * value;

    if (size < sizeof word || size > 16 * sizeof word) {
        memset(bytes, value, size);
        return;
    }
    for (uint64_t at = 0; at < size - sizeof word; at += sizeof word)
        memcpy(bytes + at, &word, sizeof word);
    memcpy(bytes + size - sizeof word, &word, sizeof word);
}

void kc_shadow_set(kc *m, uint64_t physical, uint64_t size, enum kc_poison value)
{
    uint64_t end = physical + size < m->memory_end ? physical + size : m->memory_end, next;

    for (; physical < end; physical = next) {
        next = (physical | PAGE_MASK) + 1 < end ? (physical | PAGE_MASK) + 1 : end;
        uint8_t *bytes = kc_shadow_change(m, physical, value != KC_ACCESSIBLE);
        if (bytes)
            set_bytes(bytes, next - physical, value);
    }
}

int kc_shadow_open(kc *m)
{
    struct shadow *s = m->shadow;
    void *bytes = MAP_FAILED;

    s->file = memfd_create("kmemu-shadow", MFD_CLOEXEC);
    s->watched = calloc(1, page_count(m) / 8 + 1);
    if (s->file >= 0 && s->watched && !ftruncate(s->file, (off_t)m->memory_end))
        bytes = mmap(NULL, m->memory_end, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, s->file, 0);
    s->bytes = bytes == MAP_FAILED ? NULL : bytes;
    if (!s->bytes || !kc_array_open(&s->pages, s->openings + 1, s->bytes, PAGE_SIZE, page_count(m))) {
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
    kc_array_close(&s->pages);
    *s = (struct shadow){.file = -1, .openings = s->openings}; /* what snapshots keep is of no more use */
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

const uint8_t *kc_shadow_bytes(const kc *m) { return m->shadow->bytes; }

/* -- life, snapshots ----------------------------------------------------------------------------- */

int kc_shadow_save(kc *m, void **out)
{
    *out = m->shadow->bytes ? kc_array_save(&m->shadow->pages) : NULL;
    return m->shadow->bytes && !*out ? -1 : 0;
}

static void clear(kc *m)
{
    for (uint32_t page = 0; page < page_count(m); page++)
        if (kc_bit(m->shadow->watched, page))
            memset(m->shadow->bytes + (uint64_t)page * PAGE_SIZE, KC_ACCESSIBLE, PAGE_SIZE);
}

/* Snapshots further in have been forgotten by now, so there is no other one of this shadow if there is none of it here. */
int kc_shadow_restore(kc *m, const void *saved)
{
    struct shadow *s = m->shadow;

    if (s->bytes && kc_array_has(&s->pages, saved))
        kc_array_restore(&s->pages);
    else if (s->bytes)
        clear(m);
    return 0;
}

void kc_shadow_forget(void *saved) { kc_array_forget(saved); }

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
