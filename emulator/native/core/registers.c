/* The CPU's registers, for Python. */
#include <string.h>

#include "core/interrupts.h"
#include "core/reports.h"
#include "core/windows.h"
#include "unicorn/counting.h"
#include "unicorn/state.h"

/* In the order of kc_registers. */
static int register_ids[] = {
    UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX, UC_X86_REG_EBX, UC_X86_REG_ESP, UC_X86_REG_EBP, UC_X86_REG_ESI,
    UC_X86_REG_EDI, UC_X86_REG_EIP, UC_X86_REG_EFLAGS, UC_X86_REG_CR0, UC_X86_REG_CR2, UC_X86_REG_CR3, UC_X86_REG_CR4,
    UC_X86_REG_ES, UC_X86_REG_CS, UC_X86_REG_SS, UC_X86_REG_DS, UC_X86_REG_FS, UC_X86_REG_GS,
};
enum { REGISTERS = sizeof register_ids / sizeof *register_ids, GENERAL = 10, BEFORE_EIP = 8 };

void kc_get_registers(kc *m, kc_registers *out)
{
    uc_x86_mmr gdt, idt, ldt, task;
    uint64_t values[REGISTERS] = {0};
    void *pointers[REGISTERS];
    uint32_t *fields = &out->eax;

    for (int i = 0; i < REGISTERS; i++)
        pointers[i] = &values[i];
    U.uc_reg_read_batch(m->uc, register_ids, pointers, REGISTERS);
    for (int i = 0; i < REGISTERS; i++)
        fields[i] = (uint32_t)values[i];
    U.uc_reg_read(m->uc, UC_X86_REG_GDTR, &gdt);
    U.uc_reg_read(m->uc, UC_X86_REG_IDTR, &idt);
    U.uc_reg_read(m->uc, UC_X86_REG_LDTR, &ldt);
    U.uc_reg_read(m->uc, UC_X86_REG_TR, &task);
    out->ldtr = ldt.selector, out->ldt_base = (uint32_t)ldt.base, out->ldt_limit = ldt.limit;
    out->tr = task.selector, out->tr_base = (uint32_t)task.base, out->tr_limit = task.limit;
    out->gdt_base = (uint32_t)gdt.base, out->gdt_limit = gdt.limit;
    out->idt_base = (uint32_t)idt.base, out->idt_limit = idt.limit;
    for (int segment = ES; segment <= GS; segment++)
        (&out->es_base)[segment] = kc_segment_base(m, (enum segment)segment);
}

void kc_get_fpu(kc *m, kc_fpu *out)
{
    static int words[] = {UC_X86_REG_FPCW, UC_X86_REG_FPSW, UC_X86_REG_FPTAG, UC_X86_REG_FCS, UC_X86_REG_FIP,
                          UC_X86_REG_FDS,  UC_X86_REG_FDP,  UC_X86_REG_FOP,   UC_X86_REG_MXCSR};
    enum { WORDS = sizeof words / sizeof *words, TOP_AT = 11, SLOTS = 8 };
    uint32_t *fields = &out->control;

    memset(out, 0, sizeof *out);
    for (int i = 0; i < WORDS; i++) {
        uint64_t value = 0; /* some are read in 16 bits, some in 64 */
        U.uc_reg_read(m->uc, words[i], &value);
        fields[i] = (uint32_t)value;
    }
    for (int i = 0; i < SLOTS; i++) {
        int slot = ((int)(out->status >> TOP_AT) + i) & (SLOTS - 1);
        U.uc_reg_read(m->uc, UC_X86_REG_FP0 + slot, out->stack[i]);
        U.uc_reg_read(m->uc, UC_X86_REG_XMM0 + i, out->xmm[i]);
    }
}

void kc_set_registers(kc *m, const kc_registers *in)
{
    const uint32_t *fields = &in->eax;
    void *pointers[GENERAL];

    kc_on_registers_replaced(m);
    kc_on_registers_set(m); /* whoever sets registers leaves the calls that go on, or puts something into them */
    for (int i = 0; i < GENERAL; i++)
        pointers[i] = (void *)&fields[i];
    U.uc_reg_write_batch(m->uc, register_ids, pointers, GENERAL);
    kc_leave_event(m);
    kc_look_soon(m); /* a running engine goes on at the new EIP */
}

