/* The page walk (Intel SDM vol. 3A, 4.3 and 4.4).
 *
 * Theory of operation. Entries are read where they lie in guest memory, whenever they are asked for, and nothing is kept. All levels are
 * followed first, and rights are what all of them grant; who may do what with these is the caller's business (mmu.c).
 *
 * Shortcomings. What does not lie in memory, as a table in a device's registers, is not present. The first of three levels is read at
 * each walk, not when CR3 is loaded.
 */
#include <string.h>

#include "core/page_walk.h"
#include "core/reports.h"

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_PS = 0x80 };
enum { CR4_PSE = 1 << 4, EFER_LMA = 1 << 10, EFER_NXE = 1 << 11 };
#define MSR_EFER 0xc0000080u
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS 0x000000fffffff000ull /* Unicorn's CPU has physical addresses of 40 bits */
#define PTE_TOO_HIGH 0x7fffff0000000000ull

/* An entry of 4 or 8 bytes. False: it is not present. */
static bool entry_read(const kc *m, uint64_t at, uint32_t size, uint64_t *entry)
{
    if (at + size > m->memory_end)
        return false;
    memcpy(entry, kc_at(m, at), size);
    return *entry & PTE_P;
}

/* A and D lie in an entry's first four bytes. */
void kc_entry_set(kc *m, uint64_t at, uint64_t *entry, uint32_t bits)
{
    if ((*entry & bits) == bits)
        return;
    *entry |= bits;
    if (kc_is_rom(m, at))
        return;
    memcpy(kc_at(m, at), entry, sizeof(uint32_t));
    kc_on_bits_set(m, at, bits);
}

static void walk_two_levels(kc *m, uint32_t cr3, uint32_t linear, bool large, struct walk *w)
{
    w->directory_at = kc_gated(m, (cr3 & ~PAGE_MASK) + (linear >> 22) * 4);
    if (!entry_read(m, w->directory_at, 4, &w->directory))
        return;
    if ((w->directory & PTE_PS) && large) { /* bits 20 to 13 are bits 39 to 32 of the address (PSE-36) */
        w->physical = (w->directory & 0xffc00000u) | (w->directory & 0x001fe000) << 19 | (linear & 0x003ff000u);
        w->reserved = w->directory & 0x00200000;
        w->table = w->directory;
    } else {
        w->table_at = kc_gated(m, (w->directory & ~(uint64_t)PAGE_MASK) + (linear >> 12 & 0x3ff) * 4);
        if (!entry_read(m, w->table_at, 4, &w->table))
            return;
        w->physical = w->table & ~(uint64_t)PAGE_MASK;
    }
    w->present = true;
}

/* The four entries of the first level have neither rights nor A. A CPU reads them when CR3 is loaded, and refuses reserved
 * bits then (SDM 4.4.1); they are read here when they are used, as by Unicorn's own MMU and QEMU's. */
static void walk_three_levels(kc *m, uint32_t cr3, uint32_t linear, struct walk *w)
{
    uint64_t reserved = PTE_TOO_HIGH | (w->nx ? 0 : PTE_NX), first;

    if (!entry_read(m, kc_gated(m, (cr3 & ~CR3_FLAGS) + (linear >> 30) * 8), 8, &first))
        return;
    w->reserved = first & (PTE_TOO_HIGH | PTE_NX);
    w->directory_at = kc_gated(m, (first & PTE_ADDRESS) + (linear >> 21 & 0x1ff) * 8);
    if (w->reserved || !entry_read(m, w->directory_at, 8, &w->directory))
        return;
    w->reserved = w->directory & reserved;
    if (w->directory & PTE_PS) {
        w->physical = (w->directory & PTE_ADDRESS & ~0x001fffffull) | (linear & 0x001ff000u);
        w->reserved |= (w->directory & 0x001fe000) != 0;
        w->table = w->directory;
    } else {
        if (w->reserved)
            return;
        w->table_at = kc_gated(m, (w->directory & PTE_ADDRESS) + (linear >> 12 & 0x1ff) * 8);
        if (!entry_read(m, w->table_at, 8, &w->table))
            return;
        w->physical = w->table & PTE_ADDRESS;
        w->reserved = w->table & reserved;
    }
    w->no_execute = (w->directory | w->table) & PTE_NX;
    w->present = true;
}

int kc_forbids_execution(kc *m)
{
    uc_x86_msr efer = {.rid = MSR_EFER};

    U.uc_reg_read(m->uc, UC_X86_REG_MSR, &efer);
    return efer.value & EFER_LMA ? -1 : (efer.value & EFER_NXE) != 0;
}

bool kc_walk_tables(kc *m, uint32_t cr3, uint32_t linear, struct walk *w)
{
    uint32_t cr4 = kc_reg(m, UC_X86_REG_CR4);

    *w = (struct walk){.directory_at = KC_NO_ENTRY, .table_at = KC_NO_ENTRY};
    if (cr4 & CR4_PAE) {
        int nx = kc_forbids_execution(m);
        if (nx < 0)
            return false;
        w->nx = nx;
        w->wide = true;
        walk_three_levels(m, cr3, linear, w);
    } else {
        walk_two_levels(m, cr3, linear, cr4 & CR4_PSE, w);
    }
    w->physical = kc_gated(m, w->physical);
    w->writable = w->directory & w->table & PTE_W;
    w->user = w->directory & w->table & PTE_U;
    return true;
}
