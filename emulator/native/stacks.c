/* Call stacks: who called, and who called that one.
 *
 * A frame is left by the rule that the kernel's call frame information has for its address (.eh_frame, .debug_frame), or
 * else by the frame pointer: the caller's EBP and the return address lie at EBP. Code without either ends the walk.
 *
 * Stacks are kept once each and then only numbered.
 */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

enum { CFA_UNKNOWN, CFA_ESP, CFA_EBP };
#define FRAME_SIZE_MAX (1u << 20)
#define STACKS_MAX (1u << 24)

static bool is_code(const kc *m, uint32_t address)
{
    for (uint32_t i = 0; i < m->code_range_count; i++)
        if (address - m->code_ranges[i][0] < m->code_ranges[i][1] - m->code_ranges[i][0])
            return true;
    return false;
}

static const kc_rule *search_rule(const kc *m, uint32_t pc)
{
    uint32_t low = 0, high = m->rule_count; /* the last rule with start <= pc is in [low - 1, high - 1] */

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->rules[middle].start <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    return low && m->rules[low - 1].cfa_register != CFA_UNKNOWN ? &m->rules[low - 1] : NULL;
}

static const kc_rule *rule_of(kc *m, uint32_t pc)
{
    uint32_t slot = pc * 2654435761u >> 20;

    if (!m->rule_count)
        return NULL;
    if (m->rule_slots[slot].pc != pc) {
        m->rule_slots[slot].pc = pc;
        m->rule_slots[slot].rule = search_rule(m, pc);
    }
    return m->rule_slots[slot].rule;
}

_Static_assert(RULE_SLOTS == 1 << (32 - 20), "rule_of() takes the upper 12 bits");

/* An interrupt came between the frames at [esp, cfa), in code that has no rules, as handlers in assembler have none. */
static const struct pushed *find_interrupt(kc *m, uint32_t esp, uint32_t cfa)
{
    for (uint32_t i = m->pushed_count; i-- > 0 && i + PUSHED >= m->pushed_count;) {
        const struct pushed *pushed = &m->pushed[i % PUSHED];
        uint32_t eip;
        if (pushed->at < esp || pushed->at >= cfa)
            continue;
        kc_words(m, pushed->at, &eip, 1);
        if (eip == pushed->eip)
            return pushed;
    }
    return NULL;
}

/* Go up from an instruction in a frame, with the registers there. */
static void walk(kc *m, uint32_t pc, uint32_t esp, uint32_t ebp, struct walked *w)
{
    while (w->count < KC_FRAMES && is_code(m, pc)) {
        const kc_rule *rule = rule_of(m, pc);
        uint32_t base = !rule || rule->cfa_register == CFA_EBP ? ebp : esp;
        uint32_t cfa = base + (rule ? (uint32_t)rule->cfa_offset : 8), words[2];
        int32_t ebp_offset = rule ? rule->ebp_offset : -8;

        w->sure &= rule != NULL;
        if (!rule && m->pushed_count) {
            const struct pushed *interrupt = find_interrupt(m, esp, ebp - esp < FRAME_SIZE_MAX ? cfa : esp + FRAME_SIZE_MAX);
            if (interrupt) {
                w->slots[w->count] = interrupt->at;
                w->frames[w->count++] = interrupt->eip + 1;
                pc = interrupt->eip;
                esp = interrupt->at + 12; /* behind EIP, CS and EFLAGS */
                continue;
            }
        }
        if (cfa <= esp || cfa - esp > FRAME_SIZE_MAX)
            break;
        kc_words(m, cfa - 8, words, 2);
        if (ebp_offset == -8)
            ebp = words[0];
        else if (ebp_offset)
            kc_words(m, cfa + (uint32_t)ebp_offset, &ebp, 1);
        if (!is_code(m, words[1])) {
            return;
        }
        w->slots[w->count] = cfa - 4;
        w->frames[w->count++] = words[1];
        pc = words[1] - 1;
        esp = cfa;
    }
}

void kc_stack_at_entry(kc *m, uint32_t esp, struct walked *out)
{
    out->count = 1;
    out->sure = m->rule_count > 0;
    out->slots[0] = esp;
    kc_words(m, esp, &out->frames[0], 1);
    walk(m, out->frames[0] - 1, esp + 4, kc_ebp(m), out);
}

