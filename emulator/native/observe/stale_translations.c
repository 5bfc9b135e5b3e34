/* Stale translations: a kernel changes an entry of a page table, does not let the TLB forget the page, and accesses it.
 *
 * Theory of operation. Each fill of the TLB is kept, with the entries that it comes from (translations.c), until the guest lets the
 * TLB forget it: invlpg, a load of CR3, a change of paging in CR0 or CR4. Pages with such entries are filled as watched, and the
 * guest's accesses to them are told before they are made. After a write to an entry the engine's TLB loses the pages that come from
 * it, so that the next access to one of them comes here. It is answered as it was filled: a TLB would still do so. Only then
 * are the tables walked for a comparison. Another frame, or an access that they forbid by now, is a use of a stale translation. An
 * entry that was written back, or gives more than before, is none; neither do A and D count.
 *
 * An access that the old translation does not allow is walked for, as the CPU does it, and what is found then takes its place.
 *
 * Shortcomings. The TLB that is modelled holds any number of pages and forgets none by itself; a CPU's, and the engine's, may. Nor is
 * it modelled that a CPU may keep entries of a directory apart (SDM vol. 3A, 4.10.3), nor that global pages outlive a load of
 * CR3, nor that a page fault lets the TLB forget its page. Writes from outside (models, devices in Python) are noticed when they have
 * returned to the guest. Code goes on in a page that was changed until it leaves that page. Where CR3 is loaded all the time the window keeps
 * pages (core/windows.c), and whether these were accessed after a load is not seen: if one is found otherwise later, that is
 * no use of a stale translation, but not all of these were found any more.
 */
#include <stdlib.h>

#include "core/run.h"
#include "core/reports.h"
#include "core/windows.h"
#include "observe/stale_translations.h"
#include "observe/translations.h"
#include "record/stack_numbers.h"
#include "unicorn/delivery.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"

enum { ACCESSED_AND_DIRTY = 0x60, LEVELS = 2, UNSEEN_MAX = 4096 };

struct stale_translations {
    uint32_t open, count; /* count: of uses */
    uint32_t each_load;   /* of those that are open: who follow each load of CR3 */
    kc_stale_use *uses;
    struct translations held;
    /* Pages that a TLB may hold, or not. */
    struct unseen { uint32_t linear, frame; bool user; } *unseen;
    uint32_t unseen_count;
    bool missed; /* one of them was accessed where the page tables say something else by now */
};

bool kc_seeks_stale(const kc *m) { return m->stale_translations && m->stale_translations->open; }

bool kc_stale_follows_each_load(const kc *m) { return m->stale_translations->each_load; }

/* -- what the TLB holds -------------------------------------------------------------------------- */

void kc_translations_forgotten(kc *m)
{
    kc_translations_clear(&m->stale_translations->held);
    m->stale_translations->unseen_count = 0;
}

void kc_on_unseen_hidden(kc *m, uint32_t linear, bool user, uint32_t frame)
{
    struct stale_translations *s = m->stale_translations;

    if (kc_translations_find(&s->held, linear, user)) /* it was accessed otherwise since */
        return;
    if (s->unseen_count == UNSEEN_MAX)
        s->missed = true;
    else
        s->unseen[s->unseen_count++] = (struct unseen){linear, frame, user};
}

/* It is seen from now on, or a TLB does not hold it. NULL: it was. */
static const struct unseen *take_unseen(struct stale_translations *s, uint32_t linear, bool user)
{
    for (uint32_t i = 0; i < s->unseen_count; i++) {
        struct unseen found = s->unseen[i];
        if (found.linear != (linear & ~PAGE_MASK) || found.user != user)
            continue;
        s->unseen[i] = s->unseen[--s->unseen_count];
        s->unseen[s->unseen_count] = found;
        return &s->unseen[s->unseen_count];
    }
    return NULL;
}

void kc_translation_forgotten(kc *m, uint32_t linear)
{
    for (int user = 0; user < 2; user++) {
        struct held *held = kc_translations_find(&m->stale_translations->held, linear, user);
        if (held)
            held->is_held = false;
        take_unseen(m->stale_translations, linear, user);
    }
}

bool kc_looks_at_uses(const kc *m, uint32_t linear, bool user)
{
    const struct held *held = kc_translations_find(&m->stale_translations->held, linear, user);
    return held && held->is_written && !held->is_used;
}

bool kc_holds_entries(const kc *m, uint64_t page) { return kc_translations_use(&m->stale_translations->held, page); }

static void drop(kc *m, uint32_t linear, bool user)
{
    kc_drop_page(m, linear, user);
    kc_windows_forget_page(m, linear);
}

/* Pages that were filled before it was known that page tables lie there: they are filled again, as watched. */
static void watch_frame(kc *m, uint64_t frame)
{
    const struct translations *t = &m->stale_translations->held;

    for (uint32_t i = 0; i < t->count; i++)
        if (t->all[i].as.physical >> PAGE_SHIFT == frame)
            drop(m, t->all[i].as.linear, t->all[i].as.user);
}

