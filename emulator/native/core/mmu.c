/* TLB fill: what a page walk (page_walk.c) lets the CPU do, and the faults where it does not.
 *
 * Unicorn's own MMU makes each mapped page executable and therefore each store a possible write to translated code,
 * for ever. In virtual TLB mode we decide: a page gets no EXEC until it is fetched from, and stores to it run at
 * full speed. Once a physical page was fetched, all TLB entries go, and from then on every mapping of that page is
 * executable, so that a store through any alias meets Unicorn's check for self-modifying code. That goes for mappings that
 * forbid it (NX), too: a fetch through one faults, unless data of such a page was accessed through it just before.
 */
#include <stdlib.h>
#include <string.h>

#include "core/bus.h"
#include "core/directories.h"
#include "core/kasan.h"
#include "core/mmu.h"
#include "core/page_walk.h"
#include "core/reports.h"
#include "core/shadow.h"
#include "core/video.h"
#include "core/windows.h"
#include "unicorn/alignment.h"
#include "unicorn/counting.h"
#include "unicorn/delivery.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"

enum { GENERAL_PROTECTION = 13, PAGE_FAULT = 14 };
enum { FAULT_PRESENT = 1, FAULT_WRITE = 2, FAULT_USER = 4, FAULT_RESERVED = 8, FAULT_FETCH = 0x10 };
enum { CR0_WP = 1 << 16, CR0_PG = 1u << 31 };

#define PAGES_4GIB (1u << 20)
#define NOWHERE (1ull << 32) /* the engine has no memory from here on */

/* Every load of CR3 comes here, and what else changes how addresses are translated. */
void kc_on_tlb_flush(kc *m)
{
    memset(m->mmu->fills, 0xff, sizeof m->mmu->fills);
    m->mmu->space_known = false;
    kc_windows_on_flush(m);
    kc_directory_left(m);
    if (kc_seeks_stale(m))
        kc_translations_forgotten(m);
}

void kc_on_page_flush(kc *m, uint32_t address)
{
    m->mmu->fills[address >> PAGE_SHIFT & (FILLS - 1)].linear = UINT32_MAX;
    kc_windows_forget_page(m, address);
    if (kc_seeks_stale(m))
        kc_translation_forgotten(m, address);
}

static void note_paging(struct mmu *mmu, uint32_t cr0)
{
    mmu->paging = cr0 & CR0_PG;
    mmu->flat = !mmu->paging && !mmu->a20_off;
}

static void paging_read(kc *m) { note_paging(m->mmu, kc_reg(m, UC_X86_REG_CR0)); }

void kc_a20(kc *m, bool on)
{
    if (m->mmu->a20_off == !on)
        return;
    m->mmu->a20_off = !on;
    paging_read(m);
    kc_windows_forget(m);
    kc_gate_a20(m, on);
    kc_flush_tlb(m);
}

static int64_t located(kc *m, uint32_t cr3, uint32_t linear, struct walk *w)
{
    return kc_walk_tables(m, cr3, linear, w) && w->present && !w->reserved ? (int64_t)(w->physical | (linear & PAGE_MASK)) : -1;
}

int64_t kc_translate(kc *m, uint32_t linear)
{
    struct walk w;

    if (m->reference)
        paging_read(m);
    if (!m->mmu->paging)
        return (int64_t)kc_gated(m, linear);
    return located(m, kc_reg(m, UC_X86_REG_CR3), linear, &w);
}

SELDOM void kc_words_apart(kc *m, uint32_t linear, uint32_t *out, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t at = kc_translate(m, linear + 4 * i);
        out[i] = at < 0 || (uint64_t)at + 4 > m->memory_end ? 0 : kc_load32(m, (uint64_t)at);
    }
}

int64_t kc_translate_shown(kc *m, uint32_t linear)
{
    uc_tlb_entry shown;
    bool is_shown = kc_windows_answer(m, linear, false, false, &shown) || kc_windows_answer(m, linear, true, false, &shown);

    return is_shown ? (int64_t)(shown.paddr | (linear & PAGE_MASK)) : kc_translate(m, linear);
}

