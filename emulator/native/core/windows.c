/* The window: guest memory at guest addresses, so that translated code accesses it by single instructions of the host.
 *
 * Theory of operation. A window is 4 GiB of the host's addresses that nothing is mapped at. Translated code adds its base to a linear
 * address (unicorn/fast_accesses.c); what is not there faults. The window is a second TLB: it is filled page by page, from
 * the engine's, and forgets what that is told to forget; where only the engine's has lost a page, it gets it from here. What a plain load or store cannot do is not
 * mapped, or not writable: devices, ROM, nothing at all, the pages of planes, pages with code, those that somebody watches, pages that
 * are clean since a snapshot or in their page table entry. Such an access is made by the engine, and its instruction goes the ordinary way from then on.
 *
 * A load of CR3 empties a TLB. In the window those pages stay whose entries are what they were, or that a walk finds by others now. An entry may
 * be changed after that load and before the next access: so the frames that hold the entries of such pages are noted. Stores to these are not plain ones, and
 * are told before they are made; then the window loses the pages of the entry. What Python has written is found by a comparison. All other changes of how addresses are
 * translated empty the window. Who seeks stale translations has to see each fill: for that each load of CR3 does so, too, unless the guest
 * loads it so often that the window is filled all the time.
 *
 * A base below 2 GiB is part of the host's instruction. There is room for one such window in a process; the windows of other machines lie
 * above, and cost an addition. Where accesses are checked it has to be that one: a machine that runs takes the place from one that does not,
 * as long as both are one thread's.
 *
 * It has two views: what a supervisor may access, and behind that what code of ring 3 may. A page is in the one, in the other, or in both, as it is
 * accessed. Accesses by the view of users are not looked up in the shadow: where that is to be done it has pages that may be accessed as a whole.
 *
 * Calls of Linux cost time that the guest's instructions have to bring in. What they cost is counted as
 * instructions; where the guest has not executed as many, or sixteen times as many for that of users, the view rests, and all goes the ordinary way for a time in which what was lost is a
 * twentieth, or a hundredth of that of users, whose tasks come and go. It may lose twice as much each time after that, for a window of many pages needs as long to be filled. Only what the guest does counts,
 * and not the clock.
 *
 * Shortcomings. A page that stays is not in the engine's TLB, so that a later change of its entry is seen at once, where a TLB may go on with what it has until it is told
 * to forget that. Accesses of the CPU itself and of the FPU go the ordinary way. An instruction that once met such a page
 * goes that way for good.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/bits.h"
#include "core/host_faults.h"
#include "core/kasan.h"
#include "core/page_walk.h"
#include "core/reports.h"
#include "core/return_addresses.h"
#include "core/shadow.h"
#include "core/video.h"
#include "core/windows.h"
#include "unicorn/counting.h"
#include "unicorn/delivery.h"
#include "unicorn/fast_accesses.h"
#include "unicorn/interpose.h"
#include "unicorn/jumps.h"
#include "unicorn/reports.h"
#include "unicorn/shadow_segment.h"

#define WINDOW_SIZE (1ull << 32)
#define SHADOWS_AT (1ull << 44)    /* where nobody else maps anything as a rule */
#define WINDOW_GUARD (1ull << 20) /* behind it, for accesses that begin at the end of the address space */
#define VIEW_SIZE (WINDOW_SIZE + WINDOW_GUARD)
#define USERS_AT VIEW_SIZE        /* the view of users, behind that of supervisors */
#define VIEWS_SIZE (2 * VIEW_SIZE)
#define USERS_PAGE (1u << 20) /* in the number of a page: of the view of users */
enum { PAGES_MAX = 16384 };        /* each may cost Linux a mapping */
enum { SLOW_MAX = 1 << 14 };       /* instructions, in a table of twice the size */
enum { READERS = 1 << 10 };        /* the same, of which one of each hash is known */
enum { FORGOTTEN_TOGETHER = 256 }; /* pages: one call of Linux for all is less than one for each */
enum { CR0_PG_WP = (int)(1u << 31 | 1u << 16), CR4_PSE_PAE = 1 << 4 | 1 << 5 };

/* A page that the window shows. */
struct shown_page {
    uint32_t linear, frame; /* numbers of pages; of the view of users with USERS_PAGE */
    bool writable;
    bool is_defining;       /* stores may change its shadow, which snapshots have kept */
    bool has_code;          /* jumps lead there as long as it is shown */
    bool is_unseen;         /* it has stayed at a load of CR3: who seeks stale translations does not know whether it was accessed since */
    struct entry { uint64_t at, value; } entries[3]; /* that it comes from, the one that CR3 leads to first */
    uint32_t levels; /* how many these are; 0: they are not known */
    bool wide;       /* they have 8 bytes, and there are three levels */
};

enum { ENTRY_FRAMES_MAX = 1024 };

/* What a view costs, as instructions. */
struct account {
    bool rests;
    uint64_t lost, may_lose, rest; /* more cost than were executed; when that is too much; the rest that is to come */
    uint64_t seen;                 /* the count of instructions at the last look */
    uint64_t fills, loads;         /* of the engine's TLB, and of CR3, in the present rest */
    uint64_t saved_by_load;        /* by a load of CR3 that keeps what is shown, as the latest rest says */
    uint64_t trusted;              /* how much may be said to be saved until the next rest */
    uint64_t believed;             /* how much was said to be saved since its pages were forgotten for that */
};

struct windows {
    uint8_t *base; /* NULL: there is no window */
    uint64_t size; /* VIEWS_SIZE; VIEW_SIZE: there is no room for the view of users */
    bool is_near;
    pthread_t thread; /* which has run the machine last */
    uint32_t runs;    /* they nest */
    uint8_t *shadow; /* NULL: accesses are not checked here */
    bool waits;      /* until it is near: they are to be checked, and go the ordinary way */
    const uint8_t *nothing; /* one in which nothing is poisoned, as soon as there was a shadow */
    bool is_exempt;         /* code that is not an allocator's accesses all by that one */
    uint32_t suspended;
    uint32_t *numbers; /* by number of the page: its place in `pages`, from 1 */
    struct shown_page pages[PAGES_MAX];
    uint32_t count;
    uint8_t *holds_entries; /* one bit a frame of RAM: stores to it may change what is shown */
    uint8_t *is_whole;      /* the same, NULL without a window: it was shown to users, who check nothing, as one in which nothing is poisoned */
    uint32_t entry_frames[ENTRY_FRAMES_MAX], entry_frame_count; /* the same as a list */
    uint32_t cr0, cr4; /* what the pages depend on besides CR3 */
    struct account accounts[2]; /* of supervisors, of users */
    bool keeps_unseen; /* pages stay although somebody seeks stale translations, who does not see that they are accessed again */
    uint32_t slow[2 * SLOW_MAX], slow_count; /* addresses of instructions, by hash; 0: free */
    struct { uint32_t frame, low, size, linear, moves; bool is_on, is_known, is_ready; } compared; /* see kc_windows_compare() */
    uint32_t readers[READERS];               /* the same: instructions that have read marked return addresses */
    uint8_t meetings[READERS];               /* how often instructions have met what is compared, by hash */
};

