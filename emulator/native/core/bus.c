/* The memory bus outside of RAM, up to 4 GiB: windows of devices, whose accesses go to Python.
 *
 * All of it is one region of Unicorn's for memory-mapped I/O: accesses to RAM, which hit the TLB, are as fast as without. Where no
 * window is, the TLB fill (mmu.c) refuses the first access to a page, so that the run stands at the instruction and the access can
 * be reported; then the page is left open. On Unicorn's own MMU each window is a region, and the rest is not there.
 */
#include <stdlib.h>
#include <string.h>

#include "core/bus.h"
#include "core/ram.h"
#include "unicorn/counting.h"
#include "unicorn/engine.h"

#define BUS_END (1ull << 32)
#define WORDS 4

struct region { kc *machine; uint64_t start; };

struct word { uint32_t window, offset, value; };

struct bus {
    struct window { uint64_t start, end; } windows[32];
    struct region regions[32]; /* of a window each, on Unicorn's own MMU; else the first is all there is */
    int window_count;
    struct kept {
        struct open { kc_open_page pages[KC_OPEN_PAGES + 1]; uint32_t count; } open;
        struct words { struct word words[WORDS]; uint32_t count; } words; /* that need no asking */
    } kept; /* by snapshots */
    uint32_t newest; /* of them, that was accessed */
    struct last_read { uint32_t where; bool in_run; uint64_t at, ago; } last_read; /* at: in the present run; ago: else */
};

static int window_at(const kc *m, uint64_t physical)
{
    const struct bus *bus = m->bus;

    for (int i = 0; i < bus->window_count; i++)
        if (physical >= bus->windows[i].start && physical < bus->windows[i].end)
            return i;
    return -1;
}

bool kc_is_device(const kc *m, uint64_t physical) { return window_at(m, physical) >= 0; }

/* -- pages of nobody ------------------------------------------------------------------------------ */

static kc_open_page *open_page_at(kc *m, uint32_t page)
{
    struct bus *bus = m->bus;

    if (bus->newest < bus->kept.open.count && bus->kept.open.pages[bus->newest].page == page)
        return &bus->kept.open.pages[bus->newest];
    for (uint32_t i = 0; i < bus->kept.open.count; i++) {
        if (bus->kept.open.pages[i].page == page || bus->kept.open.pages[i].page == KC_OTHER_PAGES) {
            bus->newest = i;
            return &bus->kept.open.pages[i];
        }
    }
    return NULL;
}

bool kc_is_open(kc *m, uint64_t physical)
{
    return physical < BUS_END && !m->reference && open_page_at(m, (uint32_t)(physical >> PAGE_SHIFT));
}

void kc_leave_open(kc *m, uint32_t page)
{
    struct open *open = &m->bus->kept.open;

    if (open_page_at(m, page))
        return;
    open->pages[open->count] = (kc_open_page){.page = open->count < KC_OPEN_PAGES ? page : KC_OTHER_PAGES};
    open->count++;
}

const kc_open_page *kc_open_pages(const kc *m, uint32_t *count)
{
    *count = m->bus->kept.open.count;
    return m->bus->kept.open.pages;
}

/* -- accesses ------------------------------------------------------------------------------------- */

void kc_note_read(kc *m, uint32_t where)
{
    m->bus->last_read.where = where;
    m->bus->last_read.in_run = true;
    m->bus->last_read.at = kc_count(m);
}

void kc_bus_ran(kc *m, uint64_t instructions)
{
    struct last_read *last = &m->bus->last_read;

    last->ago = last->in_run ? instructions - last->at : last->ago + instructions;
    last->in_run = false;
}

uint64_t kc_last_read(const kc *m, uint32_t *where)
{
    *where = m->bus->last_read.where;
    return m->bus->last_read.ago;
}

static struct word *word_at(kc *m, uint32_t window, uint32_t offset)
{
    struct words *words = &m->bus->kept.words;