uint32_t kc_page_tables(kc *m)
{
    if (m->reference)
        paging_read(m);
    if (!m->mmu->paging)
        return 0;
    return kc_reg(m, UC_X86_REG_CR3) & ~(kc_reg(m, UC_X86_REG_CR4) & CR4_PAE ? CR3_FLAGS : (uint32_t)PAGE_MASK);
}

void kc_forget_translation(kc *m, uint32_t linear)
{
    kc_on_page_flush(m, linear);
    if (kc_is_large(m, linear) || !kc_flush_page(m, linear))
        kc_flush_tlb(m);
}

void kc_forget_translations(kc *m)
{
    kc_on_tlb_flush(m);
    kc_flush_tlb(m);
}

int64_t kc_translate_in(kc *m, uint32_t space, uint32_t linear, bool *writable)
{
    struct walk w = {.writable = true};
    int64_t at = space ? located(m, space, linear, &w) : (int64_t)kc_gated(m, linear);

    *writable = w.writable;
    return at;
}

uint32_t kc_read_space(kc *m)
{
    if (m->reference)
        paging_read(m);
    m->mmu->space = m->mmu->paging ? (kc_reg(m, UC_X86_REG_CR3) & ~CR3_FLAGS) | KC_SPACE_OF_TABLES : 0;
    m->mmu->space_known = !m->reference;
    return m->mmu->space;
}

bool kc_may_fetch(kc *m, uint32_t linear)
{
    struct walk w = {.user = true};

    if (m->reference)
        paging_read(m);
    int64_t at = m->mmu->paging ? located(m, kc_reg(m, UC_X86_REG_CR3), linear, &w) : (int64_t)kc_gated(m, linear);
    return at >= 0 && !w.no_execute && (w.user || kc_ring(m) != 3) && kc_is_mapped(m, (uint64_t)at);
}

static enum kc_access access_of(uc_mem_type type)
{
    return type == UC_MEM_WRITE ? KC_WRITE : type == UC_MEM_FETCH ? KC_FETCH : KC_READ;
}

static bool page_fault(kc *m, uint32_t error_code)
{
    m->mmu->miss.vector = PAGE_FAULT;
    m->mmu->miss.error_code = error_code;
    return false;
}

void kc_on_tlb_miss(kc *m, uint32_t address, bool user, uintptr_t host_pc)
{
    m->mmu->miss.address = address;
    m->mmu->miss.user = user;
    m->mmu->miss.host_pc = host_pc;
    m->mmu->miss.vector = m->mmu->miss.error_code = 0;
}

/* The engine's TLB has only pages of 4 KiB: a large one is many of them. */
bool kc_is_large(const kc *m, uint32_t linear) { return m->mmu->large[linear >> 25] >> (linear >> 22 & 7) & 1; }

bool kc_raises(kc *m, uint32_t *vector, uint32_t *error_code)
{
    *vector = m->mmu->miss.vector;
    *error_code = m->mmu->miss.error_code;
    if (*vector == PAGE_FAULT)
        U.uc_reg_write(m->uc, UC_X86_REG_CR2, &m->mmu->miss.address);
    return *vector != 0;
}

static bool may_write(const struct walk *w, bool user, uint32_t cr0) { return w->writable || (!user && !(cr0 & CR0_WP)); }

static bool may_access(const struct walk *w, uc_mem_type type, bool user, uint32_t cr0)
{
    return (!user || w->user) && (type != UC_MEM_WRITE || may_write(w, user, cr0)) && (type != UC_MEM_FETCH || !w->no_execute);
}