int64_t kc_call_enter(kc *m, uint32_t function, const uint32_t *arguments, uint32_t count, uint64_t end, kc_registers *before)
{
    enum { ARGUMENTS_MAX = 16 };
    uint32_t *fields = &before->eax, words[1 + ARGUMENTS_MAX], size = 4 * (count + 1);
    void *pointers[GENERAL];
    kc_registers inside;

    for (int i = 0; i < GENERAL; i++)
        pointers[i] = &fields[i];
    if (count > ARGUMENTS_MAX || !kc_halt_end_at(m, end, &words[0]))
        return -1;
    memset(before, 0, sizeof *before);
    U.uc_reg_read_batch(m->uc, register_ids, pointers, GENERAL);
    inside = *before;
    inside.esp -= size;
    inside.eip = function;
    uint32_t linear = kc_segment_base(m, SS) + inside.esp;
    int64_t at = kc_translate(m, linear);
    if (at < 0 || (linear & PAGE_MASK) + size > PAGE_SIZE || (uint64_t)at + size > m->memory_end)
        return -1;
    memcpy(words + 1, arguments, count * sizeof *arguments);
    memcpy(kc_at(m, (uint64_t)at), words, size);
    kc_set_registers(m, &inside);
    return words[0];
}

uint32_t kc_call_leave(kc *m, const kc_registers *before)
{
    uint32_t eax = kc_eax(m);

    kc_set_registers(m, before);
    return eax;
}

/* The engine stands at an exception, where registers are exact, and it goes on wherever EIP is. */
void kc_bios_return(kc *m, const kc_registers *in)
{
    const uint32_t *fields = &in->eax;

    kc_on_registers_replaced(m);
    for (int i = 0; i < BEFORE_EIP; i++)
        U.uc_reg_write(m->uc, register_ids[i], &fields[i]);
    kc_set_eip(m, in->eip);
}

void kc_bios_load_es(kc *m, uint32_t segment) { U.uc_reg_write(m->uc, UC_X86_REG_ES, &segment); }

int kc_set_flat(kc *m, uint32_t gdt_base, uint32_t gdt_limit)
{
    static const int data_segments[] = {UC_X86_REG_DS, UC_X86_REG_ES, UC_X86_REG_FS, UC_X86_REG_GS, UC_X86_REG_SS};
    uc_x86_mmr gdt = {.base = gdt_base, .limit = gdt_limit}, idt = {.limit = 0x3ff}; /* still that of real mode */
    uc_x86_mmr ldt = {.limit = 0xffff, .flags = 0x8200}; /* as after a reset (SDM vol. 3A, table 9-1) */
    uint32_t code = 0x08, data = 0x10, cr0 = 0x11 /* PE, ET */, cr4 = 0; /* Unicorn's has SSE on */
    uint32_t control = 0x37f, empty = 0xffff, mxcsr = 0x1f80; /* as FNINIT and a reset leave them; Unicorn's are 0: no exception is masked */
    int error = U.uc_reg_write(m->uc, UC_X86_REG_GDTR, &gdt);

    kc_windows_forget(m);
    error |= U.uc_reg_write(m->uc, UC_X86_REG_IDTR, &idt);
    error |= U.uc_reg_write(m->uc, UC_X86_REG_LDTR, &ldt);
    error |= U.uc_reg_write(m->uc, UC_X86_REG_CR0, &cr0);
    error |= U.uc_reg_write(m->uc, UC_X86_REG_CR4, &cr4);
    error |= U.uc_reg_write(m->uc, UC_X86_REG_FPCW, &control);
    error |= U.uc_reg_write(m->uc, UC_X86_REG_FPTAG, &empty);
    error |= U.uc_reg_write(m->uc, UC_X86_REG_MXCSR, &mxcsr);
    error |= U.uc_reg_write(m->uc, UC_X86_REG_CS, &code);
    for (int i = 0; i < 5; i++)
        error |= U.uc_reg_write(m->uc, data_segments[i], &data);
    return error;
}
