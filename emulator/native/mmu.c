/* TLB fill: the i386 page walk (Intel SDM vol. 3A, 4.3).
 *
 * Unicorn's own MMU makes each mapped page executable and therefore each store a possible write to translated code,
 * for ever. In virtual TLB mode we decide: a page gets no EXEC until it is fetched from, and stores to it run at
 * full speed. Once a physical page was fetched, all TLB entries go, and from then on every mapping of that page is
 * executable, so that a store through any alias meets Unicorn's check for self-modifying code.
 */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80 };
enum { FAULT_PRESENT = 1, FAULT_WRITE = 2, FAULT_USER = 4 };
enum { CR0_WP = 1 << 16, CR0_PG = 1u << 31, CR4_PSE = 1 << 4 };

#define PAGES_4GIB (1u << 20)

struct walk {
    uint64_t physical; /* of the page */
    uint32_t directory_at, table_at; /* addresses of the entries; table_at is 0 for a 4 MiB page */
    uint32_t directory, table;
    bool present, writable, user;
};

void kc_flush_tlb(kc *m) { U.uc_ctl(m->uc, UC_CTL_WRITE(UC_CTL_TLB_FLUSH, 0)); }

static bool entry_read(const kc *m, uint32_t at, uint32_t *entry)
{
    if ((uint64_t)at + 4 > m->memory_end)
        return false;
    *entry = kc_load32(m, at);
    return *entry & PTE_P;
}

static void entry_set(kc *m, uint32_t at, uint32_t *entry, uint32_t bits)
{
    if ((*entry & bits) == bits)
        return;
    *entry |= bits;
    memcpy(m->memory + at, entry, sizeof *entry);
    kc_watch_mark(m, at, bits);
}

static void walk_tables(kc *m, uint32_t linear, struct walk *w)
{
    memset(w, 0, sizeof *w);
    w->directory_at = (kc_reg(m, UC_X86_REG_CR3) & ~PAGE_MASK) + (linear >> 22) * 4;
    if (!entry_read(m, w->directory_at, &w->directory))
        return;
    if ((w->directory & PTE_PS) && (kc_reg(m, UC_X86_REG_CR4) & CR4_PSE)) {
        w->physical = (w->directory & 0xffc00000u) | (linear & 0x003ff000u);
        w->table = w->directory;
    } else {
        w->table_at = (w->directory & ~PAGE_MASK) + (linear >> 12 & 0x3ff) * 4;
        if (!entry_read(m, w->table_at, &w->table))
            return;
        w->physical = w->table & ~PAGE_MASK;
    }
    w->present = true;
    w->writable = w->directory & w->table & PTE_W;
    w->user = w->directory & w->table & PTE_U;
}

void kc_fills_forget(kc *m) { memset(m->fills, 0xff, sizeof m->fills); }

void kc_paging_read(kc *m) { m->paging = kc_reg(m, UC_X86_REG_CR0) & CR0_PG; }

int64_t kc_translate(kc *m, uint32_t linear)
{
    struct walk w;

    if (m->reference)
        kc_paging_read(m);
    if (!m->paging)
        return linear;
    walk_tables(m, linear, &w);
    return w.present ? (int64_t)(w.physical | (linear & PAGE_MASK)) : -1;
}

/* The CPU's own reads of its tables are supervisor accesses even in ring 3 (SDM 4.6.1, implicit accesses). */
static bool is_implicit(kc *m, uint32_t linear)
{
    static const int tables[] = {UC_X86_REG_GDTR, UC_X86_REG_IDTR, UC_X86_REG_LDTR, UC_X86_REG_TR};

    for (int i = 0; i < 4; i++) {
        uc_x86_mmr table;
        U.uc_reg_read(m->uc, tables[i], &table);
        uint32_t first = (uint32_t)table.base & ~PAGE_MASK, last = (uint32_t)table.base + table.limit;
        if (table.limit && linear >= first && linear <= last)
            return true;
    }
    return false;
}

static enum kc_access access_of(uc_mem_type type)
{
    return type == UC_MEM_WRITE ? KC_WRITE : type == UC_MEM_FETCH ? KC_FETCH : KC_READ;
}

static bool page_fault(kc *m, uint32_t linear, bool present, uc_mem_type type, bool user)
{
    if (m->stop.reason == KC_RUNNING) {
        m->stop.vector = 14;
        m->stop.address = m->stop.linear = linear;
        m->stop.access = access_of(type);
        m->stop.error_code = (present ? FAULT_PRESENT : 0) | (type == UC_MEM_WRITE ? FAULT_WRITE : 0) | (user ? FAULT_USER : 0);
        m->stop.reason = KC_EXCEPTION;
    }
    return false;
}