/* Walks for the CPU: checks rights, sets A and D. False: there is a #PF to be raised. */
static bool translate_for_cpu(kc *m, uint32_t linear, uc_mem_type type, uc_tlb_entry *out, struct walk *walk)
{
    bool write = type == UC_MEM_WRITE, fetch = type == UC_MEM_FETCH, user;
    uint32_t cr0 = kc_reg(m, UC_X86_REG_CR0);
    struct walk w;

    out->paddr = kc_gated(m, linear);
    out->perms = UC_PROT_READ | UC_PROT_WRITE;
    note_paging(m->mmu, cr0);
    if (!m->mmu->paging)
        return true;
    user = m->mmu->miss.user; /* the CPU's own accesses are a supervisor's in every ring (SDM 4.6.1) */
    if (!kc_walk_tables(m, kc_reg(m, UC_X86_REG_CR3), linear, &w)) {
        kc_stop *stop = kc_ends(m, KC_FAILED);
        if (stop)
            stop->uc_error = KC_LONG_MODE;
        return false;
    }
    uint32_t code = (write ? FAULT_WRITE : 0) | (user ? FAULT_USER : 0) | (fetch && w.nx ? FAULT_FETCH : 0);
    if (w.table_at != KC_NO_ENTRY) /* a table was looked into, whatever was found there */
        kc_entry_set(m, w.directory_at, &w.directory, PTE_A);
    if (w.reserved)
        return page_fault(m, code | FAULT_PRESENT | FAULT_RESERVED);
    if (!w.present)
        return page_fault(m, code);
    if (!may_access(&w, type, user, cr0))
        return page_fault(m, code | FAULT_PRESENT);
    if (w.table_at != KC_NO_ENTRY) {
        kc_entry_set(m, w.table_at, &w.table, PTE_A | (write ? PTE_D : 0));
    } else {
        kc_entry_set(m, w.directory_at, &w.table, PTE_A | (write ? PTE_D : 0));
        m->mmu->large[linear >> 25] |= (uint8_t)(1u << (linear >> 22 & 7));
    }
    out->paddr = w.physical;
    /* A clean page is granted read only, so that the first write comes here and sets D. */
    if (!may_write(&w, user, cr0) || !(w.table & PTE_D))
        out->perms = UC_PROT_READ;
    *walk = w;
    return true;
}

static struct kc_translation translation_of(uint32_t linear, bool user, const struct walk *w, uint8_t granted)
{
    return (struct kc_translation){linear & ~PAGE_MASK, user, w->wide, w->writable, w->user, w->no_execute, granted, w->physical,
                                   {w->directory_at, w->table_at}, {w->directory, w->table_at != KC_NO_ENTRY ? w->table : 0}};
}

bool kc_walk(kc *m, uint32_t linear, uc_mem_type type, bool user, struct kc_translation *out)
{
    struct walk w;
    bool is_there = located(m, kc_reg(m, UC_X86_REG_CR3), linear, &w) >= 0;

    *out = translation_of(linear, user, &w, 0);
    if (!is_there)
        out->writable = out->for_users = false;
    return is_there && may_access(&w, type, user, kc_reg(m, UC_X86_REG_CR0));
}

uint64_t kc_entry(const kc *m, const struct kc_translation *t, int level)
{
    uint64_t entry = 0;

    memcpy(&entry, kc_at(m, t->entries_at[level]), t->wide ? sizeof entry : sizeof(uint32_t));
    return entry;
}

/* Of fills by Unicorn's own MMU the page is not known. */
bool kc_watches_fill(const kc *m, bool store)
{
    return m->mmu->watched || (store && m->mmu->stores_watched) || (m->reference && kc_has_watchpoints(m));
}

void kc_on_watched_access(kc *m, uint32_t linear, uint32_t size, bool write, uintptr_t host_pc)
{
    int64_t physical = write ? kc_translate_used(m, linear) : -1;

    kc_on_access(m, linear, size, write, host_pc);
    if (physical >= 0)
        kc_windows_on_write(m, (uint64_t)physical, size);
    if (kc_seeks_stale(m))
        kc_on_held_access(m, linear, size, write, host_pc);
}

/* A translation goes into the TLB. Accesses to page tables are watched. */
static void note_fill(kc *m, uint32_t linear, const struct walk *w, const uc_tlb_entry *filled)
{
    m->mmu->watched = false;
    if (!kc_seeks_stale(m))
        return;
    if (w->present) {
        struct kc_translation t = translation_of(linear, m->mmu->miss.user, w, (uint8_t)filled->perms);
        kc_on_filled(m, &t);
    }
    m->mmu->watched = kc_holds_entries(m, filled->paddr >> PAGE_SHIFT) || kc_looks_at_uses(m, linear, m->mmu->miss.user);
}

