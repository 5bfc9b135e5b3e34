/* Call stacks: who called, and who called that one.
 *
 * A frame is left by the rule that the kernel's call frame information has for its address (.eh_frame, .debug_frame), or
 * else by the frame pointer: the caller's EBP and the return address lie at EBP. The rules hold at every instruction. Without
 * them, an instruction that was not a call may be one of a function that has no frame yet, or none any more. And EBP may hold
 * anything: a caller is believed in only if it is one (functions.c). A handler in assembler, which keeps no
 * frame pointer, ends at the frame of the interrupt that has led to it. Where nothing is known, the backtrace ends and says so.
 *
 * A kernel calls its allocator from the same call sites again and again. So a backtrace is kept, with the words of the guest's
 * stack that it depends on: as long as they are the same, so is the backtrace.
 */
#include <stdlib.h>
#include <string.h>

#include "core/interrupts.h"
#include "core/mmu.h"
#include "record/functions.h"
#include "record/interrupt_frames.h"
#include "record/unwinding.h"

enum { CFA_UNKNOWN, CFA_ESP, CFA_EBP };
enum { PUSH_EBP = 0x55, RET_IMM16 = 0xc2, RET = 0xc3 }; /* Intel SDM 2 */
#define ENDBR32 0xfb1e0ff3u
#define FRAME_SIZE_MAX (1u << 20)
#define HANDLER_FRAME_MAX 4096u /* of a handler in assembler, which saves the registers there */
#define KEPT 256
#define READS_MAX 64 /* what a backtrace depends on; one that depends on more is not kept */

/* Two words of the guest's stack, and which of their bits count. */
struct word_read {
    uint64_t words, mask;
    uint32_t at;
};
#define LOWER 0x00000000ffffffffu
#define UPPER 0xffffffff00000000u

/* A backtrace, where it began, and what it depends on. */
struct unwound {
    uint32_t caller, esp, ebp, memory, read_count; /* memory: behind ESP; read_count above READS_MAX: not kept */
    uint64_t interrupt_changes;
    bool is_in_page;          /* all that it has read is in one page */
    uint32_t interrupts_size; /* from ESP on: where frames of interrupts have been looked for */
    struct backtrace backtrace; /* count 0: none */
    struct word_read reads[READS_MAX];
};

#define RULE_SLOTS 4096

struct unwinding {
    kc_rule *rules;
    uint32_t rule_count, code_ranges[KC_CODE_RANGES][2], code_range_count;
    struct { uint32_t pc; const kc_rule *rule; } rule_slots[RULE_SLOTS];
    struct unwound kept[KEPT + 1];
};

/* Registers in a frame. `stands`: its instruction was no call, but comes next, or was interrupted. */
struct level {
    uint32_t pc, esp, ebp;
    bool stands;
};

static uint64_t two_words(kc *m, uint32_t at)
{
    uint32_t words[2];

    kc_stack_words(m, at, words, 2);
    return (uint64_t)words[1] << 32 | words[0];
}

/* Read two words, of which the unwinding uses those in the mask. */
static uint64_t read_noted(kc *m, struct unwound *unwound, uint32_t at, uint64_t mask)
{
    struct word_read *last = unwound->read_count && unwound->read_count <= READS_MAX ? &unwound->reads[unwound->read_count - 1] : NULL;

    if (last && last->at == at) { /* the other one of a return address and the EBP below it */
        last->mask |= mask;
        return last->words;
    }
    uint64_t words = two_words(m, at);
    if (unwound->read_count < READS_MAX)
        unwound->reads[unwound->read_count] = (struct word_read){words, mask, at};
    unwound->is_in_page &= (at & PAGE_MASK) <= PAGE_SIZE - sizeof words && (at ^ unwound->reads[0].at) < PAGE_SIZE;
    unwound->read_count += unwound->read_count <= READS_MAX;
    return words;
}

/* Do the words that a backtrace depends on differ from those that were read? */
static SELDOM bool differs_apart(kc *m, const struct unwound *unwound)
{
    for (const struct word_read *read = unwound->reads, *end = read + unwound->read_count; read < end; read++)
        if ((two_words(m, read->at) ^ read->words) & read->mask)
            return true;
    return false;
}

static inline bool is_same(kc *m, const struct unwound *unwound)
{
    const struct word_read *read = unwound->reads, *end = read + unwound->read_count;
    uint64_t different = 0, words;

    if (unwound->read_count > READS_MAX)
        return false;
    const uint8_t *page = unwound->is_in_page ? kc_stack_page(m, read->at & ~PAGE_MASK) : NULL;
    if (!page)
        return !differs_apart(m, unwound);
    for (; read < end; read++) { /* mostly: two loads at once */
        memcpy(&words, page + (read->at & PAGE_MASK), sizeof words);
        different |= (words ^ read->words) & read->mask;
    }
    return !different;
}

