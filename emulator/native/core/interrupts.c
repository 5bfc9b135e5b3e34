/* Interrupts and exceptions: when the guest takes one, and what became of it.
 *
 * The engine enters the guest's handlers (unicorn/delivery.c), through gates, with the stack of a TSS, or by a task switch. What it
 * raises while it does so comes here again. Where that ends in a triple fault, the attempts say what was tried.
 */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/interrupts.h"
#include "core/mmu.h"
#include "core/pic.h"
#include "core/reports.h"
#include "unicorn/counting.h"
#include "unicorn/delivery.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"

enum { INVALID_OPCODE = 6, DOUBLE_FAULT = 8, INVALID_TSS = 10, PAGE_FAULT = 14 };
enum { FLAG_IF = 1 << 9 };
enum { FAULT_WRITE = 2, FAULT_FETCH = 0x10 };                     /* of a page fault's error code */
enum { TSS_TYPE = 7, TSS_AVAILABLE = 1, DESCRIPTOR_PRESENT = 0x80 }; /* of the task register's descriptor, from its bit 8 on */
enum { ENDS_MAX = 4, VECTOR_SIZE_REAL = 4 };
#define WITH_ERROR_CODE (1u << 8 | 0xfu << 10 | 1u << 14 | 1u << 17) /* SDM vol. 3A, table 6-1 */

struct interrupts {
    kc_fault last_fault; /* kept by snapshots */
    kc_attempt attempts[KC_ATTEMPTS];
    uint32_t attempt_count;
    bool is_software, is_external; /* what the engine hands out next is an `int n`, or from a device */
    uint32_t length;               /* of that instruction */
    uint32_t error_code;           /* of the exception that is raised now */
    bool enters, raises;           /* a handler is entered; an exception is raised meanwhile */
    uint32_t ends[ENDS_MAX], end_count; /* EIP at which hlt ends a run */
};

/* -- what the engine reports --------------------------------------------------------------------- */

void kc_on_error_code(kc *m, uint32_t error_code)
{
    m->interrupts->error_code = error_code;
    m->interrupts->raises = true;
}

void kc_on_software_interrupt(kc *m, uint32_t length)
{
    m->interrupts->is_software = true;
    m->interrupts->length = length;
}

/* -- exceptions ---------------------------------------------------------------------------------- */

static bool has_error_code(const kc_attempt *attempt)
{
    return attempt->kind == KC_FAULT && attempt->vector < 32 && (WITH_ERROR_CODE >> attempt->vector & 1);
}

/* The engine would end the process at a task register that was never loaded, where it needs one. */
static bool has_task(kc *m)
{
    uc_x86_mmr task;

    if (!kc_ring(m))
        return true;
    U.uc_reg_read(m->uc, UC_X86_REG_TR, &task);
    return (task.flags >> 8 & DESCRIPTOR_PRESENT) && (task.flags >> 8 & TSS_TYPE) == TSS_AVAILABLE;
}

/* In real mode a vector that nobody has set leads into the table itself: the guest would be lost without a word. */
static bool has_vector(kc *m, uint32_t vector)
{
    uc_x86_mmr table;
    uint32_t handler;

    if (kc_modes(m) & KC_PROTECTED)
        return true;
    U.uc_reg_read(m->uc, UC_X86_REG_IDTR, &table);
    kc_words(m, (uint32_t)table.base + vector * VECTOR_SIZE_REAL, &handler, 1);
    return handler != 0;
}

/* What the engine hands out, as an attempt to deliver it. */
static kc_attempt *next_attempt(kc *m, uint32_t vector)
{
    struct interrupts *i = m->interrupts;
    kc_attempt *attempt = &i->attempts[i->attempt_count < KC_ATTEMPTS ? i->attempt_count++ : KC_ATTEMPTS - 1];

    *attempt = (kc_attempt){vector, i->is_external ? KC_EXTERNAL : i->is_software ? KC_SOFTWARE : KC_FAULT, 0, 0, 0, 0};
    if (attempt->kind != KC_FAULT)
        attempt->length = i->length;
    if (has_error_code(attempt))
        attempt->error_code = i->error_code;
    if (attempt->kind == KC_FAULT && vector == PAGE_FAULT) {
        attempt->address = kc_reg(m, UC_X86_REG_CR2);
        bool fetches = (attempt->error_code & FAULT_FETCH) || attempt->address == kc_pc(m);
        attempt->access = fetches ? KC_FETCH : attempt->error_code & FAULT_WRITE ? KC_WRITE : KC_READ;
    }
    i->is_external = i->is_software = false;
    i->length = i->error_code = 0;
    return attempt;
}