/* -- instructions that go the ordinary way --------------------------------------------------------- */

static uint32_t *slow_place(struct windows *w, uint32_t pc)
{
    uint32_t i = pc * 2654435761u >> 17;

    while (w->slow[i] && w->slow[i] != pc)
        i = (i + 1) & (2 * SLOW_MAX - 1);
    return &w->slow[i];
}

static void slow_add(struct windows *w, uint32_t pc)
{
    uint32_t *place = slow_place(w, pc);

    if (*place || !pc || w->slow_count == SLOW_MAX)
        return;
    *place = pc;
    w->slow_count++;
}

static void slow_forget(struct windows *w)
{
    memset(w->slow, 0, sizeof w->slow);
    memset(w->meetings, 0, sizeof w->meetings);
    w->slow_count = 0;
}

static uint32_t *reader_place(struct windows *w, uint32_t pc) { return &w->readers[pc * 2654435761u >> 22]; }

bool kc_marks_returns(const kc *m) { return m->windows->shadow; }

bool kc_goes_fast(kc *m, uint32_t pc, bool user, struct fast_window *out)
{
    struct windows *w = m->windows;

    if (!w->base || w->suspended || w->accounts[user].rests || w->slow_count == SLOW_MAX || *slow_place(w, pc))
        return false;
    if (user) {
        *out = (struct fast_window){.base = (uintptr_t)w->base + USERS_AT};
        return w->size == VIEWS_SIZE && !(w->shadow && kc_tells_uninitialised(m)); /* which stores change */
    }
    bool is_exempt = w->shadow && (kc_is_exempt(m, pc) || kc_checks_itself(m, pc) || kc_is_astray(m, pc)), is_defining = w->shadow && kc_tells_uninitialised(m);
    *out = (struct fast_window){(uintptr_t)w->base, w->is_near, is_exempt && !is_defining ? 0 : (uintptr_t)w->shadow, is_defining, is_exempt, kc_store_log(m),
                                kc_marks_returns(m) ? kc_return_use(m, pc) : KC_NO_RETURN, (uintptr_t)w->shadow, 0, 0};
    if (w->compared.is_on && w->compared.is_known)
        out->compared_low = w->compared.linear << PAGE_SHIFT | w->compared.low, out->compared_size = w->compared.size;
    if (kc_marks_returns(m) && out->returns == KC_NO_RETURN && *reader_place(w, pc) == pc)
        out->returns = KC_READS_RETURN;
    return true;
}

/* -- when it rests ---------------------------------------------------------------------------------- */

/* What each costs, as instructions of the guest. */
enum { FILL_COST = 16000, CALL_COST = 4000, WALK_COST = 200, COMPARISON_COST = 20, TLB_FILL_COST = 400 };
enum { TRUST = 8 };       /* how much longer than a rest what it says is believed */
enum { SHOWN_ANEW = 2 }; /* how many times what it costs to show the pages their comparisons may cost meanwhile: then who knows which are still in use? */
/* Of supervisors, of users: how many instructions have to be executed for one that is lost. In ring 3 they may be a task's that spins in registers, and gains
 * nothing from a view that each switch of tasks fills anew: so what is lost is a sixteenth. */
static const unsigned worth[] = {1, 16}, rest_for_loss[] = {20, 100};
static const uint64_t may_lose_first = 20 << 20, may_lose_most = 640 << 20; /* not yet times `worth` */

static uint64_t executed_since(kc *m, struct account *a)
{
    uint64_t now = kc_count(m), since = now >= a->seen ? now - a->seen : now; /* each run counts from 0 */

    a->seen = now;
    return since;
}

/* Who seeks stale translations sees each fill after a load of CR3, if that does not cost too much. */
static bool follows_each_load(const kc *m) { return !m->windows->keeps_unseen || kc_stale_follows_each_load(m); }

static void spend(kc *m, bool user, uint64_t cost)
{
    struct windows *w = m->windows;
    struct account *a = &w->accounts[user];
    uint64_t executed = executed_since(m, a);

    a->lost = (a->lost > executed ? a->lost - executed : 0) + cost * worth[user];
    if (a->rests || a->lost < a->may_lose)
        return;
    if (kc_seeks_stale(m) && !w->keeps_unseen && !kc_stale_follows_each_load(m)) { /* mostly it is that which costs so much */
        w->keeps_unseen = true;
        a->lost = 0;
        return;
    }
    if (w->shadow && !user) /* checks need the window more than it can cost */
        return;
    a->rests = true;
    a->rest = rest_for_loss[user] * (a->may_lose / worth[user]);
    a->trusted = TRUST * a->rest;
    a->fills = a->loads = 0;
    if (a->may_lose < may_lose_most * worth[user])
        a->may_lose *= 2;
    kc_forget_code_soon(m);
}

/* Is the rest of a view over by now? The ordinary way costs, too: after a load of CR3 the TLB is filled anew. */
static void rest(kc *m, struct account *a, uint32_t fills, uint32_t loads)
{
    if (!a->rests)
        return;
    uint64_t passed = executed_since(m, a) + (uint64_t)fills * TLB_FILL_COST;
    a->fills += fills;
    a->loads += loads;
    a->rest -= a->rest < passed ? a->rest : passed;
    if (a->rest)
        return;
    a->rests = false;
    a->lost = 0;
    a->saved_by_load = a->loads ? a->fills * TLB_FILL_COST / a->loads : 0;
    kc_forget_code_soon(m);
}

/* A load of CR3 has compared so many pages. True: only those that are accessed from now on are worth it. */
static bool spend_on_load(kc *m, bool user, uint64_t compared)
{
    struct account *a = &m->windows->accounts[user];
    uint64_t cost = compared * COMPARISON_COST, saved = a->saved_by_load < cost ? a->saved_by_load : cost;

    saved = saved < a->trusted ? saved : a->trusted;
    a->trusted -= saved;
    a->believed += saved;
    spend(m, user, cost - saved);
    return saved && a->believed > SHOWN_ANEW * compared * FILL_COST;
}

