/* Physical RAM and its snapshots.
 *
 * RAM is a private mapping of an unnamed file. The file holds the newest snapshot; the pages written since are the
 * process's own copies, which the host kernel keeps apart for us. Going back is one madvise(): the copies are dropped
 * and the file's pages shine through. A snapshot taken inside another moves the file on; what the file loses by that
 * is kept in the outer snapshot's list of undo pages.
 *
 * Untouched RAM is a hole in the file and costs nothing.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine.h"

/* -- page lists ---------------------------------------------------------------------------------- */

uint8_t *kc_page_list_find(const struct page_list *list, uint32_t page)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->pages[i].number == page)
            return list->pages[i].bytes;
    return NULL;
}

uint8_t *kc_page_list_add(struct page_list *list, uint32_t page, const uint8_t *bytes)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity ? list->capacity * 2 : 16;
        struct page *pages = realloc(list->pages, capacity * sizeof *pages);
        if (!pages)
            return NULL;
        memset(pages + list->capacity, 0, (capacity - list->capacity) * sizeof *pages);
        list->pages = pages;
        list->capacity = capacity;
    }
    struct page *entry = &list->pages[list->count];
    if (!entry->bytes && !(entry->bytes = malloc(PAGE_SIZE)))
        return NULL;
    entry->number = page;
    memcpy(entry->bytes, bytes, PAGE_SIZE);
    list->count++;
    return entry->bytes;
}

void kc_page_list_clear(struct page_list *list)
{
    for (uint32_t i = 0; i < list->capacity; i++)
        free(list->pages[i].bytes);
    free(list->pages);
    memset(list, 0, sizeof *list);
}

/* -- life ---------------------------------------------------------------------------------------- */

uint8_t *kc_memory(kc *m) { return m->memory; }

int kc_ram_init(kc *m)
{
    m->file = memfd_create("kmemu-ram", MFD_CLOEXEC);
    if (m->file < 0 || ftruncate(m->file, (off_t)m->memory_end))
        return -1;
    m->memory = mmap(NULL, m->memory_end, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, m->file, 0);
    m->base = mmap(NULL, m->memory_end, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, m->file, 0);
    return m->memory == MAP_FAILED || m->base == MAP_FAILED ? -1 : 0;
}

void kc_ram_free(kc *m)
{
    if (m->memory && m->memory != MAP_FAILED)
        munmap(m->memory, m->memory_end);
    if (m->base && m->base != MAP_FAILED)
        munmap(m->base, m->memory_end);
    if (m->file >= 0)
        close(m->file);
    if (m->pagemap >= 0)
        close(m->pagemap);
}

bool kc_is_mapped(const kc *m, uint64_t physical)
{
    for (int i = 0; i < m->range_count; i++)
        if (physical >= m->ranges[i].start && physical < m->ranges[i].end)
            return true;
    return false;
}

static int range_add(kc *m, uint64_t start, uint64_t end, int error)
{
    if (m->range_count == sizeof m->ranges / sizeof *m->ranges)
        return UC_ERR_RESOURCE;
    if (!error)
        m->ranges[m->range_count++] = (struct range){start, end};
    return error;
}

int kc_map_ram(kc *m, uint64_t start, uint64_t end)
{
    return range_add(m, start, end, U.uc_mem_map_ptr(m->uc, start, end - start, UC_PROT_ALL, m->memory + start));
}

static uint64_t rom_read(uc_engine *uc, uint64_t offset, unsigned size, void *data)
{
    (void)uc, (void)offset, (void)size, (void)data;
    return 0;
}

static void rom_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *data)
{
    (void)uc, (void)offset, (void)size, (void)value, (void)data;
}

int kc_map_rom(kc *m, uint64_t start, uint64_t end)
{
    return range_add(m, start, end, U.uc_mmio_map(m->uc, start, end - start, rom_read, NULL, rom_write, NULL));
}

/* -- snapshots ----------------------------------------------------------------------------------- */

/* Call visit for each page that differs from the file. Linux: Documentation/admin-guide/mm/pagemap.rst. */
static int for_each_changed_page(kc *m, int (*visit)(kc *, uint32_t))
{
    enum { BATCH = 4096 };
    static const uint64_t present = 1ull << 63, swapped = 1ull << 62, of_file = 1ull << 61;
    uint64_t first = (uintptr_t)m->memory >> PAGE_SHIFT, pages = m->memory_end >> PAGE_SHIFT, entries[BATCH];

    if (m->pagemap < 0 && (m->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) < 0)
        return -1;
    for (uint64_t done = 0; done < pages; done += BATCH) {
        uint64_t count = pages - done < BATCH ? pages - done : BATCH;
        ssize_t bytes = (ssize_t)(count * sizeof *entries);
        if (pread(m->pagemap, entries, (size_t)bytes, (off_t)((first + done) * sizeof *entries)) != bytes)
            return -1;
        for (uint64_t i = 0; i < count; i++)
            if ((entries[i] & (present | swapped)) && !(entries[i] & of_file) && visit(m, (uint32_t)(done + i)))
                return -1;
    }
    return 0;
}

static uint8_t *page_in(uint8_t *memory, uint32_t page) { return memory + (uint64_t)page * PAGE_SIZE; }