/* An undefined instruction in ROM, which no `int 6` is, calls the BIOS. */
static bool calls_bios(kc *m, uint32_t vector)
{
    if (vector != INVALID_OPCODE || m->interrupts->is_software || m->interrupts->is_external)
        return false;
    int64_t at = kc_translate(m, kc_pc(m));
    return at >= 0 && kc_is_rom_code(m, (uint64_t)at);
}

/* The handler was entered: its frame is on the stack, unless it is a task's, or one of 16 bits. */
static void entered(kc *m, const kc_attempt *attempt, uint32_t cs, uint32_t eip)
{
    struct interrupts *i = m->interrupts;
    uint32_t at = kc_esp(m) + (has_error_code(attempt) ? 4 : 0), frame[2];

    kc_stack_words(m, at, frame, 2);
    if (frame[0] == eip && (frame[1] & 0xffff) == cs)
        kc_on_interrupt(m, at, eip, cs, kc_reg(m, UC_X86_REG_EIP));
    kc_note_handler(m, attempt->kind == KC_FAULT);
    if (attempt->kind == KC_FAULT)
        i->last_fault = (kc_fault){true, attempt->vector, eip, at};
    i->attempt_count = 0;
    i->enters = false;
    kc_look_soon(m); /* a task's flags may let an interrupt in */
}

void kc_take_exception(kc *m, uint32_t vector, bool has_advanced)
{
    bool is_lost = m->interrupts->enters && !m->interrupts->raises; /* the same again: its handler's memory is not there */

    m->interrupts->enters = false;
    if (!kc_run_goes_on(m) || is_lost) {
        kc_engine_stop(m);
        return;
    }
    if (calls_bios(m, vector)) { /* which counts as an instruction */
        python.bios(m->handle);
        return;
    }
    bool is_first = !m->interrupts->attempt_count;
    const kc_attempt *attempt = next_attempt(m, vector);
    uint32_t eip = kc_reg(m, UC_X86_REG_EIP), cs = kc_reg(m, UC_X86_REG_CS);

    if (attempt->kind == KC_FAULT && is_first)
        kc_count_up_to(m, kc_pc(m), vector == PAGE_FAULT && attempt->access == KC_FETCH);
    if (attempt->kind == KC_SOFTWARE && has_advanced)
        kc_set_eip(m, eip -= attempt->length); /* where an exception that it raises points to */
    if (attempt->kind == KC_EXTERNAL && !has_advanced)
        kc_set_eip(m, eip += attempt->length);
    if (!has_task(m) || !has_vector(m, vector)) {
        kc_end(m, KC_EXCEPTION);
        return;
    }
    kc_attempt tried = *attempt; /* the next one may take its place */
    m->interrupts->enters = true;
    m->interrupts->raises = false;
    if (tried.kind == KC_FAULT) {
        kc_on_undone(m);
        kc_on_exception(m, kc_esp(m));
    }
    if (tried.kind == KC_EXTERNAL)
        kc_enter_handler_of_device(m, vector);
    else
        kc_enter_handler(m);
    entered(m, &tried, cs, tried.kind == KC_SOFTWARE ? eip + tried.length : eip);
}

void kc_interrupts_start(kc *m)
{
    struct interrupts *i = m->interrupts;

    i->attempt_count = i->length = i->error_code = 0;
    i->is_external = i->is_software = i->enters = i->raises = false;
}

bool kc_has_failed(const kc *m) { return m->interrupts->attempt_count; }

bool kc_is_undelivered(kc *m, kc_stop *stop)
{
    const struct interrupts *i = m->interrupts;
    const kc_attempt *first = i->attempts, *last;
    uint32_t after;

    if (!i->attempt_count)
        return false;
    last = &i->attempts[i->attempt_count - 1];
    stop->vector = first->vector;
    stop->error_code = first->error_code;
    stop->address = stop->linear = first->address;
    stop->access = first->access;
    if (first->kind == KC_SOFTWARE) {
        after = kc_reg(m, UC_X86_REG_EIP) + first->length;
        U.uc_reg_write(m->uc, UC_X86_REG_EIP, &after);
    }
    if (last->vector == 0 || last->vector == DOUBLE_FAULT || (last->vector >= INVALID_TSS && last->vector <= PAGE_FAULT))
        kc_forget_exception(m, last->vector);
    return true;
}