/* Walks for the CPU: checks rights, sets A and D. Returns false after noting a #PF. */
static bool translate_for_cpu(kc *m, uint32_t linear, uc_mem_type type, uc_tlb_entry *out)
{
    bool write = type == UC_MEM_WRITE, user;
    uint32_t cr0 = kc_reg(m, UC_X86_REG_CR0);
    struct walk w;

    out->paddr = linear;
    out->perms = UC_PROT_READ | UC_PROT_WRITE;
    m->paging = cr0 & CR0_PG;
    if (!m->paging)
        return true;
    user = kc_ring(m) == 3 && !is_implicit(m, linear);
    walk_tables(m, linear, &w);
    if (!w.present)
        return page_fault(m, linear, false, type, user);
    bool may_write = w.writable || (!user && !(cr0 & CR0_WP));
    if ((user && !w.user) || (write && !may_write))
        return page_fault(m, linear, true, type, user);
    if (w.table_at) {
        entry_set(m, w.directory_at, &w.directory, PTE_A);
        entry_set(m, w.table_at, &w.table, PTE_A | (write ? PTE_D : 0));
    } else {
        entry_set(m, w.directory_at, &w.table, PTE_A | (write ? PTE_D : 0));
    }
    out->paddr = w.physical;
    /* A clean page is granted read only, so that the first write comes here and sets D. */
    if (!may_write || !(w.table & PTE_D))
        out->perms = UC_PROT_READ;
    return true;
}

int64_t kc_reach(kc *m, uint32_t linear, bool write)
{
    uc_tlb_entry entry;

    if (m->reference)
        return kc_translate(m, linear);
    if (!translate_for_cpu(m, linear & ~PAGE_MASK, write ? UC_MEM_WRITE : UC_MEM_READ, &entry))
        return -1;
    return (int64_t)(entry.paddr | (linear & PAGE_MASK));
}

static bool bus_error(kc *m, uint64_t physical, uint32_t linear, uc_mem_type type)
{
    if (m->stop.reason == KC_RUNNING) {
        m->stop.address = (uint32_t)physical;
        m->stop.linear = linear;
        m->stop.access = access_of(type);
        m->stop.reason = KC_UNMAPPED;
    }
    return false;
}

static bool fetched_add(kc *m, uint32_t page)
{
    if (m->fetched_count == m->fetched_capacity) {
        uint32_t capacity = m->fetched_capacity ? m->fetched_capacity * 2 : 64;
        uint32_t *pages = realloc(m->fetched_pages, capacity * sizeof *pages);
        if (!pages) {
            kc_no_memory(m);
            return false;
        }
        m->fetched_pages = pages;
        m->fetched_capacity = capacity;
    }
    m->fetched_pages[m->fetched_count++] = page;
    m->fetched[page >> 3] |= (uint8_t)(1u << (page & 7));
    return true;
}

/* Unicorn looks up where a removed hook's code lies by fetching from it, mapped or not. The guest fetches at EIP, or
 * from the page behind it. */
static bool is_execution(kc *m, uint32_t linear)
{
    uint32_t page = m->removing_hook ? kc_pc(m) >> PAGE_SHIFT : 0;
    return !m->removing_hook || linear >> PAGE_SHIFT == page || linear >> PAGE_SHIFT == page + 1;
}

static bool on_tlb_fill(uc_engine *uc, uint64_t linear, uc_mem_type type, uc_tlb_entry *out, void *data)
{
    kc *m = data;
    (void)uc;

    if (type == UC_MEM_FETCH && !is_execution(m, (uint32_t)linear)) {
        out->paddr = linear;
        out->perms = UC_PROT_READ | UC_PROT_EXEC;
        m->stray_fill = true;
        return true;
    }
    if (!translate_for_cpu(m, (uint32_t)linear, type, out))
        return false;
    if (!kc_is_mapped(m, out->paddr))
        return bus_error(m, out->paddr, (uint32_t)linear, type);
    m->fills[linear >> PAGE_SHIFT & (FILLS - 1)] = (struct fill){(uint32_t)linear & ~PAGE_MASK, (uint32_t)out->paddr};
    uint64_t page = out->paddr >> PAGE_SHIFT;
    if (type == UC_MEM_FETCH && !kc_was_fetched(m, page)) {
        if (!fetched_add(m, (uint32_t)page))
            return false;
        kc_flush_tlb(m);
    }
    if (kc_was_fetched(m, page))
        out->perms |= UC_PROT_EXEC;
    if (m->watches_open && out->paddr < m->memory_end) {
        if (type == UC_MEM_WRITE)
            kc_watch_page(m, (uint32_t)page);
        else
            out->perms &= ~(uint32_t)UC_PROT_WRITE;
    }
    return true;
}

/* -- life ---------------------------------------------------------------------------------------- */

int kc_mmu_init(kc *m)
{
    if (!(m->fetched = calloc(PAGES_4GIB / 8, 1)))
        return -1;
    kc_fills_forget(m);
    if (m->reference)
        return 0;
    int error = U.uc_ctl(m->uc, UC_CTL_WRITE(UC_CTL_TLB_TYPE, 1), UC_TLB_VIRTUAL);
    return error ? error : kc_hook(m, UC_HOOK_TLB_FILL, on_tlb_fill, m, 1, 0, 0);
}

void kc_mmu_free(kc *m)
{
    free(m->fetched_pages);
    free(m->fetched);
}
