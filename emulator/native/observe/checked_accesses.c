/* Checked accesses: instructions that read or write memory which no allocator has handed out.
 *
 * Theory of operation. The shadow (core/shadow.c) has a byte for each byte of RAM; record/blocks.c sets it as calls of the kernel's
 * allocators return. The engine's TLB holds pages with bytes that may not be accessed as watched, so that accesses to them are told
 * before they are made. What is told is looked up in the shadow, and then by instruction, reason and call stack: a new one is kept,
 * with the registers, the block that it concerns and the bytes around it.
 *
 * A run that is to end at a new one ends in front of its instruction, as if that had raised a fault, and can go on with it.
 *
 * Code that was compiled with KASAN checks its accesses itself, by a shadow that is made of this one (core/kasan.c), and calls a function for
 * what it takes for bad, before it accesses that. Here each byte is looked at then, and what is bad is kept as of the instruction that has called.
 *
 * An allocator may access all memory: code that Python names, and what that code calls, or a recorded call that is open. What the
 * handler of an interrupt does meanwhile is no part of the call.
 *
 * A store to the return address of a function that goes on is bad, too. The shadow says where one may lie (core/return_addresses.h); that one does,
 * and whose it is, is what the stack's backtrace says (record/unwinding.c).
 *
 * What lies below ESP is overwritten by the next interrupt. Instructions that access it say so by their operand (observe/below_stack.c).
 *
 * The kernel's code and constants, which Python names, may be read, and are no matter of the shadow: their pages are not writable in
 * the TLB, so that each write is told.
 *
 * Garbage that is executed in such memory is one mistake, the jump that has led there. What it does is nobody's, and is translated as if it were an
 * allocator's: zeros access the same byte by each instruction, for megabytes.
 *
 * Shortcomings. Code in such memory is noticed once for each block, when it is translated. After a jump there, what the kernel executes outside of
 * its sections of code is not looked at until the next event. What the CPU reads and writes by itself
 * (descriptors, an interrupt's frame) is not checked, nor are devices. Of different accesses the first KC_BAD_ACCESSES are kept; whether
 * there were more is known.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/kasan.h"
#include "core/mmu.h"
#include "core/reports.h"
#include "core/return_addresses.h"
#include "core/run.h"
#include "core/shadow.h"
#include "core/windows.h"
#include "observe/below_stack.h"
#include "observe/checked_accesses.h"
#include "observe/definedness.h"
#include "record/blocks.h"
#include "record/calls.h"
#include "record/functions.h"
#include "record/interrupt_frames.h"
#include "record/stack_numbers.h"
#include "unicorn/counting.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"

enum { MOMENTS = 256, LOW_MEMORY = 1 << 20 };

/* An instruction on a stack, while no call and no interrupt begins or ends. */
struct moment { uint32_t pc, esp, space, events; uint64_t interrupts; };

/* A function that compiled code calls, and the probe at its entry. */
struct report { kc_report of; uint32_t probe; };

struct checked_accesses {
    bool open, ends_run, rests;
    kc_extent *allocator, *read_only, *compiled;
    struct report *reports;
    uint32_t allocator_count, read_only_count, compiled_count, report_count, openings;
    struct moment in_call[MOMENTS]; /* the last ones inside of recorded calls, by instruction */
    struct seen {
        uint32_t opening, kept, astray_events; /* when there were so many events, code was executed that may not be accessed */
        bool missed, missed_return; /* more than are kept; stores to what may be return addresses */
        bool went_astray;
        kc_bad_access accesses[KC_BAD_ACCESSES];
    } seen;
};

bool kc_checks(const kc *m) { return m->checked_accesses->open && !m->checked_accesses->rests; }

uint32_t kc_checks_opening(const kc *m) { return m->checked_accesses->open ? m->checked_accesses->openings : 0; }

bool kc_is_exempt(const kc *m, uint32_t pc)
{
    return kc_extent_at(m->checked_accesses->allocator, m->checked_accesses->allocator_count, pc);
}

bool kc_checks_itself(const kc *m, uint32_t pc)
{
    return kc_extent_at(m->checked_accesses->compiled, m->checked_accesses->compiled_count, pc);
}

