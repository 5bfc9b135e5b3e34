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

#include "machine.h"

static bool is_inside(const struct watch *w, uint32_t esp) { return esp >= w->low && esp <= w->high; }

static struct watch *find(kc *m, uint32_t number)
{
    for (int i = 0; i < WATCHES_MAX; i++)
        if (m->watches[i].number == number)
            return &m->watches[i];
    return NULL;
}

static void close_watch(kc *m, struct watch *w)
{
    m->watches_open--;
    m->calls_watched -= w->high != 0;
    w->number = 0;
    w->touched.count = w->marked.count = 0; /* the pages' memory stays for the next watch */
}

uint32_t kc_watch_begin(kc *m, uint32_t low, uint32_t high)
{
    struct watch *w = find(m, 0);

    if (!w)
        return 0;
    w->number = ++m->watches_begun;
    w->low = low, w->high = high;
    m->watches_open++;
    m->calls_watched += high != 0;
    kc_flush_tlb(m); /* so that the first write to each page is seen */
    return w->number;
}

void kc_watch_page(kc *m, uint32_t page)
{
    for (int i = 0; i < WATCHES_MAX; i++) {
        struct watch *w = &m->watches[i];
        if (w->number && !kc_page_list_find(&w->touched, page)
            && !kc_page_list_add(&w->touched, page, m->memory + (uint64_t)page * PAGE_SIZE))
            kc_no_memory(m);
    }
}

void kc_watch_note(kc *m, uint64_t physical, uint64_t size)
{
    if (!m->watches_open || !size || physical + size > m->memory_end)
        return;
    for (uint64_t page = physical >> PAGE_SHIFT; page <= (physical + size - 1) >> PAGE_SHIFT; page++)
        kc_watch_page(m, (uint32_t)page);
}

void kc_watch_mark(kc *m, uint64_t at, uint32_t bits)
{
    static const uint8_t none[PAGE_SIZE];
    uint32_t page = (uint32_t)(at >> PAGE_SHIFT), word;

    for (int i = 0; m->watches_open && i < WATCHES_MAX; i++) {
        struct watch *w = &m->watches[i];
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
    int64_t count = kc_touched_of(&m->touched, &w->touched, touched), marks = kc_touched_of(&m->marked, &w->marked, marked);
    close_watch(m, w);
    *marked_count = (uint32_t)marks;
    return count < 0 || marks < 0 ? -1 : count;
}

/* -- watches of calls ---------------------------------------------------------------------------- */

static uint32_t calls_close(kc *m, bool all, uint32_t esp)
{
    for (int i = 0; m->calls_watched && i < WATCHES_MAX; i++) {
        struct watch *w = &m->watches[i];
        if (w->number && w->high && (all || !is_inside(w, esp)))
            close_watch(m, w);
    }
    return m->calls_watched;
}

uint32_t kc_watch_leave(kc *m, uint32_t esp) { return calls_close(m, false, esp); }

void kc_watch_drop_calls(kc *m) { calls_close(m, true, 0); }

/* -- for Python ---------------------------------------------------------------------------------- */

int64_t kc_touched_of(struct touched_room *room, const struct page_list *list, const kc_touched **out)
{
    if (list->count > room->capacity) {
        kc_touched *entries = realloc(room->entries, list->count * sizeof *entries);
        if (!entries)
            return -1;
        room->entries = entries;
        room->capacity = list->count;
    }
    for (uint32_t i = 0; i < list->count; i++)
        room->entries[i] = (kc_touched){list->pages[i].number, list->pages[i].bytes};
    *out = room->entries;
    return list->count;
}

/* -- snapshots ----------------------------------------------------------------------------------- */

static bool list_copy(struct page_list *to, const struct page_list *from)
{
    to->count = 0;
    for (uint32_t i = 0; i < from->count; i++)
        if (!kc_page_list_add(to, from->pages[i].number, from->pages[i].bytes))
            return false;
    return true;
}

static bool watch_copy(struct watch *to, const struct watch *from)
{
    to->number = from->number;
    to->low = from->low, to->high = from->high;
    return list_copy(&to->touched, &from->touched) && list_copy(&to->marked, &from->marked);
}

static void watch_free(struct watch *w)
{
    kc_page_list_clear(&w->touched);
    kc_page_list_clear(&w->marked);
}

void kc_watches_forget(struct snapshot *s)
{
    for (uint32_t i = 0; i < s->watch_count; i++)
        watch_free(&s->watches[i]);
    free(s->watches);
    s->watches = NULL;
    s->watch_count = 0;
}

int kc_watches_save(kc *m, struct snapshot *s)
{
    if (!m->calls_watched)
        return 0;
    if (!(s->watches = calloc(m->calls_watched, sizeof *s->watches)))
        return -1;
    for (int i = 0; i < WATCHES_MAX; i++)
        if (m->watches[i].number && m->watches[i].high && !watch_copy(&s->watches[s->watch_count++], &m->watches[i])) {
            kc_watches_forget(s);
            return -1;
        }
    return 0;
}

void kc_watches_restore(kc *m, const struct snapshot *s)
{
    kc_watch_drop_calls(m);
    for (uint32_t i = 0; i < s->watch_count; i++) {
        struct watch *w = find(m, 0);
        if (!w)
            return; /* whoever began it finds that it is not open */
        if (!watch_copy(w, &s->watches[i]))
            kc_no_memory(m);
        m->watches_open++;
        m->calls_watched++;
    }
}

void kc_watches_free(kc *m)
{
    for (int i = 0; i < WATCHES_MAX; i++)
        watch_free(&m->watches[i]);
    free(m->touched.entries);
    free(m->marked.entries);
}
