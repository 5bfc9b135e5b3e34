/* Call stacks: who called, and who called that one.
 *
 * A frame is left by the rule that the kernel's call frame information has for its address (.eh_frame, .debug_frame), or
 * else by the frame pointer: the caller's EBP and the return address lie at EBP. Code without either ends the backtrace. The rules
 * hold at every instruction. Without them, the innermost function may be one that has no frame yet, or none any more.
 *
 * A kernel calls its allocator from the same call sites again and again. So a backtrace is kept, with the words of the guest's
 * stack that it depends on: as long as they are the same, so is the backtrace.
 */
#include <stdlib.h>
#include <string.h>

#include "core/mmu.h"
#include "core/reports.h"
#include "record/ancestry.h"
#include "record/stack_numbers.h"
#include "record/unwinding.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"

enum { CFA_UNKNOWN, CFA_ESP, CFA_EBP };
enum { PUSH_EBP = 0x55, RET_IMM16 = 0xc2, RET = 0xc3, CALL_NEAR = 0xe8 }; /* Intel SDM 2 */
#define ENDBR32 0xfb1e0ff3u
#define FRAME_SIZE_MAX (1u << 20)
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
    uint64_t pushed_changes;
    struct backtrace backtrace; /* count 0: none */
    struct word_read reads[READS_MAX];
};

#define RULE_SLOTS 4096
#define PUSHED_MAX 64

/* Frames that interrupts have pushed and no iret has left: where EIP lies in each, its value, and where the handler begins;
 * the newest last. */
struct pushed {
    uint32_t count;
    struct frame { struct slot at; uint32_t eip, handler; } frames[PUSHED_MAX];
};

struct unwinding {
    kc_rule *rules;
    uint32_t rule_count, code_ranges[KC_CODE_RANGES][2], code_range_count;
    struct { uint32_t pc; const kc_rule *rule; } rule_slots[RULE_SLOTS];
    struct unwound kept[KEPT + 1];
    struct pushed pushed;
    uint64_t pushed_changes; /* how often it was changed */
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
    uint64_t words = two_words(m, at);

    if (unwound->read_count < READS_MAX)
        unwound->reads[unwound->read_count] = (struct word_read){words, mask, at};
    unwound->read_count += unwound->read_count <= READS_MAX;
    return words;
}