static struct moment moment_at(kc *m, uint32_t pc)
{
    return (struct moment){pc, kc_esp(m), kc_space(m), kc_events(m), kc_interrupt_frames_changes(m)};
}

static struct moment *kept_for(kc *m, uint32_t pc) { return &m->checked_accesses->in_call[pc % MOMENTS]; }

static bool is_same(const struct moment *one, const struct moment *other)
{
    return one->pc == other->pc && one->esp == other->esp && one->space == other->space && one->events == other->events &&
           one->interrupts == other->interrupts;
}

/* Has an allocator called what accesses memory here? */
static bool is_of_allocator(kc *m, const struct backtrace *backtrace, const struct moment *here)
{
    if (kc_is_in_call(m, backtrace)) {
        *kept_for(m, here->pc) = *here;
        return true;
    }
    for (uint32_t i = 1; i < backtrace->count && !(backtrace->interrupts >> i & 1); i++)
        if (kc_is_exempt(m, kc_segment_base(m, CS) + backtrace->frames[i] - 1))
            return true;
    return false;
}

static int64_t translated(kc *m, uint32_t linear)
{
    int64_t at = kc_translate_used(m, linear);
    return at >= 0 && (uint64_t)at < m->memory_end ? at : -1;
}

/* Is a byte the kernel's code, or a constant? What has been handed out is no more. */
static bool is_read_only(const kc *m, uint64_t physical)
{
    const struct checked_accesses *c = m->checked_accesses;
    return kc_is_read_only(m, physical) && kc_extent_at(c->read_only, c->read_only_count, (uint32_t)physical) && !kc_has_had_blocks(m, physical);
}

/* Why a byte may not be accessed. */
static enum kc_poison why_not(const kc *m, uint64_t physical, bool write)
{
    enum kc_poison poison = kc_poison_at(m, physical);
    return !poison && write && is_read_only(m, physical) ? KC_READ_ONLY : poison;
}

/* The first byte of an access that may not be accessed, from its start; -1: all may. Programs are kept from the kernel's memory by pages. */
static int32_t first_bad(kc *m, uint32_t linear, uint32_t size, bool write)
{
    bool by_kernel = write && kc_ring(m) != 3;

    for (uint32_t i = 0; i < size; i++) {
        int64_t at = translated(m, linear + i);
        if (at >= 0 && why_not(m, (uint64_t)at, by_kernel))
            return (int32_t)i;
    }
    return -1;
}

bool kc_is_astray(kc *m, uint32_t pc)
{
    const struct seen *seen = &m->checked_accesses->seen;

    return seen->went_astray && !kc_is_code(m, pc) && (seen->astray_events == kc_events(m) || first_bad(m, pc, 1, false) >= 0);
}

static kc_bad_access *find(struct seen *seen, uint32_t pc, const kc_bad_access *access)
{
    for (uint32_t i = 0; i < seen->kept; i++) {
        kc_bad_access *each = &seen->accesses[i];
        if (each->registers.cs_base + each->registers.eip == pc && each->stack == access->stack && each->access == access->access &&
            each->poison == access->poison && each->use == access->use)
            return each;
    }
    return NULL;
}

/* What lies around a physical address, whose linear one is the access's. */
static void copy_around(const kc *m, uint64_t physical, kc_bad_access *access)
{
    uint32_t moved = access->linear + access->offset - (uint32_t)physical;
    uint64_t around = physical < KC_AROUND / 2 ? 0 : (physical - KC_AROUND / 2) & ~(uint64_t)15;

    access->around = (uint32_t)around;
    for (uint32_t i = 0; i < KC_AROUND && around + i < m->memory_end; i++) {
        access->memory[i] = *kc_at(m, around + i);
        enum kc_poison why = kc_kasan_poison(m, (uint32_t)(around + i) + moved, around + i);
        uint8_t shadow = *kc_shadow_at(m, around + i), other = shadow == KC_RETURN ? shadow : shadow & KC_POISONED;
        why = why ? why : why_not(m, around + i, true);
        access->shadow[i] = why ? (uint8_t)why : other;
    }
}