static bool bus_error(kc *m, uint64_t physical, uint32_t linear, uc_mem_type type)
{
    kc_stop *stop = kc_ends(m, KC_UNMAPPED);

    if (stop) {
        stop->address = physical;
        stop->linear = linear;
        stop->access = access_of(type);
    }
    return false;
}

static bool fetched_add(struct mmu *mmu, uint32_t page)
{
    if (mmu->fetched_count == mmu->fetched_capacity) {
        uint32_t capacity = mmu->fetched_capacity ? mmu->fetched_capacity * 2 : 64;
        uint32_t *pages = realloc(mmu->fetched_pages, capacity * sizeof *pages);
        if (!pages)
            return false;
        mmu->fetched_pages = pages;
        mmu->fetched_capacity = capacity;
    }
    mmu->fetched_pages[mmu->fetched_count++] = page;
    mmu->fetched[page >> 3] |= (uint8_t)(1u << (page & 7));
    return true;
}

/* KASAN's shadow is there for supervisors whatever page tables say. False: nothing of it lies there. */
static bool fill_kasan(kc *m, uint32_t linear, uc_mem_type type, uc_tlb_entry *out)
{
    if (type == UC_MEM_FETCH || m->mmu->miss.user || !kc_kasan_covers(m, linear))
        return false;
    int64_t at = kc_kasan_at(m, linear & ~PAGE_MASK);
    if (at < 0)
        return false;
    m->mmu->watched = m->mmu->stores_watched = false;
    out->paddr = kc_kasan_engine_address((uint64_t)at);
    out->perms = UC_PROT_READ | UC_PROT_WRITE;
    return true;
}

static bool on_tlb_fill(uc_engine *uc, uint64_t linear, uc_mem_type type, uc_tlb_entry *out, void *data)
{
    kc *m = data;
    struct walk w = {0};
    (void)uc;

    if (linear >> MISALIGNED) {
        m->mmu->miss.vector = GENERAL_PROTECTION; /* its error code is 0 */
        return false;
    }
    if (type == UC_MEM_FETCH && kc_is_stray_fetch(m, (uint32_t)linear)) {
        out->paddr = linear < m->memory_end ? linear : NOWHERE + linear; /* not a device's memory: it would stay in the TLB */
        out->perms = UC_PROT_READ | UC_PROT_EXEC;
        return true;
    }
    if (fill_kasan(m, (uint32_t)linear, type, out))
        return true;
    bool held = kc_seeks_stale(m) && kc_on_refill(m, (uint32_t)linear, type, out);
    bool shown = m->mmu->paging && !kc_seeks_stale(m) && type != UC_MEM_FETCH &&
                 kc_windows_answer(m, (uint32_t)linear, m->mmu->miss.user, type == UC_MEM_WRITE, out);
    if (!held && !shown && !translate_for_cpu(m, (uint32_t)linear, type, out, &w)) {
        if (kc_guards(m, linear) && m->mmu->miss.vector == PAGE_FAULT)
            kc_on_guarded_fault(m, type);
        return false;
    }
    bool answers = kc_is_mapped(m, out->paddr);
    if (!answers && (type == UC_MEM_FETCH || !(kc_is_device(m, out->paddr) || kc_is_open(m, out->paddr))))
        return bus_error(m, out->paddr, (uint32_t)linear, type);
    kc_windows_on_fill(m, (uint32_t)linear, m->mmu->miss.user, type == UC_MEM_FETCH, out->paddr);
    uint64_t page = out->paddr >> PAGE_SHIFT;
    if (m->mmu->paging && !kc_directory_is_noted(m))
        kc_directory_note(m, kc_page_tables(m), (uint32_t)linear, out->paddr);
    if (type == UC_MEM_FETCH && !kc_was_fetched(m, page)) {
        if (!fetched_add(m->mmu, (uint32_t)page)) {
            kc_no_memory(m);
            return false;
        }
        kc_fill_again(m);
        kc_windows_protect_code(m, (uint32_t)page);
    }
    if (type == UC_MEM_WRITE || (out->perms & UC_PROT_WRITE))
        kc_shadow_touch(m, out->paddr);
    note_fill(m, (uint32_t)linear, &w, out);
    m->mmu->watched |= kc_is_poisoned(m, out->paddr);
    if (kc_is_read_only(m, out->paddr)) { /* reads are as fast as others */
        m->mmu->watched |= type == UC_MEM_WRITE;
        out->perms &= type == UC_MEM_WRITE ? UINT32_MAX : ~(uint32_t)UC_PROT_WRITE;
    }
    m->mmu->watched |= kc_watches_page(m, out->paddr, false);
    m->mmu->stores_watched = kc_windows_hold_entries(m, out->paddr) || kc_watches_page(m, out->paddr, true);
    if (kc_was_fetched(m, page))
        out->perms |= UC_PROT_EXEC;
    if (kc_watches_pages(m) && out->paddr < m->memory_end) {
        if (type == UC_MEM_WRITE)
            kc_on_page_written(m, (uint32_t)page);
        else
            out->perms &= ~(uint32_t)UC_PROT_WRITE;
    }
    m->mmu->fills[linear >> PAGE_SHIFT & (FILLS - 1)] =
        (struct fill){(uint32_t)linear & ~PAGE_MASK, (uint32_t)out->paddr, out->perms & UC_PROT_WRITE, m->mmu->miss.user};
    out->paddr = kc_video_target(m, out->paddr);
    return true;
}