    for (uint32_t i = 0; i < words->count; i++)
        if (words->words[i].offset == offset && words->words[i].window == window)
            return &words->words[i];
    return NULL;
}

int kc_device_word(kc *m, uint32_t window, uint32_t offset, uint32_t value)
{
    struct words *words = &m->bus->kept.words;
    struct word *word = word_at(m, window, offset);

    if (!word && words->count == WORDS)
        return -1;
    if (!word)
        word = &words->words[words->count++];
    *word = (struct word){window, offset, value};
    return 0;
}

/* Accesses of 1, 2 or 4 bytes, aligned: the engine splits others. */
static uint64_t on_read(uc_engine *uc, uint64_t offset, unsigned size, void *data)
{
    const struct region *region = data;
    kc *m = region->machine;
    uint64_t at = region->start + offset;
    int window = window_at(m, at);
    (void)uc;

    kc_note_read(m, KC_MEMORY | (uint32_t)(at >> PAGE_SHIFT));
    if (window < 0) {
        kc_open_page *page = open_page_at(m, (uint32_t)(at >> PAGE_SHIFT));
        if (page)
            page->reads++;
        return 0;
    }
    uint32_t within = (uint32_t)(at - m->bus->windows[window].start);
    const struct word *word = size == 4 ? word_at(m, (uint32_t)window, within) : NULL;
    return word ? word->value : python.memory_read(m->handle, (uint32_t)window, within, (int32_t)size);
}

static void on_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *data)
{
    const struct region *region = data;
    kc *m = region->machine;
    uint64_t at = region->start + offset;
    int window = window_at(m, at);
    (void)uc;

    if (window < 0) {
        kc_open_page *page = open_page_at(m, (uint32_t)(at >> PAGE_SHIFT));
        if (page)
            page->writes++;
        return;
    }
    python.memory_write(m->handle, (uint32_t)window, (uint32_t)(at - m->bus->windows[window].start), (int32_t)size,
                        (uint32_t)value);
}

static int map(kc *m, int i, uint64_t start, uint64_t end)
{
    struct region *region = &m->bus->regions[i];

    *region = (struct region){m, start};
    return U.uc_mmio_map(m->uc, start, end - start, on_read, region, on_write, region);
}

int kc_map_device(kc *m, uint64_t start, uint64_t end)
{
    struct bus *bus = m->bus;

    if (bus->window_count == sizeof bus->windows / sizeof *bus->windows)
        return -UC_ERR_RESOURCE;
    if (start < m->memory_end || end > BUS_END || start >= end)
        return -UC_ERR_ARG;
    int error = m->reference ? map(m, bus->window_count, start, end) : 0;
    if (error)
        return -error;
    bus->windows[bus->window_count] = (struct window){start, end};
    kc_flush_tlb(m);
    return bus->window_count++;
}

/* -- life, snapshots ------------------------------------------------------------------------------ */

int kc_bus_save(kc *m, void **out)
{
    struct kept *saved = malloc(sizeof *saved);

    if (!saved)
        return -1;
    *saved = m->bus->kept;
    *out = saved;
    return 0;
}

/* Pages are opened one after the other: as many are the same. The TLB may have those that are not open any more. */
int kc_bus_restore(kc *m, const void *data)
{
    struct kept *kept = &m->bus->kept;
    const struct kept *saved = data;

    if (kept->open.count != saved->open.count)
        kc_flush_tlb(m);
    memcpy(kept->open.pages, saved->open.pages, saved->open.count * sizeof *saved->open.pages);
    kept->open.count = saved->open.count;
    kept->words = saved->words;
    m->bus->last_read = (struct last_read){.where = KC_MEMORY};
    return 0;
}

int kc_bus_init(kc *m)
{
    if (KC_NEW(m->bus))
        return -1;
    m->bus->last_read.where = KC_MEMORY;
    return m->reference ? 0 : map(m, 0, m->memory_end, BUS_END);
}

void kc_bus_free(kc *m) { free(m->bus); }