uint32_t kc_undelivered(const kc *m, const kc_attempt **attempts)
{
    *attempts = m->interrupts->attempts;
    return m->interrupts->attempt_count;
}

void kc_last_fault(const kc *m, kc_fault *out) { *out = m->interrupts->last_fault; }

/* -- interrupts of devices ----------------------------------------------------------------------- */

void kc_irq_changed(kc *m) { kc_look_soon(m); }

bool kc_irq_may_come(kc *m)
{
    return !kc_sees_flags(m) || kc_nmi_waits(m) || (kc_reg(m, UC_X86_REG_EFLAGS) & FLAG_IF);
}

bool kc_irq_possible(kc *m)
{
    /* In the middle of a watched call an interrupt waits: what its handler writes is not the call's. After sti it waits for the next
     * instruction to be executed (SDM vol. 2B, STI), so that `sti; hlt` loses none. */
    bool open = (kc_reg(m, UC_X86_REG_EFLAGS) & FLAG_IF) && !(kc_modes(m) & KC_SHADOW);

    return !kc_interrupts_wait(m, kc_esp(m)) && (open || kc_nmi_waits(m));
}

void kc_irq_take(kc *m) { kc_leave_for_interrupt(m); }

uint32_t kc_on_interrupt_taken(kc *m)
{
    m->interrupts->is_external = true;
    m->interrupts->length = 0;
    return kc_irq_acknowledge(m);
}

/* -- hlt ----------------------------------------------------------------------------------------- */

bool kc_ends_at(const kc *m, uint32_t eip)
{
    for (uint32_t i = 0; i < m->interrupts->end_count; i++)
        if (m->interrupts->ends[i] == eip)
            return true;
    return false;
}

int kc_on_halt(kc *m, uint32_t length)
{
    bool sleeps = !kc_nmi_waits(m) && !(kc_reg(m, UC_X86_REG_EFLAGS) & FLAG_IF); /* for ever */
    bool stays = !kc_run_goes_on(m) || sleeps || kc_ends_at(m, kc_reg(m, UC_X86_REG_EIP));

    if (!stays && !kc_irq_waits(m) && (!kc_clock_skip(m) || !kc_irq_waits(m)))
        python.idle(m->handle);
    if (stays || !kc_run_goes_on(m) || !kc_irq_waits(m)) {
        kc_ends(m, KC_HALTED);
        return -1;
    }
    if (kc_interrupts_wait(m, kc_esp(m))) { /* the CPU is awake all the same */
        kc_ends(m, KC_SLICE);
        return -1;
    }
    kc_leave_shadow(m);
    uint32_t vector = kc_on_interrupt_taken(m);
    m->interrupts->length = length;
    return (int)vector;
}

bool kc_halt_end_at(kc *m, uint64_t physical, uint32_t *eip)
{
    uint32_t base = kc_segment_base(m, CS);

    for (uint32_t i = 0; i < m->interrupts->end_count; i++)
        if (kc_translate(m, base + m->interrupts->ends[i]) == (int64_t)physical) {
            *eip = m->interrupts->ends[i];
            return true;
        }
    return false;
}

int kc_halt_ends(kc *m, const uint32_t *eips, uint32_t count)
{
    if (count > ENDS_MAX)
        return -1;
    memcpy(m->interrupts->ends, eips, count * sizeof *eips);
    m->interrupts->end_count = count;
    return 0;
}

/* -- life, snapshots ------------------------------------------------------------------------------ */

int kc_interrupts_save(kc *m, void **out)
{
    kc_fault *saved = malloc(sizeof *saved);

    if (!saved)
        return -1;
    *saved = m->interrupts->last_fault;
    *out = saved;
    return 0;
}

int kc_interrupts_restore(kc *m, const void *saved)
{
    m->interrupts->last_fault = *(const kc_fault *)saved;
    return 0;
}

int kc_interrupts_init(kc *m) { return KC_NEW(m->interrupts); }

void kc_interrupts_free(kc *m) { free(m->interrupts); }