bool kc_is_code(const kc *m, uint32_t address)
{
    for (uint32_t i = 0; i < m->unwinding->code_range_count; i++)
        if (address - m->unwinding->code_ranges[i][0] < m->unwinding->code_ranges[i][1] - m->unwinding->code_ranges[i][0])
            return true;
    return false;
}

static const kc_rule *search_rule(const kc *m, uint32_t pc)
{
    uint32_t low = 0, high = m->unwinding->rule_count; /* the last rule with start <= pc is in [low - 1, high - 1] */

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->unwinding->rules[middle].start <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    return low && m->unwinding->rules[low - 1].cfa_register != CFA_UNKNOWN ? &m->unwinding->rules[low - 1] : NULL;
}

static const kc_rule *rule_of(kc *m, uint32_t pc)
{
    uint32_t slot = pc * 2654435761u >> 20;

    if (!m->unwinding->rule_count)
        return NULL;
    if (m->unwinding->rule_slots[slot].pc != pc) {
        m->unwinding->rule_slots[slot].pc = pc;
        m->unwinding->rule_slots[slot].rule = search_rule(m, pc);
    }
    return m->unwinding->rule_slots[slot].rule;
}

_Static_assert(RULE_SLOTS == 1 << (32 - 20), "rule_of() takes the upper 12 bits");

bool kc_has_rule(kc *m, uint32_t pc) { return rule_of(m, pc); }

static uint32_t code_at(kc *m, uint32_t eip)
{
    uint32_t word;

    kc_words(m, kc_segment_base(m, CS) + eip, &word, 1);
    return word;
}

/* Is it the address after a call of a function by its name? */
static bool is_after_call_of(kc *m, uint32_t address, uint32_t function)
{
    uint32_t target;

    return kc_is_after_call(m, address, &target) && target == function;
}

/* Has a call through a pointer led to where no code is, through a null pointer perhaps? */
static bool is_astray(kc *m, struct unwound *unwound, const struct level *level)
{
    if (!level->stands || level->pc < KC_NULL_END || kc_is_code(m, level->pc))
        return level->stands && level->pc < KC_NULL_END;
    return kc_has_called(m, (uint32_t)read_noted(m, unwound, level->esp, LOWER), level->pc, level->esp);
}

/* Is EBP still, or again, that of the caller of the function? Tells where the return address lies. For code without rules that keeps
 * frame pointers: there it is so until `mov %esp, %ebp`, and from `leave` or `pop %ebp` on. Compilers put other instructions in
 * between. */
static bool has_no_frame(kc *m, struct unwound *unwound, const struct level *level, uint32_t *slot)
{
    uint32_t function = kc_function_start(m, level->pc), first = function;
    uint8_t next = (uint8_t)code_at(m, level->pc);

    *slot = level->esp;
    if (next == RET || next == RET_IMM16 || is_astray(m, unwound, level))
        return true;
    if (!function)
        return false;
    if (code_at(m, function) == ENDBR32)
        first += 4;
    uint64_t top = read_noted(m, unwound, level->esp, LOWER | UPPER);
    if (level->pc == function || level->pc == first || is_after_call_of(m, (uint32_t)top, function))
        return true;
    *slot = level->esp + 4;
    return (uint32_t)top == level->ebp && ((level->pc == first + 1 && (uint8_t)code_at(m, first) == PUSH_EBP) ||
                                           is_after_call_of(m, top >> 32, function));
}

/* Where a level's return address lies, and its caller's EBP. False: not known. */
static bool find_slot(kc *m, struct unwound *unwound, const struct level *level, const kc_rule *rule, uint32_t *slot, uint32_t *ebp)
{
    *ebp = level->ebp;
    if (!rule && level->stands && has_no_frame(m, unwound, level, slot))
        return true;
    if (!rule && !kc_keeps_frame_pointer(m, level->pc))
        return false;
    uint32_t base = !rule || rule->cfa_register == CFA_EBP ? level->ebp : level->esp;
    uint32_t cfa = base + (rule ? (uint32_t)rule->cfa_offset : 8);
    int32_t ebp_offset = rule ? rule->ebp_offset : -8;
    if (cfa <= level->esp || cfa - level->esp > FRAME_SIZE_MAX)
        return false;
    *slot = cfa - 4;
    if (ebp_offset)
        *ebp = (uint32_t)read_noted(m, unwound, cfa + (uint32_t)ebp_offset, LOWER);
    return true;
}

static void add(struct backtrace *w, uint32_t slot, uint32_t frame, bool is_interrupt)
{
    uint32_t height = slot - w->slots[0];

    w->height = w->count && height > w->height ? height : w->height;
    w->interrupts |= (uint64_t)is_interrupt << w->count;
    w->slots[w->count] = slot;
    w->frames[w->count++] = frame;
}