/* False: there is no room. `origin`: of a value that is used; NULL: it is an access. */
static bool keep(kc *m, const kc_bad_access *access, uint64_t bad, const struct origin *origin)
{
    struct seen *seen = &m->checked_accesses->seen;

    if (seen->kept == KC_BAD_ACCESSES) {
        seen->missed = true;
        return false;
    }
    kc_bad_access *kept = &seen->accesses[seen->kept++];
    *kept = *access;
    if (origin) {
        kept->has_block = origin->block.born;
        kept->block = origin->block;
    } else if (access->poison & KC_POISONED && access->poison != KC_READ_ONLY && access->poison != KC_RETURN) {
        kept->has_block = kc_block_near(m, bad, &kept->block, &kept->distance);
    }
    copy_around(m, bad, kept);
    return true;
}

/* The number of a call stack; 0: it is a new one, and there is no room for another access anyway. */
static uint32_t stack_of(kc *m, const struct backtrace *backtrace)
{
    struct seen *seen = &m->checked_accesses->seen;
    uint32_t number = seen->kept < KC_BAD_ACCESSES ? kc_stack_of_other(m, backtrace) : kc_known_stack_of_other(m, backtrace);

    seen->missed |= !number;
    return number;
}

static void describe_frame(kc *m, kc_bad_access *access)
{
    uint32_t words[3];

    if (access->poison != KC_STACK && access->poison != KC_SCOPE)
        return;
    access->frame = kc_kasan_frame(m, access->linear + access->offset);
    if (access->frame) {
        kc_words(m, access->frame, words, 3);
        access->variables = words[1];
        access->owner = words[2];
    }
}

/* The registers stand as they are to be kept. */
static void note(kc *m, kc_bad_access *here, uint64_t bad, const struct origin *origin, struct backtrace *backtrace, uintptr_t host_pc)
{
    uint64_t now = kc_clock_at(m, kc_count_here(m));

    here->event = kc_events(m);
    here->stack = stack_of(m, backtrace);
    here->count = 1;
    here->time_ns = here->last_ns = now;
    if (!here->stack)
        return;
    kc_bad_access *known = find(&m->checked_accesses->seen, here->registers.cs_base + here->registers.eip, here);
    bool ends_run = m->checked_accesses->ends_run;

    if (!known && ends_run && !kc_run_goes_on(m)) /* it comes again in the next run, which can end here */
        kc_end_before(m, KC_BAD_ACCESS, host_pc);
    if (known) {
        known->count += known->last_ns != now;
        known->last_ns = now;
    } else if (keep(m, here, bad, origin) && ends_run) {
        kc_end_before(m, KC_BAD_ACCESS, host_pc);
    }
}

/* An access as the registers stand. */
static kc_bad_access access_of(kc *m, uint32_t linear, uint32_t size, uint32_t access, uint32_t offset)
{
    kc_bad_access made = {
        .linear = linear, .physical = (uint32_t)translated(m, linear), .size = size, .access = access,
        .poison = why_not(m, (uint64_t)translated(m, linear + offset), access == KC_WRITE), .offset = offset,
    };

    kc_get_registers(m, &made.registers);
    return made;
}

static void note_access(kc *m, uint32_t linear, uint32_t size, uint32_t access, uint32_t offset, struct backtrace *backtrace, uintptr_t host_pc)
{
    uint64_t bad = (uint64_t)translated(m, linear + offset);
    kc_bad_access here = access_of(m, linear, size, access, offset);

    note(m, &here, bad, NULL, backtrace, host_pc);
}

static void look(kc *m, uint32_t linear, uint32_t size, bool write, int32_t offset, uintptr_t host_pc)
{
    kc_restore_eip(m, host_pc);
    const struct moment here = moment_at(m, kc_pc(m));
    if (kc_checks_itself(m, here.pc) && why_not(m, (uint64_t)translated(m, linear + (uint32_t)offset), write) != KC_READ_ONLY)
        return;
    bool is_again = is_same(&here, kept_for(m, here.pc)), is_right = is_again || kc_is_exempt(m, here.pc) || kc_is_astray(m, here.pc);
    struct backtrace *backtrace = is_right ? NULL : kc_stack_at(m, kc_reg(m, UC_X86_REG_EIP));

    is_right = is_right || is_of_allocator(m, backtrace, &here);
    if (is_again)
        kc_windows_exempt(m, true); /* until the call ends, or another or an interrupt begins */
    if (!is_right)
        note_access(m, linear, size, write ? KC_WRITE : KC_READ, (uint32_t)offset, backtrace, host_pc);
    else if (write && kc_tells_uninitialised(m))
        kc_written_by_allocator(m, linear, size);
}