/* -- frames that hold entries ------------------------------------------------------------------------ */

/* Physical: of a byte. */
bool kc_windows_hold_entries(const kc *m, uint64_t physical)
{
    return m->windows->entry_frame_count && physical < m->memory_end && kc_bit(m->windows->holds_entries, physical >> PAGE_SHIFT);
}

static void entry_frames_forget(struct windows *w)
{
    while (w->entry_frame_count)
        kc_bit_clear(w->holds_entries, w->entry_frames[--w->entry_frame_count]);
}

/* False: there are too many. */
static bool entry_frame_note(struct windows *w, uint32_t frame)
{
    if (kc_bit(w->holds_entries, frame))
        return true;
    if (w->entry_frame_count == ENTRY_FRAMES_MAX)
        return false;
    kc_bit_set(w->holds_entries, frame);
    w->entry_frames[w->entry_frame_count++] = frame;
    return true;
}

/* Does a frame hold entries of pages that are shown? Else it is no such frame any more. */
static bool is_entry_frame(kc *m, uint32_t frame)
{
    struct windows *w = m->windows;

    if (!kc_windows_hold_entries(m, (uint64_t)frame << PAGE_SHIFT))
        return false;
    for (uint32_t i = 0; i < w->count; i++)
        for (uint32_t level = 0; level < w->pages[i].levels; level++)
            if (w->pages[i].entries[level].at >> PAGE_SHIFT == frame)
                return true;
    uint32_t at = 0;
    while (w->entry_frames[at] != frame)
        at++;
    w->entry_frames[at] = w->entry_frames[--w->entry_frame_count];
    kc_bit_clear(w->holds_entries, frame);
    return false;
}

/* -- pages ------------------------------------------------------------------------------------------ */

static uint32_t number_of(uint32_t linear, bool user) { return linear >> PAGE_SHIFT | (user ? USERS_PAGE : 0); }
static bool is_users(const struct shown_page *page) { return page->linear & USERS_PAGE; }
static uint32_t linear_of(const struct shown_page *page) { return page->linear << PAGE_SHIFT; }

static uint8_t *at(const struct windows *w, uint32_t number)
{
    return w->base + (number & USERS_PAGE ? USERS_AT : 0) + ((uint64_t)(number & (USERS_PAGE - 1)) << PAGE_SHIFT);
}

static struct shown_page *page_of(struct windows *w, uint32_t number)
{
    uint32_t place = w->numbers[number];
    return place ? &w->pages[place - 1] : NULL;
}

enum { NOBODYS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE };

/* What is not shown has a shadow of zeros. */
static void hide(kc *m, uint32_t number, uint64_t size)
{
    uint8_t *shadow = number & USERS_PAGE ? NULL : m->windows->shadow;

    spend(m, number & USERS_PAGE, CALL_COST);
    if (mmap(at(m->windows, number), size, PROT_NONE, MAP_FIXED | NOBODYS, -1, 0) == MAP_FAILED)
        kc_no_memory(m);
    if (shadow && mmap(shadow + ((uint64_t)number << PAGE_SHIFT), size, PROT_READ, MAP_FIXED | NOBODYS, -1, 0) == MAP_FAILED)
        kc_no_memory(m);
}

/* It is shown no more, or not for long. */
static void forget_shown(kc *m, struct shown_page *page)
{
    struct windows *w = m->windows;

    if (page->is_unseen && kc_seeks_stale(m))
        kc_on_unseen_hidden(m, linear_of(page), is_users(page), page->frame);
    struct shown_page *last = &w->pages[--w->count];
    w->numbers[page->linear] = 0;
    if (page != last) {
        *page = *last;
        w->numbers[page->linear] = (uint32_t)(page - w->pages) + 1;
    }
}

/* By one call of Linux. */
static void forget_view(kc *m, bool user)
{
    struct windows *w = m->windows;
    uint32_t before = w->count;

    for (uint32_t i = before; i-- > 0;)
        if (is_users(&w->pages[i]) == user)
            forget_shown(m, &w->pages[i]);
    if (w->count != before)
        hide(m, user ? USERS_PAGE : 0, WINDOW_SIZE);
}

void kc_windows_forget(kc *m)
{
    if (!m->windows || !m->windows->count)
        return;
    forget_view(m, false);
    forget_view(m, true);
    entry_frames_forget(m->windows);
    kc_jumps_on_hidden(m);
}

static void drop(kc *m, struct shown_page *page)
{
    if (page->has_code)
        kc_jumps_on_hidden(m);
    hide(m, page->linear, PAGE_SIZE);
    forget_shown(m, page);
}

static void forget_page(kc *m, uint32_t linear, bool user)
{
    struct shown_page *page = page_of(m->windows, number_of(linear, user));

    if (page)
        drop(m, page);
}

void kc_windows_forget_page(kc *m, uint32_t linear)
{
    if (!m->windows || !m->windows->count)
        return;
    forget_page(m, linear, false);
    forget_page(m, linear, true);
}

static uint8_t *shadow_at(const struct windows *w, uint32_t linear_page) { return w->shadow + ((uint64_t)linear_page << PAGE_SHIFT); }

static void make_read_only(kc *m, struct shown_page *page)
{
    page->writable = false;
    if (mprotect(at(m->windows, page->linear), PAGE_SIZE, PROT_READ))
        kc_no_memory(m);
}

static void let_define(kc *m, struct shown_page *page)
{
    page->is_defining = true;
    if (mprotect(shadow_at(m->windows, page->linear), PAGE_SIZE, PROT_READ | PROT_WRITE))
        kc_no_memory(m);
}

static void keep_shadow_again(kc *m, struct shown_page *page)
{
    page->is_defining = false;
    if (mprotect(shadow_at(m->windows, page->linear), PAGE_SIZE, PROT_READ))
        kc_no_memory(m);
}

void kc_windows_protect(kc *m)
{
    struct windows *w = m->windows;

    if (w && w->count > FORGOTTEN_TOGETHER)
        kc_windows_forget(m);
    for (uint32_t i = 0; w && i < w->count; i++) {
        if (w->pages[i].writable)
            make_read_only(m, &w->pages[i]);
        if (w->pages[i].is_defining)
            keep_shadow_again(m, &w->pages[i]);
    }
}