enum found { CALLER, OUTERMOST, NOTHING };

/* Whether an interrupt's frame lies below an address has been looked for. */
static void note_interrupts(struct unwound *unwound, uint32_t end)
{
    uint32_t size = end - unwound->esp;

    unwound->interrupts_size = size > unwound->interrupts_size ? size : unwound->interrupts_size;
}

/* Leave a handler by the frame of its interrupt, to what was interrupted. It has pushed EIP, CS and EFLAGS, and ESP if it came from
 * an outer ring. */
static enum found leave_handler(kc *m, struct unwound *unwound, const struct interrupt_frame *frame, uint32_t ebp, struct level *level)
{
    uint32_t at = frame->at.esp;
    bool is_outer = (frame->cs & 3) != kc_ring(m);

    read_noted(m, unwound, at, LOWER);
    add(&unwound->backtrace, at, frame->eip + 1, true);
    *level = (struct level){frame->eip, is_outer ? (uint32_t)read_noted(m, unwound, at + 12, LOWER) : at + 12, ebp, true};
    return is_outer && !kc_is_code(m, frame->eip) ? OUTERMOST : CALLER; /* a program: the kernel's stack is empty */
}

/* Handlers in C begin their frame with what the interrupt has pushed; those in assembler keep no frame pointer. Their part of the
 * stack ends at the frame of the interrupt that has led to their function. */
static enum found find_interrupted(kc *m, struct unwound *unwound, uint32_t below, struct level *level)
{
    const struct interrupt_frame *frame = kc_interrupt_frame_above(m, level->esp);

    note_interrupts(unwound, level->esp + HANDLER_FRAME_MAX);
    while (frame && frame->at.esp < below && frame->at.esp - level->esp < HANDLER_FRAME_MAX) {
        if (kc_leads_to(m, frame->handler, level->pc))
            return leave_handler(m, unwound, frame, level->ebp, level);
        frame = kc_interrupt_frame_above(m, frame->at.esp + 4);
    }
    return NOTHING;
}

/* Go to the caller whose return address lies at a slot. Without rules up to here the slot may be a wrong one. The first function of a
 * task was never called: what its slot holds is not the address after a call, but zero, or where another function begins. After a call
 * of what does not return, code may end. */
static enum found go_to_caller(kc *m, struct unwound *unwound, uint32_t slot, uint32_t ebp, struct level *level)
{
    struct backtrace *w = &unwound->backtrace;
    const struct interrupt_frame *frame = kc_interrupt_frame_above(m, slot);
    uint32_t address = (uint32_t)(read_noted(m, unwound, slot - 4, UPPER) >> 32), target;

    note_interrupts(unwound, slot + 1);
    if (frame && frame->at.esp == slot)
        return leave_handler(m, unwound, frame, ebp, level);
    if (!kc_is_code(m, address) && !kc_is_after_call(m, address, &target)) {
        w->end = slot + 4;
        return !address || kc_ends_at(m, address) ? OUTERMOST : NOTHING;
    }
    if (!kc_is_after_call(m, address, &target) && kc_function_start(m, address) == address)
        return OUTERMOST;
    if (!w->sure && !kc_is_caller_of(m, address, level->pc) && !(level->stands && kc_has_called(m, address, level->pc, level->esp)))
        return NOTHING;
    add(w, slot, address, false);
    *level = (struct level){address - 1, slot + 4, ebp, false};
    return CALLER;
}

static enum found find_caller(kc *m, struct unwound *unwound, struct level *level)
{
    const kc_rule *rule = rule_of(m, level->pc);
    enum found found = NOTHING;
    bool sure = unwound->backtrace.sure;
    uint32_t slot, ebp;

    unwound->backtrace.sure &= rule != NULL;
    bool has_slot = find_slot(m, unwound, level, rule, &slot, &ebp);
    if (!rule && has_slot)
        found = find_interrupted(m, unwound, slot, level);
    if (found == NOTHING && has_slot)
        found = go_to_caller(m, unwound, slot, ebp, level);
    if (found == NOTHING || (found == OUTERMOST && !rule)) { /* an error code of 0, or a register in a handler, ends no stack */
        enum found interrupted = find_interrupted(m, unwound, UINT32_MAX, level);
        found = interrupted == NOTHING ? found : interrupted;
    }
    if (found != NOTHING || rule || !kc_is_entry_code(m, level->pc))
        return found;
    unwound->backtrace.sure = sure && unwound->backtrace.count > 1; /* else no rule has said anything */
    return OUTERMOST;
}