/* -- return addresses --------------------------------------------------------------------------------- */

/* Is what is stored at a return address the same, or another address of code? Then it is meant: longjmp() does that, and so do tracers. */
static bool is_code_stored(kc *m, uint32_t linear, uint32_t size, uint32_t slot, uint64_t value)
{
    uint32_t words[2], base = kc_segment_base(m, SS);
    uint64_t now, mask = size < sizeof now ? (UINT64_C(1) << 8 * size) - 1 : UINT64_MAX;

    kc_stack_words(m, linear - base, words, 2);
    now = (uint64_t)words[1] << 32 | words[0];
    return ((now ^ value) & mask) == 0 || (size == sizeof words[0] && linear == base + slot && kc_is_code(m, (uint32_t)value));
}

/* Does EBP point to the frame of the instruction's own function, where its return address lies next? */
static bool is_frame_pointer(kc *m, const struct backtrace *backtrace)
{
    return backtrace->count > 1 && backtrace->slots[1] == kc_ebp(m) + sizeof(uint32_t);
}

/* Is it known where the instruction's own function has its return address? Without rules only where that keeps a frame pointer: elsewhere
 * it is known by what lies there, which is what may have been left there. */
static bool is_frame_known(kc *m, const struct backtrace *backtrace)
{
    return is_frame_pointer(m, backtrace) || (backtrace->count > 1 && kc_has_rule(m, kc_reg(m, UC_X86_REG_EIP)));
}

/* May a store concern one whose place is not known? No push does, and no whole address of code. */
static bool may_hit(kc *m, uint32_t linear, uint32_t size, const uint64_t *value)
{
    bool is_code = value && size == sizeof(uint32_t) && kc_is_code(m, (uint32_t)*value);
    return !is_code && linear - kc_segment_base(m, SS) >= kc_esp(m);
}

/* The frame whose return address a store concerns: its number in the backtrace, from 1; 0: none, of those since the last interrupt. */
static uint32_t frame_hit(kc *m, const struct backtrace *backtrace, uint32_t linear, uint32_t size)
{
    enum { WORD = 4 };

    for (uint32_t i = 1; i < backtrace->count && !(backtrace->interrupts >> i & 1); i++) {
        uint32_t slot = kc_segment_base(m, SS) + backtrace->slots[i];
        if (slot - linear + WORD - 1 < size + WORD - 1)
            return i;
    }
    return 0;
}

static void note_return(kc *m, uint32_t linear, uint32_t size, uint32_t i, struct backtrace *backtrace, uintptr_t host_pc)
{
    uint32_t slot = kc_segment_base(m, SS) + backtrace->slots[i];
    kc_bad_access here = access_of(m, linear, size, KC_WRITE, slot - linear < size ? slot - linear : 0);

    here.poison = KC_RETURN;
    here.frame = slot;
    here.variables = backtrace->frames[i];
    here.owner = backtrace->frames[i - 1] - 1;
    note(m, &here, (uint64_t)translated(m, linear + here.offset), NULL, backtrace, host_pc);
}

/* Stores of the function's own code to what it must not touch, or of those that it has called: the frames that lead here go on. */
void kc_look_at_return(kc *m, uint32_t linear, uint32_t size, const uint64_t *value, uintptr_t host_pc)
{
    if (!host_pc || kc_ring(m) == 3 || !kc_marks_returns(m) || !kc_has_return(m, linear, size))
        return;
    kc_restore_eip(m, host_pc);
    if (!kc_is_exempt(m, kc_pc(m)) && !kc_is_astray(m, kc_pc(m))) {
        struct backtrace *backtrace = kc_stack_at(m, kc_reg(m, UC_X86_REG_EIP));
        bool is_known = is_frame_known(m, backtrace);
        uint32_t i = is_known ? frame_hit(m, backtrace, linear, size) : 0;
        m->checked_accesses->seen.missed_return |= !is_known && may_hit(m, linear, size, value);
        if (i && !(value && is_code_stored(m, linear, size, backtrace->slots[i], *value)))
            note_return(m, linear, size, i, backtrace, host_pc);
    }
    kc_forget_return(m, linear, size);
}