void kc_windows_keep_shadow(kc *m)
{
    for (uint32_t i = 0; i < m->windows->count; i++)
        if (m->windows->pages[i].is_defining)
            kc_shadow_keep(m, (uint64_t)m->windows->pages[i].frame << PAGE_SHIFT);
    forget_view(m, true);
}

void kc_windows_protect_code(kc *m, uint32_t frame)
{
    struct windows *w = m->windows;

    for (uint32_t i = 0; i < w->count; i++)
        if (w->pages[i].frame == frame && w->pages[i].writable)
            make_read_only(m, &w->pages[i]);
}

void kc_windows_watch(kc *m, uint64_t physical, uint64_t size)
{
    struct windows *w = m->windows;

    for (uint32_t i = w->count; i-- > 0;) {
        uint64_t page = (uint64_t)w->pages[i].frame << PAGE_SHIFT;
        if (page + PAGE_SIZE > physical && page < physical + size)
            drop(m, &w->pages[i]);
    }
    kc_fill_again(m);
}

/* Stores to some bytes of a page are found by a comparison in translated code, which leads those to nowhere, for the linear page by which it is written; others
 * are told. So the page can be shown. */
void kc_windows_compare(kc *m, uint32_t physical, uint32_t size)
{
    struct windows *w = m->windows;

    if (!w->base || (physical & PAGE_MASK) + size > PAGE_SIZE)
        return;
    w->compared.frame = physical >> PAGE_SHIFT;
    w->compared.low = physical & PAGE_MASK;
    w->compared.size = size;
    w->compared.moves = 0;
    w->compared.is_known = w->compared.is_ready = false;
    w->compared.is_on = true;
}

void kc_windows_on_new_code(kc *m)
{
    struct windows *w = m->windows;

    if (!w->compared.is_on || w->compared.is_ready || !w->compared.is_known)
        return;
    w->compared.is_ready = true;
    slow_forget(w); /* what has met that page */
}

/* Does translated code compare the addresses of stores to this page? */
static bool checks_stores(kc *m, uint32_t linear, uint32_t frame, bool user, bool write)
{
    enum { MOVES_MAX = 8 };
    struct windows *w = m->windows;

    if (user || !w->compared.is_on || frame != w->compared.frame)
        return false;
    if (w->compared.is_known && linear >> PAGE_SHIFT == w->compared.linear)
        return w->compared.is_ready;
    if (!write || w->compared.moves == MOVES_MAX)
        return false;
    forget_page(m, w->compared.linear << PAGE_SHIFT, false);
    w->compared.linear = linear >> PAGE_SHIFT;
    w->compared.moves++;
    w->compared.is_known = true;
    w->compared.is_ready = false;
    kc_forget_code_soon(m);
    return false;
}

void kc_windows_watch_no_more(kc *m)
{
    struct windows *w = m->windows;

    w->compared.is_on = false;
    for (uint32_t i = w->count; i-- > 0;) /* it may be shown to stores that are not compared any more */
        if (w->pages[i].frame == w->compared.frame)
            drop(m, &w->pages[i]);
    slow_forget(w);
    kc_fill_again(m);
    kc_flush_code(m);
}

static bool modes_are(const struct windows *w, uint32_t cr0, uint32_t cr4)
{
    return w->cr0 == (cr0 & (uint32_t)CR0_PG_WP) && w->cr4 == (cr4 & (uint32_t)CR4_PSE_PAE);
}

/* -- pages that stay --------------------------------------------------------------------------------- */

static uint32_t entry_size(const struct shown_page *page) { return page->wide ? 8 : 4; }

/* Are the entries that a page comes from what they were? */
static bool are_entries(const kc *m, const struct shown_page *page)
{
    for (uint32_t level = 0; level < page->levels; level++)
        if (memcmp(kc_at(m, page->entries[level].at), &page->entries[level].value, entry_size(page)))
            return false;
    return true;
}

/* Where CR3 leads to for a linear page (SDM vol. 3A, 4.3 and 4.4.2). */
static uint64_t first_entry_at(const kc *m, uint32_t cr3, uint32_t linear_page, bool wide)
{
    return kc_gated(m, wide ? (cr3 & ~CR3_FLAGS) + (linear_page >> 18) * 8 : (cr3 & ~(uint32_t)PAGE_MASK) + (linear_page >> 10) * 4);
}

/* Does a walk from CR3 find the entries that a page comes from? */
static bool is_found(kc *m, struct shown_page *page, uint32_t cr3)
{
    uint64_t at = first_entry_at(m, cr3, linear_of(page) >> PAGE_SHIFT, page->wide);

    if (!page->levels || at + entry_size(page) > m->memory_end)
        return false;
    page->entries[0].at = at;
    return are_entries(m, page);
}

/* The entries that a page comes from, if a walk would find it so and write nothing: else it goes with the next load of CR3, as the TLB
 * may have it from entries that were others. */
static void note_entries(kc *m, struct shown_page *page)
{
    struct kc_translation t;
    uint64_t last, physical = (uint64_t)page->frame << PAGE_SHIFT;

    page->levels = 0;
    if (!kc_paging(m) || !kc_walk(m, linear_of(page), page->writable ? UC_MEM_WRITE : UC_MEM_READ, is_users(page), &t) || t.physical != physical)
        return;
    last = t.entries[t.entries_at[1] != KC_NO_ENTRY];
    if (t.no_execute || !(t.entries[0] & PTE_A) || !(last & PTE_A) || (page->writable && !(last & PTE_D)))
        return; /* bit 63 is a right or reserved, as an MSR says */
    page->wide = t.wide;
    if (t.wide) {
        struct entry *first = &page->entries[page->levels++];
        first->at = first_entry_at(m, kc_reg(m, UC_X86_REG_CR3), linear_of(page) >> PAGE_SHIFT, true);
        memcpy(&first->value, kc_at(m, first->at), sizeof first->value);
    }
    for (int i = 0; i < 2 && t.entries_at[i] != KC_NO_ENTRY; i++)
        page->entries[page->levels++] = (struct entry){t.entries_at[i], t.entries[i]};
}

/* Does it find the page by other entries? The kernel's part of address spaces is the same, and may have tables of its own in each. */
static bool is_found_otherwise(kc *m, struct shown_page *page)
{
    spend(m, is_users(page), WALK_COST);
    note_entries(m, page);
    return page->levels;
}

