/* Snapshots of memory, and of what the parts of a machine keep.
 *
 * Theory of operation. A snapshot copies nothing: it protects memory, and the first write to a page keeps in the newest snapshot what the
 * page held. Whoever writes comes to that: the guest, the engine, the core, Python. Going back copies the kept pages into place.
 * Where that happens again and again the same few pages are written: those stay writable, and are copied back each time, so that
 * neither a write nor going back costs anything else.
 *
 * Whoever goes back and forth keeps the way ahead: what was kept of pages and what they hold are exchanged, so that the same lists lead forwards
 * again. The parts of a machine put back what they have saved in both directions, and do the same with their arrays (kept_arrays.c). What is checked has to
 * be the same all the way.
 *
 * Memory that nobody has touched is a hole in RAM's file and costs nothing.
 *
 * Shortcomings. Each page that is written between protected ones costs Linux a mapping, of which a process has some ten thousands: after
 * SINGLE_PAGES of them, pages are kept and made writable in groups.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/bits.h"
#include "core/host_faults.h"
#include "core/mmu.h"
#include "core/page_list.h"
#include "core/ram.h"
#include "core/reports.h"
#include "core/run.h"
#include "core/windows.h"
#include "unicorn/jumps.h"
#include "unicorn/reports.h"

#define DEPTH_MAX 64
enum { HOT_MAX = 64 };                     /* pages that stay writable when a snapshot is gone back to */
enum { SINGLE_PAGES = 8192, GROUP = 64 };  /* pages made writable alone, and together */

struct snapshot {
    void *saved[KC_PARTS]; /* by the parts of the machine */
    struct page_list undo; /* pages that were written from here to the next snapshot inside, as they are in this one */
    uint32_t checks;       /* see kc_checks_opening() */
};

struct snapshots {
    int depth;
    struct snapshot stack[DEPTH_MAX];
    struct snapshot ahead[DEPTH_MAX]; /* the nearest last; `undo` of one leads to it from the one before */
    int ahead_count, ahead_of;        /* of how many snapshots; and the depth of the one before the nearest */
    uint8_t *kept;   /* one bit a page: it is in the newest snapshot's undo list */
    uint32_t opened; /* pages or groups made writable since all were protected */
    uint64_t arrays_size;  /* what is kept of arrays, in bytes */
    struct touched_room touched;
};

/* -- pages --------------------------------------------------------------------------------------- */

static uint8_t *page_at(const kc *m, uint32_t page)
{
    uint64_t at = (uint64_t)page * PAGE_SIZE;
    return kc_piece(m, at)->base + (at - kc_piece(m, at)->start);
}

static bool is_kept(const kc *m, uint32_t page) { return kc_bit(m->snapshots->kept, page); }

/* NULL: there is no snapshot. */
static struct page_list *undo_of_newest(kc *m)
{
    struct snapshots *s = m->snapshots;
    return s->depth ? &s->stack[s->depth - 1].undo : NULL;
}

void kc_keep_page(kc *m, uint32_t page)
{
    struct page_list *undo = undo_of_newest(m);

    if (!undo || is_kept(m, page))
        return;
    if (kc_page_list_add(undo, page, page_at(m, page)))
        kc_bit_set(m->snapshots->kept, page);
    else
        kc_no_memory(m);
}

bool kc_may_be_written(const kc *m, uint32_t page) { return !m->snapshots->depth || is_kept(m, page); }

/* Never too many mappings: it is one. */
static __attribute__((noinline)) bool give_up(const struct piece *piece)
{
    return mprotect(piece->memory, piece->end - piece->start, PROT_READ | PROT_WRITE) == 0;
}

/* A write to a protected page of a piece. */
static bool on_write(kc *m, uintptr_t address, void *context)
{
    const struct piece *piece = m->ram->pieces;
    (void)context;

    while (address - (uintptr_t)piece->memory >= piece->end - piece->start)
        piece++;
    uint64_t offset = (address - (uintptr_t)piece->memory) & ~(uint64_t)PAGE_MASK, size = PAGE_SIZE;
    if (m->snapshots->opened >= SINGLE_PAGES) {
        offset -= offset % (GROUP * PAGE_SIZE);
        size = piece->end - piece->start - offset < GROUP * PAGE_SIZE ? piece->end - piece->start - offset : GROUP * PAGE_SIZE;
    }
    for (uint64_t at = offset; at < offset + size; at += PAGE_SIZE)
        kc_keep_page(m, (uint32_t)((piece->start + at) >> PAGE_SHIFT));
    m->snapshots->opened++;
    if (mprotect(piece->memory + offset, size, PROT_READ | PROT_WRITE) == 0)
        return true;
    kc_no_memory(m); /* of the rest nothing is kept */
    return give_up(piece);
}