static bool is_same(kc *m, const struct unwound *unwound)
{
    if (unwound->read_count > READS_MAX)
        return false;
    for (uint32_t i = 0; i < unwound->read_count; i++)
        if ((two_words(m, unwound->reads[i].at) ^ unwound->reads[i].words) & unwound->reads[i].mask)
            return false;
    return true;
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

/* An interrupt came between the frames at [esp, end), in code that has no rules, as handlers in assembler have none. Where the
 * frame's end is unknown, end is 0: there are stacks of other tasks, which were interrupted too. */
static bool find_interrupt(kc *m, struct unwound *unwound, uint32_t pc, uint32_t esp, uint32_t end, uint32_t *at)
{
    for (uint32_t i = m->unwinding->pushed.count; i-- > 0;) {
        const struct frame *frame = &m->unwinding->pushed.frames[i];
        *at = frame->at.esp;
        if (*at < esp || (end && *at >= end) || !kc_slot_is_here(m, &frame->at) ||
            (uint32_t)read_noted(m, unwound, *at, LOWER) != frame->eip)
            continue;
        if (end)
            return true;
        unwound->read_count = READS_MAX + 1;
        if (kc_grew_below(m, esp - 4, pc + 1, frame->handler, *at))
            return true;
    }
    return false;
}

bool kc_is_interrupted(kc *m, uint32_t esp, uint32_t end)
{
    for (uint32_t i = 0; i < m->unwinding->pushed.count; i++) {
        const struct slot *at = &m->unwinding->pushed.frames[i].at;
        if (at->esp - esp < end - esp && kc_slot_is_here(m, at))
            return true;
    }
    return false;
}

/* ESP at an interrupt whose frame's EIP lies there: after EIP, CS and EFLAGS, unless it came from an outer ring, whose ESP follows. */
static uint32_t esp_before(kc *m, struct unwound *unwound, uint32_t at)
{
    uint32_t ring = (uint32_t)(read_noted(m, unwound, at, UPPER) >> 32) & 3;
    return ring == kc_ring(m) ? at + 12 : (uint32_t)read_noted(m, unwound, at + 12, LOWER);
}

/* Is it the EIP that an interrupt has pushed there? Handlers in C begin their frame with it. */
static bool is_pushed(kc *m, uint32_t at, uint32_t eip)
{
    for (uint32_t i = 0; i < m->unwinding->pushed.count; i++) {
        const struct frame *frame = &m->unwinding->pushed.frames[i];
        if (frame->at.esp == at && frame->eip == eip && kc_slot_is_here(m, &frame->at))
            return true;
    }
    return false;
}

/* Go up from an instruction in a frame, with the registers there. */
static void go_up(kc *m, struct unwound *unwound, uint32_t pc, uint32_t esp, uint32_t ebp)
{
    struct backtrace *w = &unwound->backtrace;

    while (w->count < KC_FRAMES && kc_is_code(m, pc)) {
        const kc_rule *rule = rule_of(m, pc);
        uint32_t base = !rule || rule->cfa_register == CFA_EBP ? ebp : esp;
        uint32_t cfa = base + (rule ? (uint32_t)rule->cfa_offset : 8);
        int32_t ebp_offset = rule ? rule->ebp_offset : -8;

        w->sure &= rule != NULL;
        if (!rule && m->unwinding->pushed.count) {
            uint32_t at, end = ebp - esp < FRAME_SIZE_MAX ? cfa - 4 : 0;
            if (find_interrupt(m, unwound, pc, esp, end, &at)) {
                kc_stack_words(m, at, &pc, 1);
                w->slots[w->count] = at;
                w->frames[w->count++] = pc + 1;
                esp = esp_before(m, unwound, at);
                continue;
            }
        }
        if (cfa <= esp || cfa - esp > FRAME_SIZE_MAX)
            break;
        uint64_t words = read_noted(m, unwound, cfa - 8, ebp_offset == -8 ? LOWER | UPPER : UPPER);
        if (ebp_offset == -8)
            ebp = (uint32_t)words;
        else if (ebp_offset)
            ebp = (uint32_t)read_noted(m, unwound, cfa + (uint32_t)ebp_offset, LOWER);
        if (!kc_is_code(m, words >> 32)) {
            w->end = cfa;
            return;
        }
        bool is_interrupt = is_pushed(m, cfa - 4, words >> 32);
        pc = (uint32_t)(words >> 32) - !is_interrupt;
        w->slots[w->count] = cfa - 4;
        w->frames[w->count++] = pc + 1;
        esp = is_interrupt ? esp_before(m, unwound, cfa - 4) : cfa;
    }
}

static void start(kc *m, struct unwound *unwound, uint32_t frame, uint32_t esp)
{
    unwound->read_count = 0;
    unwound->backtrace.number = 0;
    unwound->backtrace.end = 0;
    unwound->backtrace.sure = m->unwinding->rule_count > 0;
    unwound->backtrace.count = 1;
    unwound->backtrace.frames[0] = frame;
    unwound->backtrace.slots[0] = esp;
}

static struct backtrace *stack_of_call(kc *m, uint32_t esp, uint32_t memory, uint32_t caller, uint32_t ebp)
{
    struct unwound *unwound = &m->unwinding->kept[(esp ^ caller) * 2654435761u >> 24];

    if (!unwound->backtrace.count || unwound->caller != caller || unwound->esp != esp || unwound->ebp != ebp ||
        unwound->memory != memory || unwound->pushed_changes != m->unwinding->pushed_changes || !is_same(m, unwound)) {
        unwound->caller = caller;
        unwound->esp = esp;
        unwound->ebp = ebp;
        unwound->memory = memory;
        unwound->pushed_changes = m->unwinding->pushed_changes;
        start(m, unwound, caller, esp);
        go_up(m, unwound, caller - 1, esp + 4, ebp);
    }
    return &unwound->backtrace;
}

_Static_assert(KEPT == 1 << (32 - 24), "stack_of_call() takes the upper 8 bits");

struct backtrace *kc_stack_at_entry(kc *m, const struct slot *at, uint32_t caller)
{
    return stack_of_call(m, at->esp, at->physical, caller, kc_ebp(m));
}

static uint32_t code_at(kc *m, uint32_t eip)
{
    uint32_t word;

    kc_words(m, kc_segment_base(m, CS) + eip, &word, 1);
    return word;
}

/* Is it the address after a call of a function by its name? */
static bool is_after_call_of(kc *m, uint32_t address, uint32_t function)
{
    return kc_is_code(m, address - 1) && (uint8_t)code_at(m, address - 5) == CALL_NEAR &&
           address + code_at(m, address - 4) == function;
}

/* Is EBP still, or again, that of the caller of the function that stands at `eip`? Tells where the return address lies. For code
 * without rules that keeps frame pointers: there it is so until `mov %esp, %ebp`, and from `leave` or `pop %ebp` on. Compilers put
 * other instructions in between. */
static bool has_no_frame(kc *m, uint32_t eip, uint32_t esp, uint32_t ebp, uint32_t *slot)
{
    uint32_t function = kc_function_start(m, eip), first = function, top[2];
    uint8_t next = (uint8_t)code_at(m, eip);

    *slot = esp;
    if (next == RET || next == RET_IMM16)
        return true;
    if (!function)
        return false;
    if (code_at(m, function) == ENDBR32)
        first += 4;
    kc_stack_words(m, esp, top, 2);
    if (eip == function || eip == first || is_after_call_of(m, top[0], function))
        return true;
    *slot = esp + 4;
    return top[0] == ebp && ((eip == first + 1 && (uint8_t)code_at(m, first) == PUSH_EBP) || is_after_call_of(m, top[1], function));
}

struct backtrace *kc_stack_at(kc *m, uint32_t eip)
{
    struct unwound *unwound = &m->unwinding->kept[KEPT]; /* never found again */
    uint32_t esp = kc_esp(m), ebp = kc_ebp(m), slot, caller;

    start(m, unwound, eip + 1, esp);
    if (!rule_of(m, eip) && has_no_frame(m, eip, esp, ebp, &slot)) {
        struct backtrace *w = &unwound->backtrace;
        kc_stack_words(m, slot, &caller, 1);
        if (kc_is_code(m, caller) && !is_pushed(m, slot, caller)) {
            w->sure = false;
            w->slots[w->count] = slot;
            w->frames[w->count++] = caller;
            go_up(m, unwound, caller - 1, slot + 4, ebp);
            return w;
        }
    }
    go_up(m, unwound, eip, esp, ebp);
    return &unwound->backtrace;
}

/* -- for Python, and of interrupts ------------------------------------------------------------- */

/* The frames of a backtrace from the one at `first` on. */
static kc_callers callers(const struct backtrace *w, uint32_t first)
{
    return (kc_callers){w->count - first, w->frames + first, w->slots + first, w->end};
}

void kc_callers_of(kc *m, uint32_t eip, kc_callers *out) { *out = callers(kc_stack_at(m, eip), 1); }

void kc_callers_of_call(kc *m, uint32_t esp, uint32_t ebp, kc_callers *out)
{
    uint32_t caller;

    kc_stack_words(m, esp, &caller, 1);
    *out = callers(stack_of_call(m, esp, kc_slot_memory(m, esp), caller, ebp), 0);
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

static void forget_frame(kc *m, uint32_t index)
{
    struct pushed *p = &m->unwinding->pushed;
    memmove(p->frames + index, p->frames + index + 1, (--p->count - index) * sizeof *p->frames);
    m->unwinding->pushed_changes++;
}

void kc_on_interrupt(kc *m, uint32_t at, uint32_t eip, uint32_t handler)
{
    struct pushed *p = &m->unwinding->pushed;

    if (!kc_sees_flags(m))
        return; /* it would never be known to be left */
    kc_frame_left(m, kc_frame_at(m, at)); /* the slot is used again */
    if (p->count == PUSHED_MAX)
        forget_frame(m, 0);
    p->frames[p->count++] = (struct frame){kc_slot_at(m, at), eip, handler};
    m->unwinding->pushed_changes++;
}

int kc_frame_at(kc *m, uint32_t esp)
{
    int i = (int)m->unwinding->pushed.count;
    uint32_t memory = i ? kc_slot_memory(m, esp) : 0;

    while (i-- > 0 && m->unwinding->pushed.frames[i].at.physical != memory) {}
    return i;
}

void kc_frame_left(kc *m, int frame)
{
    if (frame >= 0)
        forget_frame(m, (uint32_t)frame);
}

/* -- life, snapshots ------------------------------------------------------------------------------ */

int kc_unwinding_save(kc *m, void **out)
{
    struct pushed *saved = malloc(sizeof *saved);

    if (!saved)
        return -1;
    *saved = m->unwinding->pushed;
    *out = saved;
    return 0;
}

int kc_unwinding_restore(kc *m, const void *saved)
{
    m->unwinding->pushed = *(const struct pushed *)saved;
    m->unwinding->pushed_changes++;
    return 0;
}

int kc_unwinding_init(kc *m) { return KC_NEW(m->unwinding); }

void kc_unwinding_free(kc *m)
{
    if (m->unwinding)
        free(m->unwinding->rules);
    free(m->unwinding);
}
