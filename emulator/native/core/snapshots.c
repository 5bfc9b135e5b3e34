/* Snapshots of memory, and of what the parts of a machine keep.
 *
 * RAM is a private mapping of an unnamed file. The file holds the newest snapshot; the pages written since are the
 * process's own copies, which the host kernel keeps apart for us. Going back is one madvise(): the copies are dropped
 * and the file's pages shine through. Where that happens again and again and few pages have changed, they are copied
 * back instead, and stay: each of them would cost two page faults. A snapshot taken inside another moves the file on; what the file loses by that
 * is kept in the outer snapshot's list of undo pages.
 *
 * Untouched RAM is a hole in the file and costs nothing.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/mmu.h"
#include "core/page_list.h"
#include "core/ram.h"
#include "core/run.h"

#define DEPTH_MAX 64
enum { OFTEN = 3, COPIED_MAX = 64 }; /* resets after which pages are copied back, and how many of them at most */

struct snapshot {
    void *saved[KC_PARTS]; /* by the parts of the machine */
    int resets;            /* so far, up to OFTEN */
    struct page_list undo; /* pages that differ in the next snapshot further in, as they are in this one */
};

struct snapshots {
    int depth, pagemap;
    struct snapshot stack[DEPTH_MAX];
    struct touched_room touched;
};

/* -- pages --------------------------------------------------------------------------------------- */

static int pagemap(kc *m)
{
    struct snapshots *s = m->snapshots;
    return s->pagemap < 0 ? s->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC) : s->pagemap;
}

/* Call visit for each page of a piece that differs from the file. Linux: Documentation/admin-guide/mm/pagemap.rst. */
static int for_each_changed_page_of(kc *m, const struct piece *piece, int (*visit)(kc *, uint32_t))
{
    enum { BATCH = 4096 };
    static const uint64_t present = 1ull << 63, swapped = 1ull << 62, of_file = 1ull << 61;
    uint64_t first = (uintptr_t)piece->memory >> PAGE_SHIFT, pages = (piece->end - piece->start) >> PAGE_SHIFT;
    uint64_t entries[BATCH];

    if (pagemap(m) < 0)
        return -1;
    for (uint64_t done = 0; done < pages; done += BATCH) {
        uint64_t count = pages - done < BATCH ? pages - done : BATCH;
        ssize_t bytes = (ssize_t)(count * sizeof *entries);
        if (pread(m->snapshots->pagemap, entries, (size_t)bytes, (off_t)((first + done) * sizeof *entries)) != bytes)
            return -1;
        for (uint64_t i = 0; i < count; i++)
            if ((entries[i] & (present | swapped)) && !(entries[i] & of_file) && visit(m, (uint32_t)((piece->start >> PAGE_SHIFT) + done + i)))
                return -1;
    }
    return 0;
}

static int for_each_changed_page(kc *m, int (*visit)(kc *, uint32_t))
{
    for (int i = 0; i < m->ram->piece_count; i++)
        if (for_each_changed_page_of(m, &m->ram->pieces[i], visit))
            return -1;
    return 0;
}

/* The ioctl PAGEMAP_SCAN of Linux 6.7 and later, whose header may be older; the same document describes it. */
struct own_pages { uint64_t start, end, categories; };
struct scan {
    uint64_t size, flags, start, end, walk_end, found, found_max, pages_max, inverted, all_of, any_of, wanted;
};
#define SCAN _IOWR('f', 16, struct scan)

/* Copy the file over the process's own copies of pages. False: there are too many, or Linux does not say which. */
static bool copy_file(kc *m, const struct piece *piece)
{
    enum { OF_FILE = 1 << 2, PRESENT = 1 << 3, SWAPPED = 1 << 4 };
    struct own_pages own[COPIED_MAX];
    uint64_t start = (uintptr_t)piece->memory, end = start + (piece->end - piece->start);
    struct scan scan = {
        .size = sizeof scan, .start = start, .end = end, .found = (uintptr_t)own, .found_max = COPIED_MAX, .pages_max = COPIED_MAX,
        .inverted = OF_FILE, .all_of = OF_FILE, .any_of = PRESENT | SWAPPED, .wanted = OF_FILE,
    };
    int count = pagemap(m) < 0 ? -1 : ioctl(pagemap(m), SCAN, &scan);

    if (count < 0 || scan.walk_end != end)
        return false;
    for (int i = 0; i < count; i++)
        memcpy(piece->memory + (own[i].start - start), piece->base + (own[i].start - start), own[i].end - own[i].start);
    return true;
}

/* Let memory be what the file holds, and drop the process's own copies of pages if they are not needed soon. */
static int show_file(kc *m, bool often)
{
    for (int i = 0; i < m->ram->piece_count; i++) {
        const struct piece *piece = &m->ram->pieces[i];
        if (!(often && copy_file(m, piece)) && madvise(piece->memory, piece->end - piece->start, MADV_DONTNEED))
            return -1;
    }
    return 0;
}

static uint8_t *page_now(const kc *m, uint32_t page)
{
    uint64_t at = (uint64_t)page * PAGE_SIZE;
    return kc_piece(m, at)->memory + (at - kc_piece(m, at)->start);
}

static uint8_t *page_in_file(const kc *m, uint32_t page)
{
    uint64_t at = (uint64_t)page * PAGE_SIZE;
    return kc_piece(m, at)->base + (at - kc_piece(m, at)->start);
}

