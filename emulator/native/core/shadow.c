/* The shadow of RAM: see shadow.h.
 *
 * It lies in an unnamed file, so that it can be mapped at several addresses. Untouched parts are holes and cost nothing. A snapshot
 * keeps the pages that were set since it was taken, as they were, until another one is taken; going back copies them.
 * What a snapshot keeps that is not needed any more goes to the one that is next further out, if that one lacks it.
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

#include "core/run.h"
#include "core/shadow.h"
#include "unicorn/engine.h"

struct kept_page { struct kept_page *next; uint32_t number; uint8_t bytes[PAGE_SIZE]; };

struct kept_shadow {
    struct shadow *of;
    uint32_t opening;
    struct kept_shadow *older;
    struct kept_page *pages;
};

static bool has_bit(const uint8_t *bits, uint32_t page) { return bits[page >> 3] >> (page & 7) & 1; }
static void set_bit(uint8_t *bits, uint32_t page) { bits[page >> 3] |= (uint8_t)(1u << (page & 7)); }
static void clear_bit(uint8_t *bits, uint32_t page) { bits[page >> 3] &= (uint8_t)~(1u << (page & 7)); }

static size_t bits_size(const kc *m) { return (m->memory_end >> PAGE_SHIFT) / 8 + 1; }

/* -- bytes --------------------------------------------------------------------------------------- */

static bool keep(kc *m, uint32_t page)
{
    struct shadow *s = m->shadow;
    struct kept_page *kept;

    if (!s->newest || has_bit(s->is_kept, page))
        return true;
    if (!(kept = malloc(sizeof *kept)))
        return false;
    kept->number = page;
    memcpy(kept->bytes, s->bytes + (uint64_t)page * PAGE_SIZE, PAGE_SIZE);
    kept->next = s->newest->pages;
    s->newest->pages = kept;
    set_bit(s->is_kept, page);
    return true;
}

static bool set_in_page(kc *m, uint64_t physical, uint64_t size, enum kc_poison value)
{
    struct shadow *s = m->shadow;
    uint32_t page = (uint32_t)(physical >> PAGE_SHIFT);
    bool is_new = value != KC_ACCESSIBLE && !has_bit(s->watched, page);

    if (value == KC_ACCESSIBLE && !has_bit(s->watched, page))
        return false; /* it is all zeros */
    if (!keep(m, page)) {
        kc_no_memory(m);
        return false;
    }
    memset(s->bytes + physical, value, size);
    if (is_new)
        set_bit(s->watched, page);
    return is_new;
}

void kc_shadow_set(kc *m, uint64_t physical, uint64_t size, enum kc_poison value)
{
    uint64_t end = physical + size < m->memory_end ? physical + size : m->memory_end, next;
    bool has_new = false;

    for (; physical < end; physical = next) {
        next = (physical | PAGE_MASK) + 1 < end ? (physical | PAGE_MASK) + 1 : end;
        has_new |= set_in_page(m, physical, next - physical, value);
    }
    if (has_new)
        kc_fill_again(m);
}

int kc_shadow_open(kc *m)
{
    struct shadow *s = m->shadow;
    void *bytes = MAP_FAILED;

    s->file = memfd_create("kmemu-shadow", MFD_CLOEXEC);
    s->watched = calloc(1, bits_size(m));
    s->is_kept = calloc(1, bits_size(m));
    if (s->file >= 0 && s->watched && s->is_kept && !ftruncate(s->file, (off_t)m->memory_end))
        bytes = mmap(NULL, m->memory_end, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, s->file, 0);
    if (bytes == MAP_FAILED) {
        kc_shadow_close(m);
        return -1;
    }
    s->bytes = bytes;
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
    free(s->is_kept);
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
    struct shadow *s = m->shadow;
    struct kept_shadow *kept;

    *out = NULL;
    if (!s->bytes)
        return 0;
    if (!(kept = calloc(1, sizeof *kept)))
        return -1;
    *kept = (struct kept_shadow){.of = s, .opening = s->openings, .older = s->newest};
    memset(s->is_kept, 0, bits_size(m));
    s->newest = kept;
    *out = kept;
    return 0;
}

static void clear(kc *m)
{
    for (uint32_t page = 0; page < m->memory_end >> PAGE_SHIFT; page++)
        if (has_bit(m->shadow->watched, page))
            memset(m->shadow->bytes + (uint64_t)page * PAGE_SIZE, KC_ACCESSIBLE, PAGE_SIZE);
}

/* Snapshots further in have been forgotten by now, so there is no other one of this shadow if there is none of it here. */
int kc_shadow_restore(kc *m, const void *saved)
{
    struct shadow *s = m->shadow;
    const struct kept_shadow *kept = saved;
    struct kept_page *page, *next;

    if (!s->bytes)
        return 0;
    if (!kept || kept->opening != s->openings) {
        clear(m);
        return 0;
    }
    for (page = s->newest->pages; page; page = next) {
        next = page->next;
        memcpy(s->bytes + (uint64_t)page->number * PAGE_SIZE, page->bytes, PAGE_SIZE);
        clear_bit(s->is_kept, page->number);
        free(page);
    }
    s->newest->pages = NULL;
    return 0;
}

/* What this one keeps is what the older one needs, too, as far as that does not keep the same pages. */
static void hand_over(struct shadow *s, struct kept_shadow *from, struct kept_shadow *to)
{
    struct kept_page **link = &from->pages;

    for (struct kept_page *page = from->pages; page; page = page->next)
        clear_bit(s->is_kept, page->number);
    for (struct kept_page *page = to->pages; page; page = page->next)
        set_bit(s->is_kept, page->number);
    while (*link) {
        struct kept_page *page = *link;
        if (has_bit(s->is_kept, page->number)) {
            link = &page->next;
            continue;
        }
        *link = page->next;
        page->next = to->pages;
        to->pages = page;
        set_bit(s->is_kept, page->number);
    }
}

/* It is the newest one, or of a shadow that is closed. */
void kc_shadow_forget(void *saved)
{
    struct kept_shadow *kept = saved;
    struct kept_page *next;

    if (!kept)
        return;
    struct shadow *s = kept->of;
    if (s->bytes && kept->opening == s->openings) {
        if (kept->older)
            hand_over(s, kept, kept->older);
        s->newest = kept->older;
    }
    for (; kept->pages; kept->pages = next) {
        next = kept->pages->next;
        free(kept->pages);
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