/* -- below ESP ---------------------------------------------------------------------------------------- */

void kc_look_below_stack(kc *m, uint32_t linear, uintptr_t host_pc)
{
    struct below_stack below;
    uint32_t base = kc_segment_base(m, SS);

    if (!kc_is_below_stack(m, linear, &below))
        return;
    int64_t physical = kc_translate(m, base + below.at);
    if (physical < 0 || (uint64_t)physical >= m->memory_end) /* it faults, or meets a device */
        return;
    kc_restore_eip(m, host_pc);
    if (kc_is_astray(m, kc_pc(m)))
        return;
    struct backtrace *backtrace = kc_stack_at(m, kc_reg(m, UC_X86_REG_EIP));
    if (below.by_ebp && !is_frame_pointer(m, backtrace))
        return;
    kc_bad_access here = {
        .linear = base + below.at, .physical = (uint32_t)physical, .size = below.size, .access = below.write ? KC_WRITE : KC_READ,
        .poison = KC_BELOW_STACK, .frame = base + below.esp,
    };
    kc_get_registers(m, &here.registers);
    note(m, &here, (uint64_t)physical, NULL, backtrace, host_pc);
}

/* -- accesses ----------------------------------------------------------------------------------------- */

void kc_look_at_access(kc *m, uint32_t linear, uint32_t size, bool write, uintptr_t host_pc)
{
    int32_t offset = first_bad(m, linear, size, write);

    if (write)
        kc_look_at_return(m, linear, size, NULL, host_pc);
    if (offset >= 0 && host_pc) /* without a place in translated code it is the CPU's own */
        look(m, linear, size, write, offset, host_pc);
    if (kc_tells_uninitialised(m))
        kc_defined_by(m, linear, size, write, host_pc);
}

/* Where a byte of a block lies, which the kernel knows by a linear or a physical address, as long as it lives; else the latter. */
static uint64_t memory_of(kc *m, const kc_block *block, uint32_t distance)
{
    int64_t at = translated(m, kc_segment_base(m, DS) + block->start + distance);
    uint32_t found;
    kc_block over;

    return at >= 0 && kc_block_over(m, (uint64_t)at, &over, &found) && over.born == block->born ? (uint64_t)at : block->start + distance;
}

void kc_on_undefined_use(kc *m, enum kc_use use, struct undefined value, uintptr_t host_pc)
{
    struct origin origin = kc_origin(m, value);
    uint64_t physical = memory_of(m, &origin.block, value.distance);
    kc_bad_access here = {
        .linear = origin.block.start + value.distance, .physical = (uint32_t)physical, .size = 1, .access = KC_READ,
        .poison = KC_UNINITIALISED, .use = use, .read_at = origin.read_at, .distance = (int32_t)value.distance,
    };

    kc_restore_eip(m, host_pc);
    const struct moment now = moment_at(m, kc_pc(m));
    if (kc_is_exempt(m, now.pc) || kc_is_astray(m, now.pc))
        return;
    kc_get_registers(m, &here.registers);
    struct backtrace *backtrace = kc_stack_at(m, kc_reg(m, UC_X86_REG_EIP));
    if (!is_of_allocator(m, backtrace, &now))
        note(m, &here, physical, &origin, backtrace, host_pc);
}

/* Has a jump of the kernel's own code led to an instruction that may not be executed, as far as the stack tells? */
static bool is_led_to(kc *m, const struct backtrace *backtrace)
{
    return backtrace->count > 1 && kc_is_code(m, kc_segment_base(m, CS) + backtrace->frames[1] - 1);
}

void kc_look_at_code(kc *m, uint32_t linear)
{
    struct seen *seen = &m->checked_accesses->seen;

    if (first_bad(m, linear, 1, false) < 0 || kc_is_exempt(m, linear))
        return;
    const struct moment here = moment_at(m, kc_pc(m));
    struct backtrace *backtrace = kc_stack_at(m, kc_reg(m, UC_X86_REG_EIP));
    if (is_of_allocator(m, backtrace, &here))
        return;
    if (!kc_is_astray(m, linear) || is_led_to(m, backtrace))
        note_access(m, linear, 1, KC_FETCH, 0, backtrace, 0);
    seen->went_astray = true;
    seen->astray_events = here.events;
}