void kc_stack_at(kc *m, uint32_t eip, struct walked *out)
{
    uint32_t esp = kc_esp(m);

    out->count = 1;
    out->sure = m->rule_count > 0;
    out->slots[0] = esp;
    out->frames[0] = eip + 1;
    walk(m, eip, esp, kc_ebp(m), out);
}

/* -- numbers -------------------------------------------------------------------------------------- */

static uint32_t hash_of(const uint32_t *words, uint32_t count)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < count; i++)
        hash = (hash ^ words[i]) * 16777619u;
    return hash ^ hash >> 15;
}

static void *grown(void *list, uint32_t *capacity, uint32_t needed, size_t size)
{
    uint32_t larger = *capacity ? *capacity : 256;

    if (needed <= *capacity)
        return list;
    while (larger < needed)
        larger *= 2;
    list = realloc(list, larger * size);
    if (list)
        *capacity = larger;
    return list;
}

/* Twice as many slots as stacks, and empty slots are 0. */
static bool room_for_slots(kc *m)
{
    if (m->stack_slot_count > 2 * (m->stack_count + 1))
        return true;
    uint32_t count = m->stack_slot_count ? 2 * m->stack_slot_count : 1024, *slots = calloc(count, sizeof *slots);
    if (!slots)
        return false;
    for (uint32_t number = 1; number <= m->stack_count; number++) {
        uint32_t at = m->stacks[number].hash & (count - 1);
        while (slots[at])
            at = (at + 1) & (count - 1);
        slots[at] = number;
    }
    free(m->stack_slots);
    m->stack_slots = slots;
    m->stack_slot_count = count;
    return true;
}

static uint32_t new_stack(kc *m, const struct walked *w, uint32_t hash, uint32_t call)
{
    if (m->stack_count + 1 >= STACKS_MAX)
        return 0;
    void *stacks = grown(m->stacks, &m->stack_capacity, m->stack_count + 2, sizeof *m->stacks);
    if (!stacks)
        return 0;
    m->stacks = stacks;
    void *words = grown(m->stack_words, &m->stack_word_capacity, m->stack_word_count + w->count, sizeof *m->stack_words);
    if (!words)
        return 0;
    m->stack_words = words;
    memcpy(m->stack_words + m->stack_word_count, w->frames, w->count * sizeof *w->frames);
    m->stacks[++m->stack_count] = (struct stack){hash, m->stack_word_count, call, (uint16_t)w->count};
    m->stack_word_count += w->count;
    return m->stack_count;
}

uint32_t kc_stack_number(kc *m, const struct walked *w, uint32_t call)
{
    uint32_t hash = hash_of(w->frames, w->count);

    if (!room_for_slots(m))
        return 0;
    uint32_t at = hash & (m->stack_slot_count - 1);
    for (; m->stack_slots[at]; at = (at + 1) & (m->stack_slot_count - 1)) {
        const struct stack *known = &m->stacks[m->stack_slots[at]];
        if (known->hash == hash && known->count == w->count &&
            memcmp(m->stack_words + known->first, w->frames, w->count * sizeof *w->frames) == 0)
            return m->stack_slots[at];
    }
    return m->stack_slots[at] = new_stack(m, w, hash, call);
}

uint32_t kc_stack_count(kc *m) { return m->stack_count; }

const uint32_t *kc_stack(kc *m, uint32_t stack, uint32_t *count, uint32_t *call)
{
    *count = m->stacks[stack].count;
    *call = m->stacks[stack].call;
    return m->stack_words + m->stacks[stack].first;
}

/* -- for Python, and for interrupts.c ------------------------------------------------------------- */

int kc_unwind(kc *m, const kc_rule *rules, uint32_t count, const uint32_t *ranges, uint32_t range_count)
{
    kc_rule *copy = count ? malloc(count * sizeof *copy) : NULL;

    if ((count && !copy) || range_count > KC_CODE_RANGES)
        return -1;
    if (count)
        memcpy(copy, rules, count * sizeof *copy);
    free(m->rules);
    m->rules = copy;
    m->rule_count = count;
    memcpy(m->code_ranges, ranges, range_count * sizeof m->code_ranges[0]);
    m->code_range_count = range_count;
    memset(m->rule_slots, 0, sizeof m->rule_slots);
    return 0;
}

void kc_interrupt_pushed(kc *m, uint32_t at, uint32_t eip)
{
    m->pushed[m->pushed_count++ % PUSHED] = (struct pushed){at, eip};
}

void kc_stacks_free(kc *m)
{
    free(m->rules);
    free(m->stacks);
    free(m->stack_slots);
    free(m->stack_words);
}
