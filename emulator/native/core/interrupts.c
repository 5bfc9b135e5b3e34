/* Entering the guest's handlers through its IDT (Intel SDM vol. 3A, 6.12). Unicorn delivers nothing by itself. */
#include <stdlib.h>
#include <string.h>

#include "core/interrupts.h"
#include "core/mmu.h"
#include "core/registers.h"
#include "core/reports.h"
#include "unicorn/counting.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"

struct interrupts {
    bool pending; /* a device asks for one */
};

enum { GATE_PRESENT = 0x80, GATE_TYPE = 0x1f, GATE_INTERRUPT = 0x0e, GATE_TRAP = 0x0f };
enum { GATE_TASK = 0x05, GATE_INTERRUPT_16 = 0x06, GATE_TRAP_16 = 0x07 };
enum { LOCAL = 4, SEGMENT_KIND = 0xf8, CODE_OF_RING_0 = 0x98, CR0_PE = 1 };
enum { DOUBLE_FAULT = 8, NOT_PRESENT = 11, GENERAL_PROTECTION = 13, PAGE_FAULT = 14 };
enum { ERROR_EXTERNAL = 1, ERROR_IN_IDT = 2 }; /* SDM vol. 3A, 6.13 */
enum { FLAG_TF = 1 << 8, FLAG_IF = 1 << 9, FLAG_NT = 1 << 14, FLAG_RF = 1 << 16, FLAG_VM = 1 << 17 };

/* Where the host has a guest word for the CPU's own access, or NULL after a fault. Words of a stack are aligned. */
static uint8_t *host_word(kc *m, uint32_t linear, bool write)
{
    int64_t at = kc_reach(m, linear, write);
    return at < 0 || (uint64_t)at + 4 > m->memory_end ? NULL : kc_at(m, (uint64_t)at);
}

static bool push(kc *m, uint32_t *esp, uint32_t value)
{
    uint8_t *at = host_word(m, kc_segment_base(m, SS) + *esp - 4, true);

    if (!at)
        return false;
    memcpy(at, &value, sizeof value);
    *esp -= 4;
    return true;
}

/* Virtual 8086 mode is ring 3, whatever its CS holds (SDM vol. 3B, 21.2). */
uint32_t kc_ring(kc *m) { return kc_reg(m, UC_X86_REG_EFLAGS) & FLAG_VM ? 3 : kc_reg(m, UC_X86_REG_CS) & 3; }

/* Does a selector name a code segment of ring 0 that is present? Those of an LDT are left to the engine. */
static bool names_code(kc *m, const kc_registers *r, uint32_t selector)
{
    uint32_t at = selector & ~7u, high;
    const uint8_t *descriptor;

    if (selector & LOCAL)
        return true;
    if (!at || at + 7 > r->gdt_limit || !(descriptor = host_word(m, r->gdt_base + at + 4, false)))
        return false;
    memcpy(&high, descriptor, sizeof high);
    return (high >> 8 & SEGMENT_KIND) == CODE_OF_RING_0;
}

/* Find the gate of a vector. Returns KC_ENTERED if an interrupt may go through it; else why not, and what a CPU raises. */
static int find_gate(kc *m, const kc_registers *r, uint32_t vector, int kind, uint32_t gate[2], kc_fault *next)
{
    uint32_t at = r->idt_base + vector * 8;

    *next = (kc_fault){GENERAL_PROTECTION, vector * 8 + ERROR_IN_IDT + (kind == KC_SOFTWARE ? 0 : ERROR_EXTERNAL)};
    if (!(r->cr0 & CR0_PE))
        return KC_REAL_MODE;
    if (vector * 8 + 7 > r->idt_limit)
        return r->idt_limit ? KC_IDT_ENDS : KC_NO_GATE;
    for (int i = 0; i < 2; i++) {
        const uint8_t *word = host_word(m, at + 4 * (uint32_t)i, false);
        if (!word && kc_paging(m)) {
            *next = (kc_fault){PAGE_FAULT, 0};
            kc_set_cr2(m, at + 4 * (uint32_t)i);
        }
        if (!word)
            return KC_IDT_LOST;
        memcpy(&gate[i], word, sizeof gate[i]);
    }
    uint32_t access = gate[1] >> 8 & 0xff, type = access & GATE_TYPE;
    bool is_other = type == GATE_TASK || type == GATE_INTERRUPT_16 || type == GATE_TRAP_16;
    if (!gate[0] && !gate[1])
        return KC_NO_GATE;
    if (type != GATE_INTERRUPT && type != GATE_TRAP && !is_other)
        return KC_WRONG_GATE;
    if (kind == KC_SOFTWARE && (access >> 5 & 3) < kc_ring(m))
        return KC_NO_RIGHT;
    if (!(access & GATE_PRESENT)) {
        next->vector = NOT_PRESENT;
        return KC_GATE_OFF;
    }
    if (is_other)
        return KC_OTHER_GATE;
    if (!names_code(m, r, gate[0] >> 16)) {
        next->error_code = (gate[0] >> 16 & ~3u) | (next->error_code & ERROR_EXTERNAL);
        return KC_NO_CODE;
    }
    if (r->eflags & FLAG_VM)
        return KC_V86;
    return kc_ring(m) ? KC_OTHER_RING : KC_ENTERED; /* another ring would need the stack of the TSS */
}

