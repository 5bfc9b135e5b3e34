/* Null accesses: instructions of the kernel that read, write or execute page zero, linear addresses 0 to 0xfff.
 *
 * Theory of operation. The engine's TLB holds page zero as watched, so that its loads and stores, and those of no other page, are told
 * before they are made. Blocks of code there are noticed when they are translated. What is told is looked up by instruction, kind of
 * access and call stack; a new one is kept with the registers, by which Python judges whether a pointer led there.
 *
 * Not the kernel's instructions are ring 3, what the CPU reads and writes by itself (descriptors, an interrupt's frame), and code of
 * real mode and virtual-8086 mode, which has vectors and the BIOS's data there; that there was some is noted. Neither is a page for
 * users that lies in another frame: it belongs to a program.
 *
 * Shortcomings. Code in page zero is noticed once for each block, not each time. The first KC_NULL_LOOKS accesses are looked at, and of
 * different ones the first KC_NULL_ACCESSES are kept; whether there were more is known.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mmu.h"
#include "core/reports.h"
#include "core/run.h"
#include "core/windows.h"
#include "observe/null_accesses.h"
#include "record/calls.h"
#include "record/stack_numbers.h"
#include "unicorn/counting.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"

enum { REAL_VECTORS_LIMIT = 0x3ff };

struct null_accesses {
    uint32_t open;
    struct seen {
        kc_page_zero summary;
        kc_null_access kept[KC_NULL_ACCESSES];
    } seen;
};

static bool is_open(const kc *m) { return m->null_accesses && m->null_accesses->open; }

bool kc_guards(const kc *m, uint64_t address) { return address < PAGE_SIZE && is_open(m); }

static bool is_in_page_zero(uint32_t base) { return base < PAGE_SIZE; }

/* Has the kernel put there what the CPU goes by? After a reset the bases are 0, too. */
static bool has_tables(kc *m, const kc_registers *r)
{
    bool vectors = is_in_page_zero(r->idt_base) && !(r->idt_base == 0 && r->idt_limit == REAL_VECTORS_LIMIT);
    bool segments = is_in_page_zero(r->gdt_base) || (r->ldtr && is_in_page_zero(r->ldt_base)) || (r->tr && is_in_page_zero(r->tr_base));
    bool pages = kc_translate(m, 0) == (int64_t)(r->cr3 & ~PAGE_MASK) && kc_paging(m);

    return vectors || segments || pages;
}

static bool is_of_program(kc *m)
{
    struct kc_translation zero;

    return kc_translate(m, 0) > 0 && kc_paging(m) && kc_walk(m, 0, UC_MEM_READ, false, &zero) && zero.for_users;
}

static kc_null_access *find(struct seen *seen, uint32_t pc, uint32_t stack, uint32_t access)
{
    for (uint32_t i = 0; i < seen->summary.kept; i++) {
        kc_null_access *each = &seen->kept[i];
        if (each->registers.cs_base + each->registers.eip == pc && each->stack == stack && each->access == access)
            return each;
    }
    return NULL;
}

static void keep(kc *m, const kc_null_access *access)
{
    struct seen *seen = &m->null_accesses->seen;

    if (seen->summary.kept == KC_NULL_ACCESSES) {
        seen->summary.missed = true;
        return;
    }
    kc_null_access *kept = &seen->kept[seen->summary.kept++];
    *kept = *access;
    kc_get_registers(m, &kept->registers);
    seen->summary.has_tables |= has_tables(m, &kept->registers);
}

/* Where EIP is exact; the registers are left out. */
static kc_null_access access_here(kc *m, uint32_t linear, uint32_t size, uint32_t access)
{
    return (kc_null_access){
        .linear = linear, .size = size, .access = access, .event = kc_events(m),
        .stack = kc_stack_of_other(m, kc_stack_at(m, kc_reg(m, UC_X86_REG_EIP))),
        .count = 1, .last_ns = kc_clock_at(m, kc_count_here(m)),
    };
}

static void note(kc *m, uint32_t linear, uint32_t size, uint32_t access)
{
    kc_null_access here = access_here(m, linear, size, access);
    kc_null_access *known = find(&m->null_accesses->seen, kc_pc(m), here.stack, access);

    if (known) {
        known->count += known->last_ns != here.last_ns;
        known->last_ns = here.last_ns;
    } else if (!is_of_program(m))
        keep(m, &here);
}

/* Is it an instruction of the kernel's, in protected mode? */
static bool is_of_kernel(kc *m)
{
    kc_page_zero *summary = &m->null_accesses->seen.summary;

    if (kc_modes(m) & KC_PROTECTED && !(kc_modes(m) & KC_VIRTUAL_8086))
        return kc_ring(m) != 3;
    summary->old_modes = true;
    summary->old_modes_event = kc_events(m);
    return false;
}

static bool may_look(kc *m)
{
    kc_page_zero *summary = &m->null_accesses->seen.summary;

    if (summary->looks++ == KC_NULL_LOOKS)
        summary->missed = true;
    return !summary->missed;
}

void kc_on_guarded_access(kc *m, uint32_t linear, uint32_t size, bool write, uintptr_t host_pc)
{
    if (!is_of_kernel(m) || !host_pc || !may_look(m)) /* without a place in translated code it is the CPU's own */
        return;
    kc_restore_eip(m, host_pc);
    note(m, linear, size, write ? KC_WRITE : KC_READ);
}

void kc_on_guarded_code(kc *m, uint32_t linear)
{
    if (is_of_kernel(m) && may_look(m))
        note(m, linear, 1, KC_FETCH);
}

void kc_on_guarded_fault(kc *m, uc_mem_type type)
{
    kc_null_access *fault = &m->null_accesses->seen.summary.fault;
    uintptr_t host_pc;
    uint32_t linear = kc_missed(m, &host_pc);

    if (!is_of_kernel(m) || (!host_pc && type != UC_MEM_FETCH))
        return;
    if (host_pc)
        kc_restore_eip(m, host_pc);
    *fault = access_here(m, linear, 1, type == UC_MEM_WRITE ? KC_WRITE : type == UC_MEM_FETCH ? KC_FETCH : KC_READ);
    kc_get_registers(m, &fault->registers);
}

/* -- for Python ---------------------------------------------------------------------------------- */

void kc_null_open(kc *m)
{
    if (m->null_accesses->open++)
        return;
    kc_fill_again(m); /* with page zero as watched */
    kc_windows_forget_page(m, 0);
}

void kc_null_close(kc *m)
{
    if (!--m->null_accesses->open)
        kc_fill_again(m);
}

const kc_null_access *kc_null_accesses(const kc *m, kc_page_zero *summary)
{
    *summary = m->null_accesses->seen.summary;
    return m->null_accesses->seen.kept;
}

/* -- life, snapshots ----------------------------------------------------------------------------- */

int kc_null_accesses_init(kc *m) { return KC_NEW(m->null_accesses); }

void kc_null_accesses_free(kc *m) { free(m->null_accesses); }

static size_t size_of(const struct seen *seen) { return offsetof(struct seen, kept) + seen->summary.kept * sizeof *seen->kept; }

int kc_null_accesses_save(kc *m, void **out)
{
    const struct seen *seen = &m->null_accesses->seen;

    return (*out = malloc(size_of(seen))) ? (memcpy(*out, seen, size_of(seen)), 0) : -1;
}

int kc_null_accesses_restore(kc *m, const void *saved)
{
    memcpy(&m->null_accesses->seen, saved, size_of(saved));
    return 0;
}