/* Stores to the entries of what is shown are not plain any more. False: they lie in too many frames. */
static bool note_entry_frames(kc *m)
{
    struct windows *w = m->windows;

    entry_frames_forget(w);
    for (uint32_t i = 0; i < w->count; i++)
        for (uint32_t level = 0; level < w->pages[i].levels; level++)
            if (!entry_frame_note(w, (uint32_t)(w->pages[i].entries[level].at >> PAGE_SHIFT)))
                return false;
    for (uint32_t i = 0; i < w->count; i++)
        if (w->pages[i].writable && kc_windows_hold_entries(m, (uint64_t)w->pages[i].frame << PAGE_SHIFT))
            make_read_only(m, &w->pages[i]);
    return true;
}

void kc_windows_on_flush(kc *m)
{
    struct windows *w = m->windows;

    if (!w)
        return;
    rest(m, &w->accounts[false], 0, 1);
    rest(m, &w->accounts[true], 0, 1);
    kc_windows_exempt(m, false);
    if (!w->count)
        return;
    bool seeks_stale = kc_seeks_stale(m), is_seen = seeks_stale && follows_each_load(m);
    for (uint32_t i = 0; seeks_stale && i < w->count; i++) /* what was accessed before does not matter any more */
        w->pages[i].is_unseen = false;
    if (w->accounts[false].rests || is_seen || !modes_are(w, kc_reg(m, UC_X86_REG_CR0), kc_reg(m, UC_X86_REG_CR4))) {
        kc_windows_forget(m);
        return;
    }
    if (!(w->cr0 >> 31))
        return;
    if (w->accounts[true].rests)
        forget_view(m, true);
    uint32_t cr3 = kc_reg(m, UC_X86_REG_CR3), compared[2] = {0};
    for (uint32_t i = w->count; i-- > 0;) {
        compared[is_users(&w->pages[i])]++;
        if (is_found(m, &w->pages[i], cr3) || is_found_otherwise(m, &w->pages[i]))
            w->pages[i].is_unseen = seeks_stale;
        else
            drop(m, &w->pages[i]);
    }
    for (int user = 0; user < 2; user++)
        if (spend_on_load(m, user, compared[user])) {
            w->accounts[user].believed = 0;
            forget_view(m, user);
            kc_jumps_on_hidden(m);
        }
    if (!note_entry_frames(m))
        kc_windows_forget(m);
}

static bool comes_from(const struct shown_page *page, uint64_t physical, uint32_t size)
{
    for (uint32_t level = 0; level < page->levels; level++)
        if (page->entries[level].at + entry_size(page) > physical && page->entries[level].at < physical + size)
            return true;
    return false;
}

void kc_windows_on_write(kc *m, uint64_t physical, uint32_t size)
{
    struct windows *w = m->windows;

    for (uint32_t i = kc_windows_hold_entries(m, physical) ? w->count : 0; i-- > 0;)
        if (comes_from(&w->pages[i], physical, size))
            drop(m, &w->pages[i]);
}

void kc_windows_on_writes(kc *m)
{
    struct windows *w = m->windows;

    for (uint32_t i = w->entry_frame_count ? w->count : 0; i-- > 0;)
        if (!are_entries(m, &w->pages[i]))
            drop(m, &w->pages[i]);
}

void kc_on_modes_change(kc *m, uint32_t cr0, uint32_t cr4)
{
    if (!modes_are(m->windows, cr0, cr4)) /* not where TS changes, at each switch of tasks */
        kc_windows_forget(m);
}

void kc_windows_suspend(kc *m, bool begins)
{
    m->windows->suspended += begins ? 1 : -1u;
    kc_flush_code(m);
}

/* -- fills ------------------------------------------------------------------------------------------ */

static bool show(kc *m, uint32_t number, uint64_t physical, bool writable)
{
    struct windows *w = m->windows;
    struct shown_page *page = page_of(w, number);

    if (!page && w->count == PAGES_MAX)
        kc_windows_forget(m);
    spend(m, number & USERS_PAGE, FILL_COST);
    int rights = PROT_READ | (writable ? PROT_WRITE : 0);
    if (w->shadow && !(number & USERS_PAGE) && !page && physical < m->memory_end &&
        mmap(shadow_at(w, number), PAGE_SIZE, PROT_READ, MAP_FIXED | MAP_SHARED, kc_shadow_file(m), (off_t)physical) == MAP_FAILED)
        return false;
    if (mmap(at(w, number), PAGE_SIZE, rights, MAP_FIXED | MAP_SHARED | MAP_POPULATE, kc_ram_file(m),
             (off_t)kc_ram_offset(m, physical)) == MAP_FAILED)
        return false;
    if (!w->count) {
        w->cr0 = kc_reg(m, UC_X86_REG_CR0) & (uint32_t)CR0_PG_WP;
        w->cr4 = kc_reg(m, UC_X86_REG_CR4) & (uint32_t)CR4_PSE_PAE;
    }
    if (!page) {
        page = &w->pages[w->count++];
        page->is_defining = page->has_code = false;
        w->numbers[number] = w->count;
    }
    *page = (struct shown_page){.linear = number, .frame = (uint32_t)(physical >> PAGE_SHIFT), .writable = writable,
                                .is_defining = page->is_defining, .has_code = page->has_code};
    note_entries(m, page);
    return true;
}

/* Is what lies at a linear address plain memory, which may be accessed so? Without side effects. */
static bool is_plain(kc *m, uint32_t linear, bool user, bool write)
{
    struct kc_translation t = {.physical = kc_gated(m, linear)};

    if (kc_guards(m, linear) || (kc_paging(m) && !kc_walk(m, linear, write ? UC_MEM_WRITE : UC_MEM_READ, user, &t)))
        return false;
    return t.physical < m->memory_end && kc_is_mapped(m, t.physical) && !kc_is_rom(m, t.physical) &&
           kc_video_target(m, t.physical) == t.physical &&
           !(write && (kc_was_fetched(m, t.physical >> PAGE_SHIFT) || kc_is_read_only(m, t.physical)));
}

/* Where the engine's TLB has the page of a linear address, which is filled into it if need be, as by an access there; -1: an access needs more than that. */
static int64_t in_tlb(kc *m, uint32_t linear, bool user, bool write)
{
    uint32_t page = linear & ~PAGE_MASK;
    const uint8_t *host = kc_tlb_host(m, linear, user, write);

    if (!host && write && kc_is_filled_writable(m, page, user)) /* the engine looks for code at the first store */
        host = kc_tlb_host(m, linear, user, false);
    if (host)
        return host - kc_at(m, 0) < (int64_t)m->memory_end ? (host - kc_at(m, 0)) & ~(int64_t)PAGE_MASK : -1;
    if (!m->windows->shadow && (write || !kc_seeks_stale(m)))
        return -1;
    kc_drop_page(m, page, user); /* accesses there are told, because it is poisoned, or holds entries: how was it filled? */
    kc_tlb_host(m, linear, user, write);
    return kc_filled_at(m, page, user, write);
}