/* Code cannot be forgotten while it runs: the next block ends the slice. */
void kc_forget_code_soon(kc *m)
{
    m->mmu->code_is_old = true;
    kc_look_soon(m);
}

void kc_code_written(kc *m, uint64_t start, uint64_t size)
{
    kc_memory_written(m, start, size);
    if (m->mmu->code_is_old || !size)
        return;
    for (uint64_t page = start >> PAGE_SHIFT; page <= (start + size - 1) >> PAGE_SHIFT && page < PAGES_4GIB; page++)
        if (m->reference || kc_was_fetched(m, page)) {
            kc_forget_code_soon(m);
            return;
        }
}

void kc_forget_old_code(kc *m)
{
    if (m->mmu->code_is_old) {
        kc_flush_code(m);
        kc_windows_on_new_code(m);
    }
    m->mmu->code_is_old = false;
}

/* -- life ---------------------------------------------------------------------------------------- */

int kc_mmu_init(kc *m)
{
    if (KC_NEW(m->mmu) || !(m->mmu->fetched = calloc(MEMORY_PAGES / 8, 1)))
        return -1;
    kc_on_tlb_flush(m);
    if (m->reference)
        return 0;
    int error = U.uc_ctl(m->uc, UC_CTL_WRITE(UC_CTL_TLB_TYPE, 1), UC_TLB_VIRTUAL);
    return error ? error : kc_hook(m, UC_HOOK_TLB_FILL, on_tlb_fill, 0);
}

void kc_mmu_free(kc *m)
{
    if (m->mmu) {
        free(m->mmu->fetched_pages);
        free(m->mmu->fetched);
    }
    free(m->mmu);
}

int kc_mmu_save(kc *m, void **out)
{
    bool *saved = malloc(sizeof *saved);

    if (!saved)
        return -1;
    *saved = m->mmu->a20_off;
    *out = saved;
    return 0;
}

/* After the CPU's registers: CR3 may be another one, and D bits are clear again. Without paging, before and after, an address lies
 * where it lay, and the TLB stays, with what is known from it. */
int kc_mmu_restore(kc *m, const void *saved)
{
    bool is_moved = m->mmu->a20_off != *(const bool *)saved, was_paging = m->mmu->paging;

    if (is_moved)
        kc_windows_forget(m);
    m->mmu->a20_off = *(const bool *)saved;
    paging_read(m);
    if (m->reference || was_paging || m->mmu->paging || is_moved)
        kc_flush_tlb(m);
    return 0;
}