/* Let the first write to each page be noticed; or let all be written. -1: the host lacks something. */
static int protect(kc *m, bool yes)
{
    for (int i = 0; i < m->ram->piece_count; i++) {
        const struct piece *piece = &m->ram->pieces[i];
        if (mprotect(piece->memory, piece->end - piece->start, yes ? PROT_READ : PROT_READ | PROT_WRITE))
            return -1;
    }
    m->snapshots->opened = 0;
    if (yes)
        kc_windows_protect(m);
    return 0;
}

int kc_on_piece(kc *m, const struct piece *piece)
{
    uint64_t size = piece->end - piece->start;

    if (kc_host_faults_add(m, piece->memory, size, on_write))
        return -1;
    return m->snapshots && m->snapshots->depth ? mprotect(piece->memory, size, PROT_READ) : 0;
}

int kc_on_pieces(kc *m) { return protect(m, m->snapshots->depth); }

/* Whether pages are in the newest list is asked of another one from now on. */
static void kept_clear(kc *m)
{
    const struct page_list *list = undo_of_newest(m);

    for (uint32_t i = 0; list && i < list->count; i++)
        kc_bit_clear(m->snapshots->kept, list->pages[i].number);
}

static void parts_forget(struct snapshot *s)
{
    for (int i = 0; i < KC_PARTS; i++)
        if (kc_parts[i].forget) {
            kc_parts[i].forget(s->saved[i]);
            s->saved[i] = NULL;
        }
}

static int parts_save(kc *m, struct snapshot *s)
{
    for (int i = 0; i < KC_PARTS; i++)
        if (kc_parts[i].save && kc_parts[i].save(m, &s->saved[i]))
            return -1;
    return 0;
}

static int parts_restore(kc *m, const struct snapshot *s)
{
    for (int i = 0; i < KC_PARTS; i++)
        if (kc_parts[i].restore && kc_parts[i].restore(m, s->saved[i]))
            return -1;
    return 0;
}

static void ahead_forget(kc *m)
{
    struct snapshots *s = m->snapshots;

    for (int i = 0; i < s->ahead_count; i++) { /* the farthest first: the others need nothing of it */
        parts_forget(&s->ahead[i]);
        kc_page_list_clear(&s->ahead[i].undo);
    }
    s->ahead_count = 0;
}

void kc_forget_ahead(kc *m) { ahead_forget(m); }

int kc_snapshot(kc *m)
{
    if (m->snapshots->depth + m->snapshots->ahead_count == DEPTH_MAX)
        return -1;
    struct snapshot *s = &m->snapshots->stack[m->snapshots->depth];
    if (parts_save(m, s) || protect(m, true)) {
        parts_forget(s);
        return -1;
    }
    s->checks = kc_checks_opening(m);
    kept_clear(m);
    kc_host_faults_take();
    return m->snapshots->depth++;
}

/* A page that may hold translated code becomes `bytes`: the translations of what differs are dropped. */
static void code_restore(kc *m, uint32_t page, const uint8_t *bytes)
{
    enum { CHUNK = 64 };
    const struct piece *piece = kc_piece(m, (uint64_t)page * PAGE_SIZE);
    uint8_t *now = page_at(m, page), *code = piece->memory + ((uint64_t)page * PAGE_SIZE - piece->start);

    if (memcmp(now, bytes, PAGE_SIZE) == 0)
        return;
    for (uint32_t at = 0; at < PAGE_SIZE; at += CHUNK)
        if (memcmp(now + at, bytes + at, CHUNK))
            kc_forget_code(m, code + at, CHUNK);
    memcpy(now, bytes, PAGE_SIZE);
}

/* What a snapshot's list holds is put back. */
static void undo(kc *m, const struct page_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t page = list->pages[i].number;
        if (kc_was_fetched(m, page))
            code_restore(m, page, list->pages[i].bytes);
        else
            memcpy(page_at(m, page), list->pages[i].bytes, PAGE_SIZE);
    }
}

static void snapshots_forget(kc *m, int depth)
{
    while (m->snapshots->depth > depth) {
        struct snapshot *s = &m->snapshots->stack[--m->snapshots->depth];
        parts_forget(s);
        kc_page_list_clear(&s->undo);
    }
}