/* Where a page lies whose stores are compared: the engine has it as one whose stores are told. -1: it is another one, or its entry is to be changed. */
static int64_t compared_at(kc *m, uint32_t linear)
{
    const struct windows *w = m->windows;
    struct kc_translation t = {.physical = kc_gated(m, linear & ~PAGE_MASK)};

    if (!w->compared.is_on || !w->compared.is_ready || linear >> PAGE_SHIFT != w->compared.linear || kc_was_fetched(m, w->compared.frame))
        return -1;
    if (kc_paging(m)) {
        if (!kc_walk(m, linear & ~PAGE_MASK, UC_MEM_WRITE, false, &t))
            return -1;
        uint64_t last = t.entries[t.entries_at[1] != KC_NO_ENTRY];
        if (!(t.entries[0] & PTE_A) || !(last & PTE_A) || !(last & PTE_D))
            return -1;
    }
    return t.physical >> PAGE_SHIFT == w->compared.frame ? (int64_t)t.physical : -1;
}

/* What users access is not looked up in the shadow: they are shown pages of RAM that they may access as a whole, as long as that is so. */
static bool note_whole(kc *m, uint64_t physical)
{
    const uint8_t *shadow = kc_shadow_at(m, physical & ~(uint64_t)PAGE_MASK);
    uint8_t all = 0;

    for (uint32_t i = 0; i < PAGE_SIZE; i++)
        all |= shadow[i];
    if (all & KC_NO_ACCESS)
        return false;
    kc_bit_set(m->windows->is_whole, (uint32_t)(physical >> PAGE_SHIFT));
    return true;
}

static SELDOM void not_whole(kc *m, uint32_t frame)
{
    struct windows *w = m->windows;

    kc_bit_clear(w->is_whole, frame);
    for (uint32_t i = w->count; i-- > 0;)
        if (is_users(&w->pages[i]) && w->pages[i].frame == frame)
            drop(m, &w->pages[i]);
}

void kc_windows_on_poisoned(kc *m, uint32_t frame)
{
    if (m->windows->is_whole && kc_bit(m->windows->is_whole, frame))
        not_whole(m, frame);
}

/* Show the page of a linear address for an access. False: the engine has to make it. */
static bool fill(kc *m, uint32_t linear, bool user, bool write)
{
    struct shown_page *page = page_of(m->windows, number_of(linear, user));

    if ((page && (page->writable || !write)) || !kc_goes_on(m) || (kc_seeks_stale(m) && kc_looks_at_uses(m, linear, user)))
        return false;
    int64_t physical = !user && kc_kasan_covers(m, linear) ? kc_kasan_at(m, linear & ~PAGE_MASK) : -1;
    bool is_kasan = physical >= 0;
    if (!is_kasan && is_plain(m, linear, user, write))
        physical = in_tlb(m, linear, user, write);
    if (physical < 0 && write && !user)
        physical = compared_at(m, linear);
    if (physical < 0 || (user && m->windows->shadow && !note_whole(m, (uint64_t)physical)))
        return false;
    uint32_t frame = (uint32_t)(physical >> PAGE_SHIFT);
    bool holds_entries = is_entry_frame(m, frame) || (kc_seeks_stale(m) && kc_holds_entries(m, frame));
    bool is_watched = kc_watches_page(m, (uint64_t)physical, true) && !checks_stores(m, linear, frame, user, write);
    if ((write && (holds_entries || is_watched)) || kc_watches_page(m, (uint64_t)physical, false))
        return false;
    bool may_write = !is_watched && (is_kasan || (kc_is_filled_writable(m, linear, user) && !kc_is_read_only(m, (uint64_t)physical) && !holds_entries)) && kc_may_be_written(m, frame);
    bool is_writable = write || may_write;
    if (write)
        kc_keep_page(m, frame);
    if (is_writable && !is_kasan)
        kc_shadow_touch(m, (uint64_t)physical);
    return show(m, number_of(linear, user), (uint64_t)physical, is_writable);
}

bool kc_windows_show_code(kc *m, uint32_t linear)
{
    struct windows *w = m->windows;

    if (!w->base || w->suspended || w->accounts[false].rests)
        return false;
    if (!page_of(w, linear >> PAGE_SHIFT))
        fill(m, linear, false, false);
    struct shown_page *page = page_of(w, linear >> PAGE_SHIFT);
    if (!page || kc_tlb_host(m, linear & ~PAGE_MASK, false, false) != kc_at(m, (uint64_t)page->frame << PAGE_SHIFT))
        return false;
    page->has_code = true;
    return true;
}

bool kc_windows_answer(kc *m, uint32_t linear, bool user, bool write, uc_tlb_entry *out)
{
    const struct shown_page *page = m->windows->count ? page_of(m->windows, number_of(linear, user)) : NULL;

    if (!page || (write && !page->writable))
        return false;
    out->paddr = (uint64_t)page->frame << PAGE_SHIFT;
    out->perms = UC_PROT_READ | (page->writable ? UC_PROT_WRITE : 0);
    return true;
}

void kc_windows_on_fill(kc *m, uint32_t linear, bool user, bool fetch, uint64_t physical)
{
    struct shown_page *page = m->windows->count ? page_of(m->windows, number_of(linear, user)) : NULL;

    rest(m, &m->windows->accounts[user], !fetch, 0);
    if (page && page->frame != physical >> PAGE_SHIFT)
        drop(m, page);
}

/* A store may be one to a return address, before it is made. */
static void look_at_store(kc *m, const void *context, const struct fast_access *access)
{
    uint64_t value = access->is_store ? kc_fast_access_stores(context, access) : 0;

    if (access->is_store && m->windows->shadow)
        kc_look_at_return(m, (uint32_t)(access->at - (uintptr_t)m->windows->base), access->size, &value, access->place);
}

