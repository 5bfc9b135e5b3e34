/* Life of a machine, its registers, and one run with its budgets. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine.h"

struct unicorn U;
kc_python python;

#define UNICORN_OLDEST 0x02010400u /* 2.1.4: the first whose virtual TLB mode does what mmu.c needs */
#define UNICORN_TOO_NEW 0x02020000u

void kc_set_python(const kc_python *callbacks) { python = *callbacks; }

const char *kc_load(const char *library)
{
    void *unicorn = kc_interpose_load(library);

    if (!unicorn)
        return dlerror();
#define X(name) \
    if (!(U.name = (__typeof__(U.name))dlsym(unicorn, #name))) \
        return "libunicorn has no " #name;
    UNICORN_FUNCTIONS(X)
#undef X
    unsigned version = U.uc_version(NULL, NULL);
    if (version < UNICORN_OLDEST || version >= UNICORN_TOO_NEW)
        return "libunicorn is not of the versions >= 2.1.4, < 2.2";
    return NULL;
}

const char *kc_error_text(int uc_error)
{
    switch (uc_error) {
    case KC_LONG_MODE:
        return "64-bit page tables, which kmemu does not have,";
    case KC_SYSENTER:
        return "sysenter, which kmemu does not have,";
    default:
        return U.uc_strerror((uc_err)uc_error);
    }
}

uint64_t kc_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int kc_hook(kc *m, int type, void *callback, void *data, uint64_t begin, uint64_t end, int instruction)
{
    uc_hook hook;
    return U.uc_hook_add(m->uc, &hook, type, callback, data, begin, end, instruction);
}

void kc_unhook(kc *m, uc_hook hook)
{
    U.uc_hook_del(m->uc, hook);
    kc_flush_code(m);
    kc_flush_tlb(m);
    m->stray_fill = false;
}

void kc_end(kc *m, int reason)
{
    if (m->stop.reason == KC_RUNNING)
        m->stop.reason = reason;
    kc_engine_stop(m);
}

void kc_no_memory(kc *m)
{
    m->no_memory = true;
    kc_end(m, KC_NO_MEMORY);
}

void kc_engine_stop(kc *m)
{
    U.uc_emu_stop(m->uc);
    kc_look_soon(m);
}

void kc_stop_request(kc *m) { kc_end(m, KC_ASKED); }

uint64_t kc_executed(kc *m) { return m->executed; }

void kc_flush_code(kc *m) { U.uc_ctl(m->uc, UC_CTL_WRITE(UC_CTL_TB_FLUSH, 0)); }

/* -- what ends a run from the inside ------------------------------------------------------------ */

static void on_interrupt(uc_engine *uc, uint32_t vector, void *data)
{
    kc *m = data;
    (void)uc;
    if (m->stop.reason == KC_RUNNING) {
        m->stop.vector = vector;
        m->stop.error_code = m->error_code;
    }
    m->error_code = 0;
    kc_end(m, KC_EXCEPTION);
}

static bool on_invalid_instruction(uc_engine *uc, void *data)
{
    kc *m = data;
    (void)uc;
    m->stop.vector = 6; /* #UD */
    kc_end(m, KC_EXCEPTION);
    return true;
}

/* Host time must not reach the guest: its time stamp counter counts its own readings. */
static int on_rdtsc(uc_engine *uc, void *data)
{
    kc *m = data;
    m->time_stamp += TIME_STAMP_STEP;
    uint32_t low = (uint32_t)m->time_stamp, high = (uint32_t)(m->time_stamp >> 32);
    U.uc_reg_write(uc, UC_X86_REG_EAX, &low);
    U.uc_reg_write(uc, UC_X86_REG_EDX, &high);
    return 1; /* the instruction is done */
}

/* -- life ---------------------------------------------------------------------------------------- */

kc *kc_new(uint64_t memory_end, bool reference, void *handle)
{
    kc *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    m->memory_end = memory_end;
    m->reference = reference;
    m->handle = handle;
    m->file = m->pagemap = -1;
    if (U.uc_open(UC_ARCH_X86, UC_MODE_32, &m->uc) || kc_ram_init(m) || kc_mmu_init(m) || kc_ports_init(m) || kc_stacks_init(m)
        || U.uc_context_alloc(m->uc, &m->pristine) || U.uc_context_alloc(m->uc, &m->scratch)
        || U.uc_context_save(m->uc, m->pristine)
        || U.uc_ctl(m->uc, UC_CTL_WRITE(UC_CTL_UC_USE_EXITS, 1), 1) /* no "until" address: any EIP may run */
        || kc_hook(m, UC_HOOK_INTR, on_interrupt, m, 1, 0, 0)
        || kc_hook(m, UC_HOOK_INSN, on_rdtsc, m, 1, 0, UC_X86_INS_RDTSC)
        || kc_hook(m, UC_HOOK_INSN, on_rdtsc, m, 1, 0, UC_X86_INS_RDTSCP)
        || kc_hook(m, UC_HOOK_INSN_INVALID, on_invalid_instruction, m, 1, 0, 0)) {
        kc_delete(m);
        return NULL;
    }
    kc_interpose_find_registers(m);
    if (!kc_segments_find(m)) {
        kc_delete(m);
        return NULL;
    }
    return m;
}

void kc_delete(kc *m)
{
    kc_time_unlimited(m);
    while (m->depth)
        kc_discard(m, m->depth - 1);
    if (m->pristine)
        U.uc_context_free(m->pristine);
    if (m->scratch)
        U.uc_context_free(m->scratch);
    if (m->uc)
        U.uc_close(m->uc);
    kc_probes_free(m);
    kc_calls_free(m);
    kc_stacks_free(m);
    kc_ancestry_free(m);
    kc_watchpoints_free(m);
    kc_step_logs_free(m);
    kc_ports_free(m);
    kc_mmu_free(m);
    kc_watches_free(m);
    kc_ram_free(m);
    free(m->blocks);
    free(m);
}

/* -- registers ----------------------------------------------------------------------------------- */

/* In the order of kc_registers. */
static int register_ids[] = {
    UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX, UC_X86_REG_EBX, UC_X86_REG_ESP, UC_X86_REG_EBP, UC_X86_REG_ESI,
    UC_X86_REG_EDI, UC_X86_REG_EIP, UC_X86_REG_EFLAGS, UC_X86_REG_CR0, UC_X86_REG_CR2, UC_X86_REG_CR3, UC_X86_REG_CR4,
    UC_X86_REG_ES, UC_X86_REG_CS, UC_X86_REG_SS, UC_X86_REG_DS, UC_X86_REG_FS, UC_X86_REG_GS,
};
enum { REGISTERS = sizeof register_ids / sizeof *register_ids, GENERAL = 10 };

void kc_get_registers(kc *m, kc_registers *out)
{
    uc_x86_mmr gdt, idt;
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
    out->gdt_base = (uint32_t)gdt.base, out->gdt_limit = gdt.limit;
    out->idt_base = (uint32_t)idt.base, out->idt_limit = idt.limit;
    for (int segment = ES; segment <= GS; segment++)
        (&out->es_base)[segment] = kc_segment_base(m, (enum segment)segment);
}

void kc_put_registers(kc *m, const kc_registers *in)
{
    const uint32_t *fields = &in->eax;
    void *pointers[GENERAL];

    for (int i = 0; i < GENERAL; i++)
        pointers[i] = (void *)&fields[i];
    U.uc_reg_write_batch(m->uc, register_ids, pointers, GENERAL);
    m->now.reached.identity = 0;
    kc_look_soon(m); /* a running engine goes on at the new EIP */
}

void kc_set_registers(kc *m, const kc_registers *in)
{
    kc_watch_drop_calls(m); /* whoever sets registers leaves the calls that go on, or puts something into them */
    kc_put_registers(m, in);
}

int kc_set_flat(kc *m, uint32_t gdt_base, uint32_t gdt_limit)
{
    static const int data_segments[] = {UC_X86_REG_DS, UC_X86_REG_ES, UC_X86_REG_FS, UC_X86_REG_GS, UC_X86_REG_SS};
    uc_x86_mmr gdt = {.base = gdt_base, .limit = gdt_limit};
    uint32_t code = 0x08, data = 0x10, cr0 = 0x11 /* PE, ET */;
    int error = U.uc_reg_write(m->uc, UC_X86_REG_GDTR, &gdt);

    error |= U.uc_reg_write(m->uc, UC_X86_REG_CR0, &cr0);
    error |= U.uc_reg_write(m->uc, UC_X86_REG_CS, &code);
    for (int i = 0; i < 5; i++)
        error |= U.uc_reg_write(m->uc, data_segments[i], &data);
    return error;
}

/* -- one run ------------------------------------------------------------------------------------- */

static void on_instruction(uc_engine *uc, uint64_t address, uint32_t size, void *data)
{
    kc *m = data;
    (void)uc;
    m->executed++;
    m->last_instruction = (uint32_t)address;
    m->last = (struct last){(uint32_t)address, 0, (uint16_t)size};
}

/* After the last instruction of a budget: was it hlt? */
static bool is_halted(kc *m)
{
    int64_t at = kc_translate(m, m->last_instruction);
    return at >= 0 && (uint64_t)at < m->memory_end && m->memory[at] == 0xf4 &&
           kc_pc(m) == m->last_instruction + 1;
}

static int emulate(kc *m, size_t count)
{
    m->removing_hook |= count != 0; /* from now on: the engine forgets a run's counter in the runs that follow */
    m->emulates = true;
    int error = U.uc_emu_start(m->uc, kc_reg(m, UC_X86_REG_EIP), 0, 0, count);
    m->emulates = false;
    if (m->stray_fill) {
        kc_flush_tlb(m);
        m->stray_fill = false;
    }
    return error;
}

static bool may_run(const kc *m) { return !m->interrupted && !m->timed_out && !m->no_memory; }

/* Run at full speed, to the end or to the first block at which less than a block's worth of the budget is left. */
static int emulate_fast(kc *m)
{
    struct interposed before = kc_interpose(m, !m->reference && !m->stops_exactly);
    m->recount = false;
    int error = emulate(m, 0);

    if (m->recount) { /* nothing was executed yet */
        kc_counting_start(m);
        kc_flush_code(m);
        if (may_run(m))
            error = emulate(m, 0);
    }
    kc_interpose_restore(before);
    return error;
}

/* Run at most `count` instructions, one by one: Unicorn's own counter ends the run, which needs the exit checks that
 * fast code lacks; our hook says how many they were. */
static int emulate_exactly(kc *m, size_t count)
{
    struct interposed before = kc_interpose(m, false);
    uc_hook counter;
    int error = U.uc_hook_add(m->uc, &counter, UC_HOOK_CODE, on_instruction, m, 1, 0);

    m->one_by_one = true;
    m->last.count = 0;
    kc_flush_code(m);
    if (!error)
        error = emulate(m, count);
    U.uc_hook_del(m->uc, counter);
    kc_flush_code(m);
    m->one_by_one = false;
    kc_interpose_restore(before);
    return error;
}

/* Execute one instruction whose probes have been reached before. */
static int step_over_probes(kc *m)
{
    m->probes_off = true;
    int error = emulate_exactly(m, 1);
    m->probes_off = false;
    return error;
}

/* The rest of an instruction at which an event ended the last run: a function's first one may be its `ret`, too. */
static int finish_instruction(kc *m, const struct reached *last)
{
    m->executed++; /* for the time of events: the instruction is counted before its probes are reached */
    kc_probes_after(m, last);
    m->executed--;
    return m->stop.reason == KC_RUNNING ? step_over_probes(m) : 0;
}

/* A run that an event ended: at a function's entry it stays there, at a ret it goes on to the caller. */
static int finish_event(kc *m)
{
    struct last block = m->last;
    int error = 0;

    m->stop.address = kc_pc(m);
    if (m->event_is_exit) {
        m->stop.reason = KC_RUNNING;
        error = step_over_probes(m);
        m->last = block;
        if (!error && m->stop.reason == KC_RUNNING)
            m->stop.reason = KC_EVENT;
    } else {
        m->now.reached = m->event_reached;
    }
    return error;
}

/* A run that a device ended stands at the `out`: go on behind it. (outs stays: it would have to change registers.) */
static void skip_out(kc *m)
{
    uint32_t eip = kc_reg(m, UC_X86_REG_EIP), pc = kc_pc(m);
    uint8_t code;
    int length = 0;

    for (;; length++) {
        int64_t at = kc_translate(m, pc + (uint32_t)length);
        if (at < 0 || (uint64_t)at >= m->memory_end)
            return;
        code = m->memory[at];
        if (code != 0x66) /* operand size prefix */
            break;
    }
    if (code == 0xe6 || code == 0xe7)
        length += 2;
    else if (code == 0xee || code == 0xef)
        length += 1;
    else
        return;
    eip += (uint32_t)length;
    U.uc_reg_write(m->uc, UC_X86_REG_EIP, &eip);
}

/* Unicorn never forgets an exception that it has handed out: the next one would become a double fault. Its note of it is
 * the one word of the CPU's state that was -1 when the CPU was made and is the vector now. */
static void forget_exception(kc *m)
{
    static size_t note_at; /* the same in every CPU */
    size_t size = U.uc_context_size(m->uc);
    uint8_t *now = (uint8_t *)m->scratch;
    const uint8_t *then = (const uint8_t *)m->pristine;
    uint32_t none = UINT32_MAX;

    if (U.uc_context_save(m->uc, m->scratch))
        return;
    for (size_t at = 0; !note_at && at + 4 <= size; at += 4)
        if (memcmp(then + at, &none, 4) == 0 && memcmp(now + at, &m->stop.vector, 4) == 0)
            note_at = at;
    if (note_at) {
        memcpy(now + note_at, &none, 4);
        U.uc_context_restore(m->uc, m->scratch);
    }
}

static void finish(kc *m, int error)
{
    if (m->stop.reason == KC_RUNNING) {
        m->stop.uc_error = error;
        m->stop.reason = error ? KC_FAILED : m->interrupted ? KC_INTERRUPTED : m->timed_out ? KC_TIME : KC_HALTED;
    }
    if (m->no_memory)
        m->stop.reason = KC_NO_MEMORY;
    if (m->stop.reason == KC_INTERRUPTED)
        m->interrupted = 0;
    if (m->in_out)
        skip_out(m);
    if (m->stop.reason == KC_EXCEPTION)
        forget_exception(m);
    m->stop.eip = kc_reg(m, UC_X86_REG_EIP);
    m->stop.pc = kc_pc(m);
    bool faulted = m->stop.reason == KC_EXCEPTION || m->stop.reason == KC_UNMAPPED;
    if (faulted && m->executed && !m->last.count && m->stop.pc == m->last_instruction)
        m->executed--; /* on_instruction() comes before the instruction */
}

static int run_guest(kc *m, uint64_t max_instructions)
{
    struct reached last = m->now.reached;
    bool stepped = last.identity && last.address == kc_pc(m);
    m->now.reached.identity = 0;
    m->now.at_allocation = false;
    int error = stepped ? finish_instruction(m, &last) : 0;
    m->inside_block = stepped && kc_pc(m) == m->last.pc + m->last.size;
    if (error || !may_run(m) || m->stop.reason != KC_RUNNING || (stepped && is_halted(m)))
        ; /* that instruction was the last one */
    else if (!max_instructions || max_instructions > 2 * TAIL)
        error = emulate_fast(m);
    else
        m->stop.reason = KC_INSTRUCTIONS;
    if (m->stop.reason == KC_INSTRUCTIONS) {
        m->stop.reason = KC_RUNNING;
        error = emulate_exactly(m, max_instructions - m->executed);
        if (!error && m->stop.reason == KC_RUNNING && m->executed == max_instructions && !is_halted(m))
            m->stop.reason = KC_INSTRUCTIONS;
    }
    return m->stop.reason == KC_EVENT ? finish_event(m) : error;
}

void kc_interruption_taken(kc *m) { m->interrupted = 0; }

void kc_run(kc *m, uint64_t max_instructions, uint64_t slice, kc_stop *out)
{
    unsigned taken = kc_signals_take();

    memset(&m->stop, 0, sizeof m->stop);
    m->in_out = false;
    m->executed = 0;
    m->last.count = 0;
    m->budget = max_instructions ? max_instructions : UINT64_MAX;
    m->slice = slice ? slice : UINT64_MAX;
    kc_counting_start(m);
    kc_look_soon(m);
    kc_run_mark(m, true);
    int error = may_run(m) ? run_guest(m, max_instructions) : 0;
    kc_run_mark(m, false);
    kc_signals_give_back(taken);
    finish(m, error);
    m->stop.instructions = m->executed;
    m->stop.block = m->last.pc;
    m->stop.block_size = m->last.size;
    m->stop.block_instructions = m->last.count;
    kc_console_flush(m);
    m->executed = 0;
    *out = m->stop;
}
