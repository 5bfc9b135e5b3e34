/* Watches: which pages are written while something goes on, and what they held before.
 *
 * While a watch is open, the TLB grants no page before it was written to: the first write to a page comes to the TLB
 * fill (mmu.c), which notes the page here.
 *
 * A watch may belong to a call of the guest. Then it has the part of the stack that the call may use, [low, high]. A call
 * that is left in another way than by its `ret` (a handler restores an older ESP, a stack is switched) is known by an
 * ESP outside of that, and its watch is closed. While the watch of a call is open no interrupt is delivered: what a
 * handler writes is not the call's.
 *
 * The CPU itself sets A and D bits in page table entries. Those are no writes of the guest, they are noted apart.
 */
#include <stdlib.h>
#include <string.h>

#include "core/page_list.h"
#include "core/ram.h"
#include "core/reports.h"
#include "observe/written_pages.h"
#include "unicorn/engine.h"

#define WATCHES_MAX 64

/* Pages that are written while it is open, as they were at its beginning. */
struct watch {
    uint32_t number;    /* 0: not open */
    uint32_t low, high; /* ESP while the call goes on that it belongs to; high 0: it belongs to none */
    struct page_list touched, marked; /* marked: bits that the CPU set by itself */
};

struct written_pages {
    struct watch watches[WATCHES_MAX];
    uint32_t begun, open, of_calls; /* of_calls: open watches of calls */
    struct touched_room touched, marked;
};

static bool is_inside(const struct watch *w, uint32_t esp) { return esp >= w->low && esp <= w->high; }

static struct watch *find(kc *m, uint32_t number)
{
    for (int i = 0; i < WATCHES_MAX; i++)
        if (m->written_pages->watches[i].number == number)
            return &m->written_pages->watches[i];
    return NULL;
}

static void close_watch(kc *m, struct watch *w)
{
    m->written_pages->open--;
    m->written_pages->of_calls -= w->high != 0;
    w->number = 0;
    w->touched.count = w->marked.count = 0; /* the pages' memory stays for the next watch */
}

uint32_t kc_watch_begin(kc *m, uint32_t low, uint32_t high)
{
    struct watch *w = find(m, 0);

    if (!w)
        return 0;
    w->number = ++m->written_pages->begun;
    w->low = low, w->high = high;
    m->written_pages->open++;
    m->written_pages->of_calls += high != 0;
    kc_flush_tlb(m); /* so that the first write to each page is seen */
    return w->number;
}

void kc_on_page_written(kc *m, uint32_t page)
{
    for (int i = 0; i < WATCHES_MAX; i++) {
        struct watch *w = &m->written_pages->watches[i];
        if (w->number && !kc_page_list_find(&w->touched, page)
            && !kc_page_list_add(&w->touched, page, kc_at(m, (uint64_t)page * PAGE_SIZE)))
            kc_no_memory(m);
    }
}

void kc_watch_note(kc *m, uint64_t physical, uint64_t size)
{
    if (!m->written_pages->open || !size || physical + size > m->memory_end)
        return;
    for (uint64_t page = physical >> PAGE_SHIFT; page <= (physical + size - 1) >> PAGE_SHIFT; page++)
        kc_on_page_written(m, (uint32_t)page);
}

void kc_on_bits_set(kc *m, uint64_t at, uint32_t bits)
{
    static const uint8_t none[PAGE_SIZE];
    uint32_t page = (uint32_t)(at >> PAGE_SHIFT), word;

    for (int i = 0; m->written_pages->open && i < WATCHES_MAX; i++) {
        struct watch *w = &m->written_pages->watches[i];
        if (!w->number)
            continue;
        uint8_t *marks = kc_page_list_find(&w->marked, page);
        if (!marks && !(marks = kc_page_list_add(&w->marked, page, none))) {
            kc_no_memory(m);
            continue;
        }
        memcpy(&word, marks + (at & PAGE_MASK), sizeof word);
        word |= bits;
        memcpy(marks + (at & PAGE_MASK), &word, sizeof word);
    }
}