static bool on_fault(kc *m, uintptr_t address, void *context)
{
    uintptr_t base = (uintptr_t)m->windows->base;
    bool user = address - base >= USERS_AT;
    struct fast_access access;

    if (!kc_fast_access_at(m, context, &access))
        return false;
    uint32_t pc = kc_fast_access_pc(m, &access);
    base += user ? USERS_AT : 0;
    bool is_shown = address - base < WINDOW_SIZE && fill(m, (uint32_t)(address - base), user, access.is_store);
    bool is_checked = m->windows->shadow && !user, is_on_one_page = (access.at & PAGE_MASK) + access.size <= PAGE_SIZE;
    if (is_shown && is_checked && is_on_one_page) { /* what was loaded of its shadow was nobody's */
        look_at_store(m, context, &access);
        kc_look_at_access(m, (uint32_t)(access.at - base), access.size, access.is_store, access.place);
    }
    if (is_shown && (!is_checked || is_on_one_page))
        return true;
    if (!is_shown)
        slow_add(m->windows, pc);
    kc_fast_access_make(m, context, &access, base, user); /* may leave for good */
    if (!is_shown)
        kc_fast_access_forget(m, &access);
    return true;
}

/* Where the sum of an address and the poison of its first byte leads, from the shadow on. */
#define ECHO ((uintptr_t)KC_POISONED_AT)

/* A store that changes the shadow: of a page for the first time; of one that is not shown, or of poison, where the access itself has told all.
 * Where only return addresses are marked so, it comes again. */
static bool on_shadow_fault(kc *m, uintptr_t address, void *context)
{
    struct windows *w = m->windows;
    uintptr_t linear = address - (uintptr_t)w->shadow;
    struct fast_access access;

    if (!w->shadow || !kc_fast_access_at(m, context, &access) || !access.is_store)
        return false;
    struct shown_page *page = linear < WINDOW_SIZE ? page_of(w, (uint32_t)(linear >> PAGE_SHIFT)) : NULL;
    if (page && !page->is_defining && !kc_tells_uninitialised(m)) {
        kc_shadow_watch(m, (uint64_t)page->frame << PAGE_SHIFT); /* which may take it away */
        page = page_of(w, (uint32_t)(linear >> PAGE_SHIFT));
        if (page && kc_shadow_keep(m, (uint64_t)page->frame << PAGE_SHIFT))
            let_define(m, page);
        return true;
    }
    if (page && !page->is_defining) {
        uint64_t physical = (uint64_t)page->frame << PAGE_SHIFT | (linear & PAGE_MASK);
        kc_shadow_wrote(m, physical, access.size, kc_is_exempt(m, kc_fast_access_pc(m, &access))); /* which notes it by itself */
        if (kc_shadow_keep(m, physical))
            let_define(m, page);
    }
    kc_fast_access_skip(context, &access);
    return true;
}

/* What walks the stack reads return addresses: it is translated anew, and reads them as it does others. False: it is none of that. */
static bool note_reader(kc *m, const struct fast_access *access)
{
    uint32_t pc = kc_fast_access_pc(m, access), *place = reader_place(m->windows, pc);
    uint32_t linear = (uint32_t)(access->at - (uintptr_t)m->windows->base);

    if (access->size != sizeof(uint32_t) || *place == pc || !kc_has_return(m, linear, sizeof(uint32_t)))
        return false;
    *place = pc;
    return true;
}

/* Whoever meets compared bytes again and again goes the ordinary way, on which that is told without a fault of the host. False: not so often. */
static bool meets_often(kc *m, const struct fast_access *access)
{
    enum { OFTEN = 32 };
    struct windows *w = m->windows;
    uint32_t linear = (uint32_t)(access->at - (uintptr_t)w->base), pc = kc_fast_access_pc(m, access);

    if (!access->is_store || !w->compared.is_ready || linear >> PAGE_SHIFT != w->compared.linear || ++w->meetings[pc * 2654435761u >> 22] < OFTEN)
        return false;
    slow_add(w, pc);
    return true;
}

bool kc_windows_on_poison(void *context)
{
    struct fast_access access;
    kc *m = kc_running();

    if (!m || !(m->windows->shadow || m->windows->compared.is_on) || !kc_fast_access_at(m, context, &access))
        return false;
    if (m->windows->shadow && !access.has_base) { /* the access itself was told before */
        kc_fast_access_skip(context, &access);
        return true;
    }
    look_at_store(m, context, &access);
    bool is_other = access.is_store ? meets_often(m, &access) : m->windows->shadow && note_reader(m, &access);
    kc_fast_access_make(m, context, &access, (uintptr_t)m->windows->base, false); /* the engine tells it */
    if (is_other)
        kc_fast_access_forget(m, &access);
    return true;
}

/* -- where it lies ----------------------------------------------------------------------------------- */

static uint8_t *reserved(uintptr_t start, uint64_t size)
{
    int fixed = start ? MAP_FIXED_NOREPLACE : 0;
    void *base = mmap((void *)start, size, PROT_NONE, NOBODYS | fixed, -1, 0);

    if (base == MAP_FAILED)
        return NULL;
    if (start && (uintptr_t)base != start) { /* an older Linux takes it for a hint */
        munmap(base, size);
        return NULL;
    }
    return base;
}

/* Below 2 GiB; NULL: another machine's window is there. */
static uint8_t *reserved_near(uint64_t size)
{
    static const uintptr_t candidates[] = {0x20000000, 0x40000000, 0x10000000, 0x60000000, 0x7f000000};
    uint8_t *base = NULL;

    for (size_t i = 0; i < sizeof candidates / sizeof *candidates && !base; i++)
        base = reserved(candidates[i], size);
    return base;
}

/* For both views, or for the one where there is no room for more: a process may have a limit. NULL: not even for that. */
static uint8_t *reserved_views(bool is_near, uint64_t *size)
{
    static const uint64_t sizes[] = {VIEWS_SIZE, VIEW_SIZE};
    uint8_t *base = NULL;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && !base; i++) {
        *size = sizes[i];
        base = is_near ? reserved_near(*size) : reserved(0, *size);
    }
    return base;
}

static kc *near_one; /* whose window is near; NULL: nobody's */
static pthread_mutex_t near_lock = PTHREAD_MUTEX_INITIALIZER;

/* Let the window lie elsewhere. False: there is no room. */
static bool move(kc *m, bool is_near)
{
    struct windows *w = m->windows;
    uint64_t size;
    uint8_t *base = reserved_views(is_near, &size);

    if (base && kc_host_faults_add(m, base, size, on_fault)) {
        munmap(base, size);
        base = NULL;
    }
    if (!base)
        return false;
    kc_windows_forget(m);
    kc_host_faults_drop_at(m, w->base);
    munmap(w->base, w->size);
    w->base = base;
    w->size = size;
    w->is_near = is_near;
    kc_flush_code(m);
    return true;
}

/* -- checked accesses ------------------------------------------------------------------------------- */