/* NULL: there is no snapshot. */
static struct page_list *undo_of_newest(kc *m)
{
    struct snapshots *s = m->snapshots;
    return s->depth ? &s->stack[s->depth - 1].undo : NULL;
}

/* The file takes over a page; the outer snapshot keeps what the file held. */
static int page_commit(kc *m, uint32_t page)
{
    struct page_list *undo = undo_of_newest(m);

    if (undo && !kc_page_list_add(undo, page, page_in_file(m, page)))
        return -1;
    memcpy(page_in_file(m, page), page_now(m, page), PAGE_SIZE);
    return 0;
}

/* A snapshot could not be finished: the file holds again what it held. */
static void pages_uncommit(kc *m)
{
    struct page_list *undo = undo_of_newest(m);

    for (uint32_t i = 0; undo && i < undo->count; i++)
        memcpy(page_in_file(m, undo->pages[i].number), undo->pages[i].bytes, PAGE_SIZE);
    if (undo)
        undo->count = 0;
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

int kc_snapshot(kc *m)
{
    if (m->snapshots->depth == DEPTH_MAX)
        return -1;
    struct snapshot *s = &m->snapshots->stack[m->snapshots->depth];
    s->resets = 0;
    if (parts_save(m, s)) {
        parts_forget(s);
        return -1;
    }
    if (for_each_changed_page(m, page_commit) || show_file(m, false)) {
        pages_uncommit(m);
        parts_forget(s);
        return -1;
    }
    return m->snapshots->depth++;
}

static void code_forget(kc *m, uint64_t start, uint64_t end)
{
    if (kc_paging(m)) /* Unicorn wants linear addresses, of which a page may have several */
        kc_flush_code(m);
    else
        kc_forget_code(m, start, end);
}

/* A page that may hold translated code becomes `bytes`: the translations of what differs are dropped. */
static void code_restore(kc *m, uint32_t page, const uint8_t *bytes)
{
    enum { CHUNK = 64 };
    uint8_t *now = page_now(m, page);

    if (memcmp(now, bytes, PAGE_SIZE) == 0)
        return;
    for (uint32_t at = 0; at < PAGE_SIZE; at += CHUNK)
        if (memcmp(now + at, bytes + at, CHUNK))
            code_forget(m, (uint64_t)page * PAGE_SIZE + at, (uint64_t)page * PAGE_SIZE + at + CHUNK);
    memcpy(now, bytes, PAGE_SIZE);
}

/* Bring the file back to what it was at snapshot `depth`. keep: the mapping must go on showing what it shows now. */
static void file_rewind(kc *m, int depth, bool keep)
{
    for (int i = m->snapshots->depth - 2; i >= depth; i--) {
        struct page_list *undo = &m->snapshots->stack[i].undo;
        for (uint32_t k = 0; k < undo->count; k++) {
            uint32_t page = undo->pages[k].number;
            if (keep)
                *(volatile uint8_t *)page_now(m, page) = *page_now(m, page); /* now our own copy */
            else if (kc_was_fetched(m, page))
                code_restore(m, page, undo->pages[k].bytes);
            memcpy(page_in_file(m, page), undo->pages[k].bytes, PAGE_SIZE);
        }
        undo->count = 0;
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

int kc_reset(kc *m, int depth)
{
    uint32_t count;
    const uint32_t *pages = kc_fetched_pages(m, &count);

    if (depth < 0 || depth >= m->snapshots->depth)
        return -1;
    file_rewind(m, depth, false);
    for (uint32_t i = 0; i < count; i++)
        code_restore(m, pages[i], page_in_file(m, pages[i]));
    snapshots_forget(m, depth + 1);
    struct snapshot *s = &m->snapshots->stack[depth];
    s->resets += s->resets < OFTEN;
    if (show_file(m, s->resets == OFTEN))
        return -1;
    if (parts_restore(m, s))
        return -1;
    if (m->reference)
        kc_flush_code(m); /* which pages hold code is not known */
    return kc_lacks_memory(m) ? -1 : 0;
}

bool kc_page_written(const kc *m, int depth, uint32_t page)
{
    return depth >= 0 && depth < m->snapshots->depth && kc_page_list_find(&m->snapshots->stack[depth].undo, page);
}

int64_t kc_pages_written(kc *m, int depth, const kc_touched **out)
{
    struct snapshots *s = m->snapshots;
    return depth >= 0 && depth < s->depth ? kc_touched_of(&s->touched, &s->stack[depth].undo, out) : 0;
}

int kc_discard(kc *m, int depth)
{
    if (depth < 0 || depth >= m->snapshots->depth)
        return -1;
    if (depth)
        file_rewind(m, depth - 1, true);
    snapshots_forget(m, depth);
    return 0;
}

/* -- life ---------------------------------------------------------------------------------------- */

int kc_snapshots_init(kc *m)
{
    if (KC_NEW(m->snapshots))
        return -1;
    m->snapshots->pagemap = -1;
    return 0;
}

void kc_snapshots_free(kc *m)
{
    if (!m->snapshots)
        return;
    if (m->snapshots->pagemap >= 0)
        close(m->snapshots->pagemap);
    free(m->snapshots->touched.entries);
    free(m->snapshots);
}