/* -- what compiled code reports ------------------------------------------------------------------ */

/* The first byte that code compiled with KASAN may not access, and why. False: it may access all. */
static bool compiled_bad(kc *m, uint32_t linear, uint32_t size, bool variables, uint32_t *offset, enum kc_poison *why)
{
    enum { GRANULE = 8 };

    for (*offset = 0; *offset < size;) {
        if (!kc_kasan_value(m, linear + *offset)) {
            *offset += GRANULE - (linear + *offset) % GRANULE;
            continue;
        }
        int64_t at = translated(m, linear + *offset);
        if (at >= 0 && (*why = kc_kasan_poison(m, linear + *offset, (uint64_t)at)) && !(variables && *why & KC_POISONED))
            return true;
        ++*offset;
    }
    return false;
}

/* Where the call begins that goes on at an address. */
static uint32_t call_before(kc *m, uint32_t address)
{
    enum { LENGTH = 5, OPCODE = 0xe8 };
    uint32_t target;

    return kc_is_after_call(m, address, &target) && target ? address - LENGTH : address - 1;
}

void kc_on_report(kc *m, uint32_t number)
{
    const struct report *report = &m->checked_accesses->reports[number];
    uint32_t words[4], offset, esp = kc_esp(m); /* the return address, and arguments */
    uintptr_t host_pc = kc_hooks_called_from();
    enum kc_poison why;

    if (host_pc)
        kc_restore_eip(m, host_pc);
    kc_stack_words(m, esp, words, 4);
    uint32_t call = call_before(m, words[0]), linear = kc_segment_base(m, DS) + words[1 + report->of.pointer];
    uint32_t size = report->of.size ? report->of.size : words[1 + report->of.length];
    const struct moment here = moment_at(m, kc_segment_base(m, CS) + call);
    if (kc_is_exempt(m, here.pc) || is_same(&here, kept_for(m, here.pc)) || !compiled_bad(m, linear, size, report->of.variables, &offset, &why))
        return;
    if (report->of.variables && why == KC_GLOBAL && kc_kasan_goes_through(m, linear, size))
        return;
    const struct slot slot = kc_slot_at(m, esp);
    struct backtrace *backtrace = kc_stack_at_entry(m, &slot, words[0]);
    if (is_of_allocator(m, backtrace, &here))
        return;
    kc_bad_access access = access_of(m, linear, size, report->of.write ? KC_WRITE : KC_READ, offset);
    access.poison = why;
    access.registers.eip = call;
    access.registers.esp += sizeof words[0];
    describe_frame(m, &access);
    note(m, &access, (uint64_t)translated(m, linear + offset), NULL, backtrace, host_pc);
}

static int hook_reports(struct checked_accesses *c, kc *m, const kc_checking *checks)
{
    c->reports = calloc(checks->report_count + 1, sizeof *c->reports);
    if (!c->reports)
        return -1;
    for (; c->report_count < checks->report_count; c->report_count++) {
        const kc_report *of = &checks->reports[c->report_count];
        int32_t probe = kc_probe_add(m, of->address, c->report_count, KC_ENTRY, KC_REPORT);
        if (probe < 0)
            return -1;
        c->reports[c->report_count] = (struct report){*of, (uint32_t)probe};
    }
    return 0;
}

static void unhook_reports(struct checked_accesses *c, kc *m)
{
    while (c->report_count)
        kc_probe_remove(m, c->reports[--c->report_count].probe);
    free(c->reports);
    c->reports = NULL;
}

/* -- for Python ---------------------------------------------------------------------------------- */

static kc_extent *copy_of(const kc_extent *extents, uint32_t count)
{
    kc_extent *copy = malloc((count + 1) * sizeof *copy);

    return copy ? memcpy(copy, extents, count * sizeof *copy) : NULL;
}