/* Once for the process: addresses that a poisoned access leads to, and a shadow in which nothing is poisoned. NULL: there is no room. */
static __attribute__((noinline)) const uint8_t *nothing_poisoned(void)
{
    static const uint8_t *nothing;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&lock);
    if (!nothing) {
        void *at = mmap((void *)KC_POISONED_AT, KC_POISONED_SIZE, PROT_NONE, NOBODYS | MAP_FIXED_NOREPLACE, -1, 0);
        bool is_reserved = at == (void *)KC_POISONED_AT;
        void *zeros = is_reserved ? mmap(NULL, VIEW_SIZE, PROT_READ, NOBODYS, -1, 0) : MAP_FAILED;
        if (zeros != MAP_FAILED)
            nothing = zeros;
        else if (at != MAP_FAILED)
            munmap(at, KC_POISONED_SIZE);
    }
    pthread_mutex_unlock(&lock);
    return nothing;
}

void kc_windows_exempt(kc *m, bool begins)
{
    struct windows *w = m->windows;

    if (w->is_exempt != begins && w->shadow && !kc_tells_uninitialised(m)) { /* which has stores change it */
        kc_begin_segment(begins ? w->nothing : w->shadow);
        w->is_exempt = begins;
    }
}

/* Checked accesses look up the shadow in a segment of the thread's. */
static void lead_to_shadow(kc *m)
{
    struct windows *w = m->windows;

    w->is_exempt = false;
    if (w->runs && w->shadow)
        kc_begin_segment(w->shadow);
}

static void drop_shadow(kc *m)
{
    struct windows *w = m->windows;

    if (!w->shadow)
        return;
    kc_host_faults_drop_at(m, w->shadow);
    kc_host_faults_drop_at(m, w->shadow + ECHO);
    munmap(w->shadow, VIEW_SIZE);
    munmap(w->shadow + ECHO, VIEW_SIZE);
    w->shadow = NULL;
}

/* A shadow, and nothing where poisoned stores to it lead. */
static bool reserve_shadow(kc *m)
{
    enum { TRIES = 64 };
    struct windows *w = m->windows;

    for (uint64_t i = 0; i < TRIES; i++) {
        uint8_t *at = reserved(SHADOWS_AT + 2 * i * ECHO, VIEW_SIZE);
        uint8_t *echo = at ? reserved((uintptr_t)at + ECHO, VIEW_SIZE) : NULL;
        if (at && echo) {
            w->shadow = at;
            break;
        }
        if (at)
            munmap(at, VIEW_SIZE);
    }
    if (w->shadow && !mprotect(w->shadow, VIEW_SIZE, PROT_READ) &&
        !kc_host_faults_add(m, w->shadow, WINDOW_SIZE, on_shadow_fault) &&
        !kc_host_faults_add(m, w->shadow + ECHO, VIEW_SIZE, on_shadow_fault))
        return true;
    drop_shadow(m);
    return false;
}

/* Make room for another machine's window. False: the machine runs, or it may do so at any time. */
static bool give_way(kc *m)
{
    struct windows *w = m->windows;

    if (w->runs || w->compared.is_on || !pthread_equal(w->thread, pthread_self()) || !move(m, false))
        return false;
    if (w->shadow) {
        drop_shadow(m);
        w->waits = true;
        kc_windows_suspend(m, true);
    }
    return true;
}

/* The machine that was there may be gone by now. */
static bool come_near(kc *m)
{
    struct windows *w = m->windows;

    pthread_mutex_lock(&near_lock);
    if (w->base && !w->is_near && (!near_one || give_way(near_one)))
        near_one = move(m, true) ? m : NULL;
    pthread_mutex_unlock(&near_lock);
    return w->is_near;
}

/* False: there is no room for it. */
static bool check_here(kc *m)
{
    struct windows *w = m->windows;

    if (!come_near(m) || !(w->nothing = nothing_poisoned()) || !reserve_shadow(m))
        return false;
    lead_to_shadow(m);
    kc_flush_code(m);
    return true;
}

void kc_windows_check(kc *m, bool begins)
{
    struct windows *w = m->windows;

    kc_windows_forget(m);
    if (begins && check_here(m))
        return;
    if (!begins && w->shadow) {
        drop_shadow(m);
        kc_flush_code(m);
        return;
    }
    w->waits = begins;
    kc_windows_suspend(m, begins);
}

void kc_windows_run(kc *m, bool begins)
{
    struct windows *w = m->windows;

    pthread_mutex_lock(&near_lock);
    w->runs += begins ? 1 : -1u;
    w->thread = pthread_self();
    pthread_mutex_unlock(&near_lock);
    if (begins && w->waits && check_here(m)) {
        w->waits = false;
        kc_windows_suspend(m, false);
    }
    lead_to_shadow(m);
}

void kc_window_now(const kc *m, kc_window *out)
{
    const struct windows *w = m->windows;
    *out = (kc_window){w->base && !w->suspended && !w->accounts[false].rests, w->is_near, w->count, w->slow_count};
}

/* -- life ------------------------------------------------------------------------------------------- */

int kc_windows_init(kc *m)
{
    struct windows *w;

    if (KC_NEW(m->windows))
        return -1;
    w = m->windows;
    for (int user = 0; user < 2; user++)
        w->accounts[user].may_lose = may_lose_first * worth[user];
    if (!m->fast)
        return 0;
    w->thread = pthread_self();
    pthread_mutex_lock(&near_lock);
    if (!near_one && (w->base = reserved_views(true, &w->size)))
        near_one = m;
    w->is_near = w->base;
    pthread_mutex_unlock(&near_lock);
    if (!w->base && !(w->base = reserved_views(false, &w->size)))
        return 0; /* the ordinary way is there */
    w->numbers = calloc(2 * USERS_PAGE, sizeof *w->numbers);
    w->holds_entries = calloc((1 << 20) / 8, 1);
    w->is_whole = calloc((1 << 20) / 8, 1);
    return !w->numbers || !w->holds_entries || !w->is_whole || kc_host_faults_add(m, w->base, w->size, on_fault) ? -1 : 0;
}

void kc_windows_free(kc *m)
{
    struct windows *w = m->windows;

    if (!w)
        return;
    kc_host_faults_drop(m);
    pthread_mutex_lock(&near_lock);
    if (w->base)
        munmap(w->base, w->size);
    if (near_one == m)
        near_one = NULL;
    pthread_mutex_unlock(&near_lock);
    drop_shadow(m);
    free(w->numbers);
    free(w->holds_entries);
    free(w->is_whole);
    free(w);
}
