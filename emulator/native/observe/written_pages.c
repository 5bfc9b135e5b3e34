/* Watches: which pages are written while something goes on, and what they held before.
 *
 * Theory of operation
 *
 * While a watch goes on, the TLB grants no page before it was written to: the first write to a page comes to the TLB
 * fill (mmu.c), which notes the page here. The CPU itself sets A and D bits in page table entries. Those are no writes of the guest,
 * they are noted apart.
 *
 * A watch may belong to a call of the guest. Then it has the part of the stack that the call may use, [low, high], and knows the word of
 * memory with its return address: stacks of many spaces may lie at the same addresses. A call that is left in another way than by its
 * `ret` (a handler restores an older ESP, a stack is switched) is known by an ESP outside of that, at the next block, and its watch is
 * closed. While the watch of a call goes on no interrupt is delivered: what a handler writes is not the call's.
 *
 * An exception in the middle of a call cannot wait. From there on the watch pauses: nothing is noted, interrupts come, other tasks may
 * run and be watched in their turn. It goes on where an iret leads back to the ESP at which the exception came. What has changed in its
 * pages meanwhile is taken as if it had been so before the call. It is closed when its stack is used for something else: ESP is found
 * in the part that the call had, or its return address is not there any more. A task that is ended may leave a paused watch
 * whose stack nobody uses again: where watches run short, the oldest such makes way.
 *
 * Shortcomings
 *
 * A handler that goes back by other means than iret, or to another ESP, does not let the watch go on.
 */
#include <stdlib.h>
#include <string.h>

#include "core/page_list.h"
#include "core/ram.h"
#include "core/reports.h"
#include "core/windows.h"
#include "observe/written_pages.h"
#include "record/slots.h"
#include "unicorn/counting.h"
#include "unicorn/engine.h"

#define WATCHES_MAX 64

/* Pages that are written while it is open, as they were at its beginning. */
struct watch {
    uint32_t number;    /* 0: not open */
    uint32_t low, high; /* ESP while the call goes on that it belongs to; high 0: it belongs to none */
    struct slot slot;   /* of the call's return address */
    uint32_t return_address;
    uint32_t paused_at, pauses; /* paused_at: ESP at the exception, 0: it goes on */
    struct page_list touched, marked; /* marked: bits that the CPU set by itself */
    struct page_list at_pause;        /* what the touched pages held then */
};

struct written_pages {
    struct watch watches[WATCHES_MAX];
    uint32_t begun, open, of_calls, paused; /* of_calls: open watches of calls, with those that are paused */
    struct touched_room touched, marked;
};

static bool is_inside(kc *m, const struct watch *w, uint32_t esp)
{
    return esp >= w->low && esp <= w->high && kc_slot_is_here(m, &w->slot);
}

static uint32_t word_of(const kc *m, const struct slot *slot)
{
    return (uint64_t)slot->physical + 4 <= m->memory_end ? kc_load32(m, slot->physical) : 0;
}

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
    m->written_pages->paused -= w->paused_at != 0;
    w->number = w->paused_at = 0;
    w->touched.count = w->marked.count = w->at_pause.count = 0; /* the pages' memory stays for the next watch */
}

/* A watch that is not open; where all are, the paused one that was begun first is closed. NULL: none is paused. */
static struct watch *free_watch(kc *m)
{
    struct watch *w = find(m, 0), *oldest = NULL;

    for (int i = 0; !w && i < WATCHES_MAX; i++) {
        struct watch *each = &m->written_pages->watches[i];
        if (each->paused_at && (!oldest || each->number < oldest->number))
            oldest = each;
    }
    if (oldest)
        close_watch(m, oldest);
    return w ? w : oldest;
}

static void see_first_writes(kc *m)
{
    kc_fill_again(m);
    kc_windows_protect(m);
}

uint32_t kc_watch_begin(kc *m, uint32_t low, uint32_t high)
{
    struct watch *w = free_watch(m);

    if (!w)
        return 0;
    w->number = ++m->written_pages->begun;
    w->low = low, w->high = high;
    w->pauses = 0;
    m->written_pages->open++;
    m->written_pages->of_calls += high != 0;
    if (high) {
        w->slot = kc_slot_at(m, high);
        w->return_address = word_of(m, &w->slot);
        kc_look_soon(m); /* at each block, as long as the call goes on */
    }
    see_first_writes(m);
    return w->number;
}

void kc_on_page_written(kc *m, uint32_t page)
{
    for (int i = 0; i < WATCHES_MAX; i++) {
        struct watch *w = &m->written_pages->watches[i];
        if (w->number && !w->paused_at && !kc_page_list_find(&w->touched, page)
            && !kc_page_list_add(&w->touched, page, kc_at(m, (uint64_t)page * PAGE_SIZE)))
            kc_no_memory(m);
    }
}