void kc_on_filled(kc *m, const struct kc_translation *filled)
{
    struct translations *t = &m->stale_translations->held;
    bool is_known[LEVELS];

    for (int level = 0; level < LEVELS; level++) {
        uint64_t at = filled->entries_at[level];
        is_known[level] = at == KC_NO_ENTRY || kc_translations_use(t, at >> PAGE_SHIFT);
    }
    if (!kc_translations_add(t, filled)) {
        kc_no_memory(m);
        return;
    }
    for (int level = 0; level < LEVELS; level++)
        if (!is_known[level])
            watch_frame(m, filled->entries_at[level] >> PAGE_SHIFT);
}

/* -- writes to entries --------------------------------------------------------------------------- */

static bool differs(uint64_t one, uint64_t other) { return (one ^ other) & ~(uint64_t)ACCESSED_AND_DIRTY; }

/* The last write to an entry has been made by now: was it the one that changed it? */
static void settle(const kc *m, struct held *held)
{
    struct written *last = &held->last;

    if (!last->is_any)
        return;
    uint64_t now = kc_entry(m, &held->as, last->level);
    bool is_back = !differs(now, held->as.entries[last->level]);
    if (is_back && held->change.level == last->level)
        held->change.is_any = false;
    if (!is_back && !held->change.is_any) {
        held->change = *last;
        held->change.write.after = (uint32_t)now;
    }
    last->is_any = false;
}

static void note_write(kc *m, struct held *held, int level, const kc_write *write)
{
    settle(m, held);
    held->last = (struct written){*write, kc_entry(m, &held->as, level), (uint8_t)level, true};
    held->last.write.before = (uint32_t)held->last.before;
    held->is_written = true;
    held->is_used = false;
}

static kc_write write_here(kc *m, uintptr_t host_pc)
{
    if (host_pc)
        kc_restore_eip(m, host_pc);
    uint32_t eip = kc_reg(m, UC_X86_REG_EIP);
    return (kc_write){.eip = eip, .pc = kc_pc(m), .event = kc_events(m), .stack = kc_stack_of_other(m, kc_stack_at(m, eip)), .count = 1};
}

/* Note a write to [physical, physical + size). except: a page that must stay in the engine's TLB. */
static void on_write(kc *m, uint64_t physical, uint32_t size, uintptr_t host_pc, uint32_t except)
{
    struct translations *t = &m->stale_translations->held;
    kc_write write = {0};

    for (int level = 0; level < LEVELS; level++)
        for (uint32_t n = t->of_frames[level][physical >> PAGE_SHIFT]; n; n = t->all[n - 1].next[level]) {
            struct held *held = &t->all[n - 1];
            uint64_t at = held->as.entries_at[level];
            if (!held->is_held || at + (held->as.wide ? 8 : 4) <= physical || at >= physical + size)
                continue;
            if (!write.count)
                write = write_here(m, host_pc);
            note_write(m, held, level, &write);
            if (held->as.linear != except)
                drop(m, held->as.linear, held->as.user);
            else
                kc_windows_forget_page(m, except);
        }
}

void kc_on_entries_written(kc *m, uint64_t physical, uint32_t size) { on_write(m, physical, size, 0, UINT32_MAX); }

/* By whom is not known. */
void kc_on_entries_changed(kc *m)
{
    struct translations *t = &m->stale_translations->held;

    for (uint32_t i = 0; i < t->count; i++) {
        struct held *held = &t->all[i];
        for (int level = 0; held->is_held && !held->is_written && level < LEVELS; level++) {
            if (held->as.entries_at[level] == KC_NO_ENTRY || !differs(kc_entry(m, &held->as, level), held->as.entries[level]))
                continue;
            held->change = (struct written){.before = held->as.entries[level], .level = (uint8_t)level, .is_any = true};
            held->change.write.before = (uint32_t)held->change.before;
            held->change.write.after = (uint32_t)kc_entry(m, &held->as, level);
            held->is_written = true;
            drop(m, held->as.linear, held->as.user);
        }
    }
}

/* -- uses ---------------------------------------------------------------------------------------- */

static bool allows(const struct kc_translation *t, uc_mem_type type)
{
    return type == UC_MEM_WRITE ? (t->granted & UC_PROT_WRITE) != 0 : type != UC_MEM_FETCH || !t->no_execute;
}

static uint32_t rights(const struct kc_translation *t)
{
    return KC_PRESENT | (t->writable ? KC_WRITABLE : 0) | (t->for_users ? KC_FOR_USERS : 0);
}