int kc_sanitize_open(kc *m, const kc_checking *checks)
{
    struct checked_accesses *c = m->checked_accesses;

    if (c->open || !kc_recording(m))
        return 1;
    c->allocator = copy_of(checks->allocator, checks->allocator_count);
    c->read_only = copy_of(checks->read_only, checks->read_only_count);
    c->compiled = copy_of(checks->compiled, checks->compiled_count);
    c->allocator_count = checks->allocator_count;
    c->read_only_count = checks->read_only_count;
    c->compiled_count = checks->compiled_count;
    c->ends_run = checks->ends_run;
    memset(&c->seen, 0, offsetof(struct seen, accesses));
    c->seen.opening = ++c->openings;
    if (!c->allocator || !c->read_only || !c->compiled || hook_reports(c, m, checks) || kc_shadow_open(m, checks->uninitialised) ||
        kc_blocks_open(m, checks) || kc_definedness_open(m)) {
        kc_sanitize_close(m);
        return -UC_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < c->read_only_count; i++)
        kc_shadow_guard(m, c->read_only[i].start, c->read_only[i].end);
    for (uint32_t i = 0; i < checks->object_count; i++)
        kc_shadow_exclude(m, checks->objects[i].start, checks->objects[i].end);
    kc_shadow_exclude(m, 0, LOW_MEMORY); /* the BIOS's */
    c->open = true;
    kc_forget_ahead(m);
    kc_windows_check(m, true);
    kc_fill_again(m);
    return 0;
}

bool kc_checks_rest(kc *m, bool yes)
{
    struct checked_accesses *c = m->checked_accesses;

    if (!c->open || c->rests == yes)
        return true;
    if (c->compiled_count) /* such code reads what is known of blocks */
        return false;
    c->rests = yes;
    kc_shadow_rest(m, yes);
    kc_windows_check(m, !yes);
    kc_fill_again(m);
    return true;
}

static void forget_extents(struct checked_accesses *c)
{
    free(c->allocator);
    free(c->read_only);
    free(c->compiled);
    c->allocator = c->read_only = c->compiled = NULL;
    c->allocator_count = c->read_only_count = c->compiled_count = 0;
}

void kc_sanitize_close(kc *m)
{
    struct checked_accesses *c = m->checked_accesses;

    if (c->open) {
        kc_forget_ahead(m);
        kc_windows_check(m, false);
    }
    c->open = c->rests = false;
    kc_blocks_close(m);
    kc_definedness_close(m);
    kc_shadow_close(m);
    unhook_reports(c, m);
    forget_extents(c);
    kc_fill_again(m); /* no page as watched */
}

const kc_bad_access *kc_bad_accesses(const kc *m, uint32_t *count, bool *missed)
{
    *count = m->checked_accesses->seen.kept;
    *missed = m->checked_accesses->seen.missed;
    return m->checked_accesses->seen.accesses;
}

void kc_checks_run(kc *m) { m->checked_accesses->seen.missed_return |= m->checked_accesses->open && !kc_marks_returns(m); }

bool kc_finds_returns(const kc *m) { return !m->checked_accesses->seen.missed_return; }

/* -- life, snapshots ----------------------------------------------------------------------------- */

static size_t size_of(const struct seen *seen) { return offsetof(struct seen, accesses) + seen->kept * sizeof *seen->accesses; }

int kc_checked_accesses_save(kc *m, void **out)
{
    const struct seen *seen = &m->checked_accesses->seen;

    return (*out = malloc(size_of(seen))) ? (memcpy(*out, seen, size_of(seen)), 0) : -1;
}

int kc_checked_accesses_restore(kc *m, const void *saved)
{
    struct checked_accesses *c = m->checked_accesses;

    if (c->seen.went_astray) /* what is translated takes its code for garbage */
        kc_forget_code_soon(m);
    memcpy(&c->seen, saved, size_of(saved));
    if (c->seen.opening != c->openings) { /* nothing was known then of what is looked at now */
        c->seen.kept = 0;
        c->seen.missed = c->seen.missed_return = c->seen.went_astray = false;
        c->seen.opening = c->openings;
    }
    return 0;
}

int kc_checked_accesses_init(kc *m) { return KC_NEW(m->checked_accesses); }

void kc_checked_accesses_free(kc *m)
{
    if (m->checked_accesses) {
        forget_extents(m->checked_accesses);
        free(m->checked_accesses->reports);
    }
    free(m->checked_accesses);
}