/* Go up from a level to the outermost one, or as far as something is known. */
static __attribute__((noinline)) void go_up(kc *m, struct unwound *unwound, struct level level)
{
    struct backtrace *w = &unwound->backtrace;
    enum found found = CALLER;

    while (found == CALLER && w->count < KC_FRAMES && (kc_is_code(m, level.pc) || is_astray(m, unwound, &level)))
        found = find_caller(m, unwound, &level);
    w->is_whole = found == OUTERMOST || kc_ends_at(m, level.pc + 1); /* the latter of a call from Python */
    w->frames[w->count] = KC_NOTHING_KNOWN;
    w->slots[w->count] = w->slots[w->count - 1];
}

static void start(struct unwound *unwound, uint32_t frame, uint32_t esp)
{
    struct backtrace *w = &unwound->backtrace;

    unwound->read_count = unwound->interrupts_size = w->count = w->number = w->end = w->height = 0;
    unwound->esp = esp;
    unwound->is_in_page = true;
    w->interrupts = 0;
    w->sure = true;
    add(&unwound->backtrace, esp, frame, false);
}

static SELDOM struct backtrace *unwind_call(kc *m, struct unwound *unwound, uint32_t esp, uint32_t memory, uint32_t caller, uint32_t ebp)
{
    unwound->caller = caller;
    unwound->ebp = ebp;
    unwound->memory = memory;
    start(unwound, caller, esp);
    go_up(m, unwound, (struct level){caller - 1, esp + 4, ebp, false});
    return &unwound->backtrace;
}

static INLINED struct backtrace *stack_of_call(kc *m, uint32_t esp, uint32_t memory, uint32_t caller, uint32_t ebp)
{
    struct unwound *unwound = &m->unwinding->kept[(esp ^ caller) * 2654435761u >> 24];
    uint64_t changes = kc_interrupt_frames_changes(m), before = unwound->interrupt_changes;

    unwound->interrupt_changes = changes;
    if (!unwound->backtrace.count || unwound->caller != caller || unwound->esp != esp || unwound->ebp != ebp || unwound->memory != memory ||
        (before != changes && kc_interrupt_frames_changed(m, before, esp, unwound->interrupts_size)) || !is_same(m, unwound))
        return unwind_call(m, unwound, esp, memory, caller, ebp);
    return &unwound->backtrace;
}

_Static_assert(KEPT == 1 << (32 - 24), "stack_of_call() takes the upper 8 bits");

struct backtrace *kc_stack_at_entry(kc *m, const struct slot *at, uint32_t caller)
{
    return stack_of_call(m, at->esp, at->physical, caller, kc_ebp(m));
}

struct backtrace *kc_stack_at(kc *m, uint32_t eip)
{
    struct unwound *unwound = &m->unwinding->kept[KEPT]; /* never found again */
    uint32_t esp = kc_esp(m);

    start(unwound, eip + 1, esp);
    go_up(m, unwound, (struct level){eip, esp, kc_ebp(m), true});
    return &unwound->backtrace;
}

/* -- for Python, and of interrupts ------------------------------------------------------------- */

/* The frames of a backtrace from the one at `first` on. */
static kc_callers callers(const struct backtrace *w, uint32_t first)
{
    return (kc_callers){w->count + !w->is_whole - first, w->frames + first, w->slots + first, w->end};
}

void kc_callers_of(kc *m, uint32_t eip, kc_callers *out) { *out = callers(kc_stack_at(m, eip), 1); }

void kc_callers_of_call(kc *m, uint32_t esp, uint32_t ebp, kc_callers *out)
{
    *out = callers(stack_of_call(m, esp, kc_slot_memory(m, esp), kc_stack_word(m, esp), ebp), 0);
}

int kc_unwind(kc *m, const kc_rule *rules, uint32_t count, const uint32_t *ranges, uint32_t range_count)
{
    kc_rule *copy = count && range_count <= KC_CODE_RANGES ? malloc(count * sizeof *copy) : NULL;

    if ((count && !copy) || range_count > KC_CODE_RANGES)
        return -1;
    if (count)
        memcpy(copy, rules, count * sizeof *copy);
    free(m->unwinding->rules);
    m->unwinding->rules = copy;
    m->unwinding->rule_count = count;
    memcpy(m->unwinding->code_ranges, ranges, range_count * sizeof m->unwinding->code_ranges[0]);
    m->unwinding->code_range_count = range_count;
    memset(m->unwinding->rule_slots, 0, sizeof m->unwinding->rule_slots);
    for (uint32_t i = 0; i < KEPT; i++)
        m->unwinding->kept[i].backtrace.count = 0;
    return 0;
}

/* -- life ------------------------------------------------------------------------------------------ */

int kc_unwinding_init(kc *m) { return KC_NEW(m->unwinding); }

void kc_unwinding_free(kc *m)
{
    if (m->unwinding)
        free(m->unwinding->rules);
    free(m->unwinding);
}