static void keep_use(kc *m, struct held *held, uint32_t linear, uc_mem_type type, uintptr_t host_pc)
{
    struct kc_translation now;
    bool is_mapped = kc_walk(m, linear, UC_MEM_READ, false, &now);
    struct stale_translations *s = m->stale_translations;

    held->is_used = true;
    if (s->count++ >= KC_STALE_USES)
        return;
    settle(m, held);
    kc_write here = write_here(m, host_pc);
    s->uses[s->count - 1] = (kc_stale_use){
        .linear = linear, .eip = here.eip, .pc = here.pc, .event = here.event, .stack = here.stack,
        .access = type == UC_MEM_WRITE ? KC_WRITE : type == UC_MEM_FETCH ? KC_FETCH : KC_READ,
        .held = held->as.physical, .held_rights = rights(&held->as),
        .now = is_mapped ? now.physical : 0, .now_rights = is_mapped ? rights(&now) : 0,
        .entry_at = (uint32_t)held->as.entries_at[held->change.level], .change = held->change.write,
    };
}

/* May an access go by a translation, as page tables are now? */
static bool is_right(kc *m, const struct held *held, uc_mem_type type)
{
    struct kc_translation now;

    return kc_walk(m, held->as.linear, type, held->as.user, &now) && now.physical == held->as.physical;
}

/* An access by a translation that allows it, whose entries were written to. False: it is not right. */
static bool look_at_use(kc *m, struct held *held, uint32_t linear, uc_mem_type type, uintptr_t host_pc)
{
    if (is_right(m, held, type))
        return true;
    if (!held->is_used)
        keep_use(m, held, linear, type, host_pc);
    return false;
}

bool kc_on_refill(kc *m, uint32_t linear, uc_mem_type type, uc_tlb_entry *out)
{
    uintptr_t host_pc;
    uint32_t address = kc_missed(m, &host_pc);
    bool user = kc_missed_by_user(m);
    struct held *held = kc_translations_find(&m->stale_translations->held, linear, user);
    const struct unseen *unseen = take_unseen(m->stale_translations, linear, user);
    struct kc_translation now;

    m->stale_translations->missed |= unseen && !(kc_walk(m, linear, type, user, &now) && now.physical >> PAGE_SHIFT == unseen->frame);

    if (!held || !held->is_written || !allows(&held->as, type))
        return false;
    bool right = look_at_use(m, held, address, type, host_pc);
    out->paddr = held->as.physical;
    out->perms = held->as.granted;
    if (right && type != UC_MEM_WRITE && !is_right(m, held, UC_MEM_WRITE))
        out->perms = UC_PROT_READ; /* the first write is another use */
    return true;
}

void kc_on_held_access(kc *m, uint32_t linear, uint32_t size, bool write, uintptr_t host_pc)
{
    struct translations *t = &m->stale_translations->held;
    bool user = kc_ring(m) == 3;
    struct held *held = kc_translations_find(t, linear, user);

    if (!held && !(held = kc_translations_find(t, linear, !user)))
        return;
    if (held->is_written && !held->is_used)
        look_at_use(m, held, linear, write ? UC_MEM_WRITE : UC_MEM_READ, host_pc);
    if (write && kc_holds_entries(m, held->as.physical >> PAGE_SHIFT))
        on_write(m, held->as.physical | (linear & PAGE_MASK), size, host_pc, linear & ~PAGE_MASK);
}

/* -- for Python ---------------------------------------------------------------------------------- */

int kc_stale_open(kc *m, bool each_load)
{
    struct stale_translations *s = m->stale_translations;

    if (m->reference)
        return -UC_ERR_ARG;
    if (!s->uses && !(s->uses = calloc(KC_STALE_USES, sizeof *s->uses)))
        return -UC_ERR_NOMEM;
    if (!s->unseen && !(s->unseen = malloc(UNSEEN_MAX * sizeof *s->unseen)))
        return -UC_ERR_NOMEM;
    if (!s->open && !kc_translations_init(&s->held, (m->memory_end + PAGE_MASK) >> PAGE_SHIFT))
        return -UC_ERR_NOMEM;
    s->each_load += each_load;
    if (!s->open++) {
        s->missed = false;
        kc_flush_tlb(m); /* each page is filled from now on */
    }
    return 0;
}

void kc_stale_close(kc *m, bool each_load)
{
    struct stale_translations *s = m->stale_translations;

    s->each_load -= each_load;
    if (--s->open)
        return;
    kc_translations_free(&s->held);
    kc_flush_tlb(m);
}

uint32_t kc_stale_uses(const kc *m, const kc_stale_use **uses)
{
    *uses = m->stale_translations->uses;
    return m->stale_translations->count;
}

bool kc_stale_is_whole(const kc *m) { return !m->stale_translations->missed; }

int kc_stale_translations_init(kc *m) { return KC_NEW(m->stale_translations); }

void kc_stale_translations_free(kc *m)
{
    if (m->stale_translations) {
        kc_translations_free(&m->stale_translations->held);
        free(m->stale_translations->uses);
        free(m->stale_translations->unseen);
    }
    free(m->stale_translations);
}