/* Nothing was written since the newest snapshot: the pages of its list stay in it and writable, unless they are many. */
static int undo_start(kc *m, bool stays)
{
    struct page_list *list = undo_of_newest(m);

    if (stays && list->count <= HOT_MAX)
        return 0;
    kept_clear(m);
    list->count = 0;
    return protect(m, true);
}

/* A page and what is kept of it change places. */
static void exchange(kc *m, const struct page_list *list)
{
    uint8_t before[PAGE_SIZE];

    for (uint32_t i = 0; i < list->count; i++) {
        const struct page *page = &list->pages[i];
        memcpy(before, page_at(m, page->number), PAGE_SIZE);
        if (kc_was_fetched(m, page->number))
            code_restore(m, page->number, page->bytes);
        else
            memcpy(page_at(m, page->number), page->bytes, PAGE_SIZE);
        memcpy(page->bytes, before, PAGE_SIZE);
    }
}

/* May the parts of a machine go forwards from a snapshot? */
static bool has_ahead(const kc *m, int depth) { return !m->reference && m->snapshots->stack[depth].checks == kc_checks_opening(m); }

/* Take back what was written since the newest snapshot, which is the newest still. */
static void undo_newest(kc *m)
{
    struct page_list *list = undo_of_newest(m);

    undo(m, list);
    kept_clear(m);
    kc_page_list_clear(list);
}

/* Nothing was written since the newest snapshot. */
static int arrive(kc *m)
{
    struct snapshots *s = m->snapshots;

    s->ahead_of = s->depth - 1;
    if (protect(m, true) || parts_restore(m, &s->stack[s->depth - 1]))
        return -1;
    kc_host_faults_take();
    return kc_lacks_memory(m) ? -1 : 0;
}

int kc_reset_keeping(kc *m, int depth)
{
    struct snapshots *s = m->snapshots;

    if (depth < 0 || depth >= s->depth)
        return -1;
    if (!has_ahead(m, depth) || (s->ahead_count && depth > s->ahead_of)) {
        ahead_forget(m);
        return kc_reset(m, depth);
    }
    if (s->ahead_count && s->depth - 1 > s->ahead_of && kc_reset(m, s->ahead_of)) /* those inside are on no way */
        return -1;
    if (protect(m, false))
        return -1;
    undo_newest(m);
    while (s->depth - 1 > depth) {
        struct snapshot *last = &s->stack[--s->depth], *next = &s->ahead[s->ahead_count++], *newest = last - 1;
        *next = *last;
        next->undo = newest->undo;
        newest->undo = (struct page_list){0};
        memset(last, 0, sizeof *last);
        exchange(m, &next->undo);
    }
    return arrive(m);
}

int kc_ahead(const kc *m, int *depth)
{
    *depth = m->snapshots->ahead_of;
    return m->snapshots->ahead_count;
}

int kc_advance(kc *m, int n)
{
    struct snapshots *s = m->snapshots;

    kc_settle_accesses(m);
    if (n < 1 || n > s->ahead_count || (s->depth - 1 > s->ahead_of && kc_reset(m, s->ahead_of)) || protect(m, false))
        return -1;
    undo_newest(m);
    for (int i = 0; i < n; i++) {
        struct snapshot *next = &s->ahead[--s->ahead_count];
        exchange(m, &next->undo);
        s->stack[s->depth - 1].undo = next->undo;
        next->undo = (struct page_list){0};
        s->stack[s->depth++] = *next;
        memset(next, 0, sizeof *next);
    }
    return arrive(m);
}

void kc_lead_ahead(kc *m)
{
    struct snapshots *s = m->snapshots;

    if (s->ahead_count && s->depth - 2 == s->ahead_of)
        s->ahead_of++; /* what leads to the nearest leads there from here, too: no other pages were written on the way */
}

/* What only one list has goes into another, too. False: there is no memory; some of it has. */
static bool list_join(struct page_list *into, const struct page_list *from)
{
    uint8_t *has = calloc(MEMORY_PAGES / 8, 1);
    bool all = has;

    for (uint32_t i = 0; has && i < into->count; i++)
        kc_bit_set(has, into->pages[i].number);
    for (uint32_t i = 0; all && i < from->count; i++)
        if (!kc_bit(has, from->pages[i].number))
            all = kc_page_list_add(into, from->pages[i].number, from->pages[i].bytes);
    free(has);
    return all;
}