bool kc_watch_is_open(kc *m, uint32_t number) { return number && find(m, number); }

int64_t kc_watch_end(kc *m, uint32_t number, const kc_touched **touched, const kc_touched **marked, uint32_t *marked_count)
{
    struct watch *w = number ? find(m, number) : NULL;

    if (!w)
        return -1;
    int64_t count = kc_touched_of(&m->written_pages->touched, &w->touched, touched);
    int64_t marks = kc_touched_of(&m->written_pages->marked, &w->marked, marked);
    close_watch(m, w);
    *marked_count = (uint32_t)marks;
    return count < 0 || marks < 0 ? -1 : count;
}

/* -- watches of calls ---------------------------------------------------------------------------- */

static uint32_t calls_close(kc *m, bool all, uint32_t esp)
{
    for (int i = 0; m->written_pages->of_calls && i < WATCHES_MAX; i++) {
        struct watch *w = &m->written_pages->watches[i];
        if (w->number && w->high && (all || !is_inside(w, esp)))
            close_watch(m, w);
    }
    return m->written_pages->of_calls;
}

uint32_t kc_watch_leave(kc *m, uint32_t esp) { return calls_close(m, false, esp); }

void kc_watch_drop_calls(kc *m) { calls_close(m, true, 0); }

bool kc_interrupts_wait(kc *m, uint32_t esp) { return kc_watch_leave(m, esp); }

/* Whoever sets registers leaves the calls that go on, or puts something into them. */
void kc_on_registers_set(kc *m) { kc_watch_drop_calls(m); }

bool kc_watches_pages(const kc *m) { return m->written_pages->open; }

/* -- life, snapshots ----------------------------------------------------------------------------- */

static bool watch_copy(struct watch *to, const struct watch *from)
{
    to->number = from->number;
    to->low = from->low, to->high = from->high;
    return kc_page_list_copy(&to->touched, &from->touched) && kc_page_list_copy(&to->marked, &from->marked);
}

static void watch_free(struct watch *w)
{
    kc_page_list_clear(&w->touched);
    kc_page_list_clear(&w->marked);
}

/* The watches of calls; others belong to whoever began them. */
struct saved {
    uint32_t count;
    struct watch watches[];
};

int kc_written_pages_save(kc *m, void **out)
{
    const struct written_pages *w = m->written_pages;
    struct saved *saved = calloc(1, sizeof *saved + w->of_calls * sizeof *saved->watches);

    if (!saved)
        return -1;
    *out = saved;
    for (int i = 0; i < WATCHES_MAX; i++)
        if (w->watches[i].number && w->watches[i].high && !watch_copy(&saved->watches[saved->count++], &w->watches[i]))
            return -1;
    return 0;
}

int kc_written_pages_restore(kc *m, const void *data)
{
    const struct saved *saved = data;

    kc_watch_drop_calls(m);
    for (uint32_t i = 0; i < saved->count; i++) {
        struct watch *w = find(m, 0);
        if (!w)
            break; /* whoever began it finds that it is not open */
        if (!watch_copy(w, &saved->watches[i]))
            kc_no_memory(m);
        m->written_pages->open++;
        m->written_pages->of_calls++;
    }
    return 0;
}

void kc_written_pages_forget(void *data)
{
    struct saved *saved = data;

    for (uint32_t i = 0; saved && i < saved->count; i++)
        watch_free(&saved->watches[i]);
    free(saved);
}

int kc_written_pages_init(kc *m) { return KC_NEW(m->written_pages); }

void kc_written_pages_free(kc *m)
{
    if (!m->written_pages)
        return;
    for (int i = 0; i < WATCHES_MAX; i++)
        watch_free(&m->written_pages->watches[i]);
    free(m->written_pages->touched.entries);
    free(m->written_pages->marked.entries);
    free(m->written_pages);
}