int kc_deliver(kc *m, uint32_t vector, int kind, bool has_error_code, uint32_t error_code, kc_fault *next)
{
    kc_registers r;
    uint32_t gate[2];

    kc_get_registers(m, &r);
    kc_paging_read(m);
    int found = find_gate(m, &r, vector, kind, gate, next);
    if (found != KC_ENTERED)
        return found;

    uint32_t esp = r.esp, eip = r.eip;
    if (!push(m, &esp, r.eflags) || !push(m, &esp, r.cs) || !push(m, &esp, r.eip) ||
        (has_error_code && !push(m, &esp, error_code))) {
        *next = (kc_fault){DOUBLE_FAULT, 0}; /* whatever is raised: it would have to be pushed there, too */
        return KC_NO_STACK;
    }
    r.esp = esp;
    r.eip = (gate[0] & 0xffff) | (gate[1] & 0xffff0000u);
    r.eflags &= ~(uint32_t)(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM);
    if ((gate[1] >> 8 & GATE_TYPE) == GATE_INTERRUPT)
        r.eflags &= ~(uint32_t)FLAG_IF;
    /* The descriptor may be another than when the segment was loaded: kernels give up a base so. */
    uint32_t selector = gate[0] >> 16;
    if ((selector != r.cs || r.cs_base) && U.uc_reg_write(m->uc, UC_X86_REG_CS, &selector))
        return KC_NO_CODE;
    kc_on_interrupt(m, has_error_code ? esp + 4 : esp, eip, r.eip);
    kc_put_registers(m, &r);
    return KC_ENTERED;
}

void kc_set_cr2(kc *m, uint32_t address) { U.uc_reg_write(m->uc, UC_X86_REG_CR2, &address); }

void kc_irq_pending(kc *m, bool pending)
{
    m->interrupts->pending = pending;
    kc_look_soon(m);
}

bool kc_irq_waits(const kc *m) { return m->interrupts->pending; }

bool kc_irq_may_come(kc *m) { return !kc_sees_flags(m) || (kc_reg(m, UC_X86_REG_EFLAGS) & FLAG_IF); }

bool kc_irq_possible(kc *m) { return kc_irq_possible_at(m, kc_pc(m)); }

bool kc_irq_possible_at(kc *m, uint32_t pc)
{
    static const uint8_t sti = 0xfb;

    /* In the middle of a watched call an interrupt waits: what its handler writes is not the call's. */
    if (kc_interrupts_wait(m, kc_esp(m)) || !(kc_reg(m, UC_X86_REG_EFLAGS) & FLAG_IF))
        return false;
    /* sti takes effect after the next instruction (SDM vol. 2B, STI), so that `sti; hlt` loses no interrupt. */
    int64_t at = kc_translate(m, pc - 1);
    struct last last = kc_last_block(m);
    return pc != last.pc + last.size || at < 0 || (uint64_t)at >= m->memory_end || *kc_at(m, (uint64_t)at) != sti;
}

int kc_interrupts_init(kc *m) { return KC_NEW(m->interrupts); }

void kc_interrupts_free(kc *m) { free(m->interrupts); }