int kc_snapshot_drop(kc *m, int position)
{
    struct snapshots *s = m->snapshots;
    int count = s->depth + s->ahead_count;
    bool is_behind = position < s->depth - 1, is_ahead = position >= s->depth && position < count - 1, leads = s->ahead_count && position == s->ahead_of;

    if (position < 1 || !(is_behind || is_ahead) || leads)
        return -1;
    struct snapshot *one = is_behind ? &s->stack[position] : &s->ahead[count - 1 - position];
    if (!list_join(&one[-1].undo, &one->undo)) /* the outer one, or the next one ahead: each has the pages as they are in itself */
        return -1;
    parts_forget(one);
    kc_page_list_clear(&one->undo);
    struct snapshot *end = is_behind ? &s->stack[--s->depth] : &s->ahead[--s->ahead_count];
    memmove(one, one + 1, (size_t)(end - one) * sizeof *one);
    memset(end, 0, sizeof *end);
    s->ahead_of -= is_behind && position < s->ahead_of;
    return 0;
}

uint64_t *kc_kept_size(kc *m) { return &m->snapshots->arrays_size; }

uint64_t kc_snapshot_bytes(const kc *m)
{
    const struct snapshots *s = m->snapshots;
    uint64_t pages = 0;

    for (int i = 0; i < s->depth; i++)
        pages += s->stack[i].undo.count;
    for (int i = 0; i < s->ahead_count; i++)
        pages += s->ahead[i].undo.count;
    return pages * PAGE_SIZE + s->arrays_size;
}

int kc_reset(kc *m, int depth)
{
    struct snapshots *s = m->snapshots;

    if (depth < 0 || depth >= s->depth)
        return -1;
    if (s->ahead_count && depth < s->ahead_of)
        ahead_forget(m);
    bool is_newest = depth == s->depth - 1;
    for (int i = s->depth - 1; i >= depth; i--)
        undo(m, &s->stack[i].undo);
    if (!is_newest)
        kept_clear(m);
    snapshots_forget(m, depth + 1);
    if (undo_start(m, is_newest) || parts_restore(m, &s->stack[depth]))
        return -1;
    if (m->reference)
        kc_flush_code(m); /* which pages hold code is not known */
    kc_host_faults_take();
    return kc_lacks_memory(m) ? -1 : 0;
}

bool kc_page_written(const kc *m, int depth, uint32_t page)
{
    return depth >= 0 && depth < m->snapshots->depth - 1 && kc_page_list_find(&m->snapshots->stack[depth].undo, page);
}

int64_t kc_pages_written(kc *m, int depth, const kc_touched **out)
{
    struct snapshots *s = m->snapshots;
    return depth >= 0 && depth < s->depth - 1 ? kc_touched_of(&s->touched, &s->stack[depth].undo, out) : 0;
}

/* What the snapshots from `depth` on keep goes to the one before, which has seen the oldest bytes. */
static int undo_join(kc *m, int depth)
{
    struct snapshots *s = m->snapshots;
    struct page_list *into = &s->stack[depth - 1].undo;

    kept_clear(m);
    for (uint32_t i = 0; i < into->count; i++)
        kc_bit_set(m->snapshots->kept, into->pages[i].number);
    for (int k = depth; k < s->depth; k++) {
        const struct page_list *list = &s->stack[k].undo;
        for (uint32_t i = 0; i < list->count; i++) {
            if (is_kept(m, list->pages[i].number))
                continue;
            if (!kc_page_list_add(into, list->pages[i].number, list->pages[i].bytes))
                return -1;
            kc_bit_set(m->snapshots->kept, list->pages[i].number);
        }
    }
    return 0;
}

int kc_discard(kc *m, int depth)
{
    struct snapshots *s = m->snapshots;
    int error = 0;

    if (depth < 0 || depth >= s->depth)
        return -1;
    if (depth <= s->ahead_of)
        ahead_forget(m);
    if (depth) {
        error = undo_join(m, depth);
    } else {
        kept_clear(m);
        error = protect(m, false);
    }
    if (error)
        kc_no_memory(m); /* the snapshot that is left cannot be gone back to */
    snapshots_forget(m, depth);
    return error;
}

/* -- life ---------------------------------------------------------------------------------------- */

int kc_snapshots_init(kc *m)
{
    return KC_NEW(m->snapshots) || !(m->snapshots->kept = calloc(MEMORY_PAGES / 8, 1)) ? -1 : 0;
}

void kc_snapshots_free(kc *m)
{
    if (m->snapshots) {
        free(m->snapshots->kept);
        free(m->snapshots->touched.entries);
    }
    free(m->snapshots);
}