/* The file takes over a page; the outer snapshot keeps what the file held. */
static int page_commit(kc *m, uint32_t page)
{
    if (m->depth && !kc_page_list_add(&m->snapshots[m->depth - 1].undo, page, page_in(m->base, page)))
        return -1;
    memcpy(page_in(m->base, page), page_in(m->memory, page), PAGE_SIZE);
    return 0;
}

/* A snapshot could not be finished: the file holds again what it held. */
static void pages_uncommit(kc *m)
{
    struct page_list *undo = m->depth ? &m->snapshots[m->depth - 1].undo : NULL;

    for (uint32_t i = 0; undo && i < undo->count; i++)
        memcpy(page_in(m->base, undo->pages[i].number), undo->pages[i].bytes, PAGE_SIZE);
    if (undo)
        undo->count = 0;
}

int kc_snapshot(kc *m)
{
    if (m->depth == DEPTH_MAX)
        return -1;
    struct snapshot *s = &m->snapshots[m->depth];
    if (U.uc_context_alloc(m->uc, &s->cpu))
        return -1;
    if (kc_progress_copy(&s->calls, &m->now)) {
        U.uc_context_free(s->cpu);
        return -1;
    }
    s->dr7 = kc_breakpoints(m, 0);
    int error = U.uc_context_save(m->uc, s->cpu);
    kc_breakpoints(m, s->dr7);
    if (kc_watches_save(m, s) || error || for_each_changed_page(m, page_commit)
        || madvise(m->memory, m->memory_end, MADV_DONTNEED)) {
        pages_uncommit(m);
        U.uc_context_free(s->cpu);
        free(s->calls.open);
        kc_watches_forget(s);
        return -1;
    }
    s->time_stamp = m->time_stamp;
    s->pushed = m->pushed;
    return m->depth++;
}

static void code_forget(kc *m, uint64_t start, uint64_t end)
{
    if (m->paging) /* Unicorn wants linear addresses, of which a page may have several */
        kc_flush_code(m);
    else
        U.uc_ctl(m->uc, UC_CTL_WRITE(UC_CTL_TB_REMOVE_CACHE, 2), start, end);
}

/* A page that may hold translated code becomes `bytes`: the translations of what differs are dropped. */
static void code_restore(kc *m, uint32_t page, const uint8_t *bytes)
{
    enum { CHUNK = 64 };
    uint8_t *now = page_in(m->memory, page);

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
    for (int i = m->depth - 2; i >= depth; i--) {
        struct page_list *undo = &m->snapshots[i].undo;
        for (uint32_t k = 0; k < undo->count; k++) {
            uint32_t page = undo->pages[k].number;
            if (keep)
                *(volatile uint8_t *)page_in(m->memory, page) = *page_in(m->memory, page); /* now our own copy */
            else if (kc_was_fetched(m, page))
                code_restore(m, page, undo->pages[k].bytes);
            memcpy(page_in(m->base, page), undo->pages[k].bytes, PAGE_SIZE);
        }
        undo->count = 0;
    }
}

static void snapshots_forget(kc *m, int depth)
{
    while (m->depth > depth) {
        struct snapshot *s = &m->snapshots[--m->depth];
        U.uc_context_free(s->cpu);
        free(s->calls.open);
        kc_watches_forget(s);
        kc_page_list_clear(&s->undo);
    }
}

int kc_reset(kc *m, int depth)
{
    if (depth < 0 || depth >= m->depth)
        return -1;
    file_rewind(m, depth, false);
    for (uint32_t i = 0; i < m->fetched_count; i++)
        code_restore(m, m->fetched_pages[i], page_in(m->base, m->fetched_pages[i]));
    snapshots_forget(m, depth + 1);
    if (madvise(m->memory, m->memory_end, MADV_DONTNEED))
        return -1;
    kc_breakpoints(m, 0);
    if (U.uc_context_restore(m->uc, m->snapshots[depth].cpu))
        return -1;
    kc_breakpoints(m, m->snapshots[depth].dr7);
    kc_flush_tlb(m); /* CR3 may be another one, and D bits are clear again */
    if (m->reference)
        kc_flush_code(m); /* which pages hold code is not known */
    kc_fills_forget(m);
    kc_paging_read(m);
    m->time_stamp = m->snapshots[depth].time_stamp;
    kc_interrupts_return(m, &m->snapshots[depth].pushed);
    kc_progress_return(m, &m->snapshots[depth].calls);
    kc_watches_restore(m, &m->snapshots[depth]);
    return m->no_memory ? -1 : 0;
}

bool kc_page_written(const kc *m, int depth, uint32_t page)
{
    return depth >= 0 && depth < m->depth && kc_page_list_find(&m->snapshots[depth].undo, page);
}

int64_t kc_pages_written(kc *m, int depth, const kc_touched **out)
{
    return depth >= 0 && depth < m->depth ? kc_touched_of(&m->touched, &m->snapshots[depth].undo, out) : 0;
}

int kc_discard(kc *m, int depth)
{
    if (depth < 0 || depth >= m->depth)
        return -1;
    if (depth)
        file_rewind(m, depth - 1, true);
    snapshots_forget(m, depth);
    return 0;
}