void kc_watch_note(kc *m, uint64_t physical, uint64_t size)
{
    if (!kc_watches_pages(m) || !size || physical + size > m->memory_end)
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
        if (!w->number || (w->paused_at && !kc_page_list_find(&w->touched, page)))
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

int kc_watch_state(kc *m, uint32_t number)
{
    struct watch *w = number ? find(m, number) : NULL;

    if (w && w->paused_at && word_of(m, &w->slot) != w->return_address)
        close_watch(m, w);
    if (!w || !w->number)
        return KC_WATCH_CLOSED;
    return w->paused_at ? KC_WATCH_PAUSED : w->pauses ? KC_WATCH_RESUMED : KC_WATCH_GOES_ON;
}

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

static uint32_t calls_going_on(const kc *m) { return m->written_pages->of_calls - m->written_pages->paused; }

/* Has the call been left, if this is the ESP of what is executed? Of a paused one the handler runs below the frame at the exception,
 * and what it calls has its return address below that. */
static bool is_left(kc *m, const struct watch *w, uint32_t esp)
{
    enum { FRAME = 12 };
    uint32_t used = esp - 4;

    if (!w->paused_at)
        return !is_inside(m, w, esp);
    return is_inside(m, w, used) && used + FRAME >= w->paused_at;
}

void kc_watch_leave(kc *m, uint32_t esp)
{
    for (int i = 0; m->written_pages->of_calls && i < WATCHES_MAX; i++) {
        struct watch *w = &m->written_pages->watches[i];
        if (w->number && w->high && is_left(m, w, esp))
            close_watch(m, w);
    }
}

void kc_watch_drop_calls(kc *m)
{
    for (int i = 0; m->written_pages->of_calls && i < WATCHES_MAX; i++)
        if (m->written_pages->watches[i].number && m->written_pages->watches[i].high)
            close_watch(m, &m->written_pages->watches[i]);
}

bool kc_calls_go_on(const kc *m) { return calls_going_on(m); }

void kc_on_stack_used(kc *m, uint32_t esp)
{
    if (calls_going_on(m))
        kc_watch_leave(m, esp);
}

bool kc_interrupts_wait(kc *m, uint32_t esp)
{
    kc_watch_leave(m, esp);
    return calls_going_on(m);
}

/* Whoever sets registers leaves the calls that go on, or puts something into them. */
void kc_on_registers_set(kc *m) { kc_watch_drop_calls(m); }

bool kc_watches_pages(const kc *m) { return m->written_pages->open > m->written_pages->paused; }

/* -- exceptions in the middle of calls ----------------------------------------------------------- */

void kc_on_exception(kc *m, uint32_t esp)
{
    kc_on_stack_used(m, esp);
    for (int i = 0; calls_going_on(m) && i < WATCHES_MAX; i++) {
        struct watch *w = &m->written_pages->watches[i];
        if (!w->number || !w->high || w->paused_at)
            continue;
        for (uint32_t j = 0; j < w->touched.count; j++) {
            uint32_t page = w->touched.pages[j].number;
            if (!kc_page_list_add(&w->at_pause, page, kc_at(m, (uint64_t)page * PAGE_SIZE)))
                kc_no_memory(m);
        }
        w->paused_at = esp;
        w->pauses++;
        m->written_pages->paused++;
    }
}

/* What has changed while the watch paused counts as having been there before. */
static void go_on(kc *m, struct watch *w)
{
    for (uint32_t i = 0; i < w->at_pause.count; i++) {
        const uint8_t *then = w->at_pause.pages[i].bytes, *now = kc_at(m, (uint64_t)w->at_pause.pages[i].number * PAGE_SIZE);
        uint8_t *before = kc_page_list_find(&w->touched, w->at_pause.pages[i].number);
        for (uint32_t at = 0; at < PAGE_SIZE; at++)
            if (then[at] != now[at])
                before[at] = now[at];
    }
    w->at_pause.count = w->paused_at = 0;
    m->written_pages->paused--;
}

void kc_on_handler_left(kc *m)
{
    bool any = false;

    for (int i = 0; m->written_pages->paused && i < WATCHES_MAX; i++) {
        struct watch *w = &m->written_pages->watches[i];
        bool goes_on = w->number && w->paused_at && w->paused_at == kc_esp(m) && kc_slot_is_here(m, &w->slot) &&
                       word_of(m, &w->slot) == w->return_address;
        if (goes_on)
            go_on(m, w);
        any |= goes_on;
    }
    if (!any)
        return;
    kc_look_soon(m);
    see_first_writes(m);
}

/* -- life, snapshots ----------------------------------------------------------------------------- */

static bool watch_copy(struct watch *to, const struct watch *from)
{
    to->number = from->number;
    to->low = from->low, to->high = from->high;
    to->slot = from->slot, to->return_address = from->return_address;
    to->paused_at = from->paused_at, to->pauses = from->pauses;
    return kc_page_list_copy(&to->touched, &from->touched) && kc_page_list_copy(&to->marked, &from->marked) &&
           kc_page_list_copy(&to->at_pause, &from->at_pause);
}

static void watch_free(struct watch *w)
{
    kc_page_list_clear(&w->touched);
    kc_page_list_clear(&w->marked);
    kc_page_list_clear(&w->at_pause);
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
        m->written_pages->paused += w->paused_at != 0;
    }
    if (kc_watches_pages(m))
        see_first_writes(m);
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
