/* What the kernel's code says of its functions.
 *
 * Kernels without call frame information leave it to the code itself to say what a stack can mean. A word that was pushed by a call
 * is the address after a call instruction. What that instruction calls, or what this leads to by jumps and by going on where it
 * ends, is the function of the inner frame. And EBP is a frame pointer only in functions that have made it one.
 *
 * Nothing is disassembled: every byte is taken for an instruction. So a function may seem to lead to another one that it does not
 * lead to. Jumps through pointers in memory are not followed.
 */
#include <stdlib.h>
#include <string.h>

#include "core/mmu.h"
#include "record/functions.h"
#include "record/unwinding.h"

enum { REACHED_MAX = 32, PIECES_MAX = 16, LEADS = 1024, PROLOGUE_MAX = 64 };
#define FUNCTION_MAX (64u << 10) /* bytes, of a function whose end is not known */
/* Intel SDM 2 */
enum {
    TWO_BYTES = 0x0f,
    PUSH_EAX = 0x50,
    PUSH_EBP = 0x55,
    POP_EAX = 0x58,
    PUSHA = 0x60,
    LEA = 0x8d,
    NOP = 0x90,
    CALL_FAR = 0x9a,
    MOV_IMM = 0xb8,
    RET_IMM16 = 0xc2,
    RET = 0xc3,
    IRET = 0xcf,
    CALL_NEAR = 0xe8,
    JUMP_NEAR = 0xe9,
    JUMP_FAR = 0xea,
    JUMP_SHORT = 0xeb,
    GROUP_5 = 0xff,
};
#define MOV_ESP_EBP 0xe589       /* as gcc writes it */
#define MOV_ESP_EBP_OTHER 0xec8b /* as others do */
#define UD2 0x0b0f

struct functions {
    kc_extent *extents;
    uint32_t count, entry;
    struct lead { uint32_t from, to; bool comes_back, yes; } leads[LEADS];
};

const kc_extent *kc_extent_at(const kc_extent *extents, uint32_t count, uint32_t address)
{
    uint32_t low = 0, high = count; /* the last one with start <= address is in [low - 1, high - 1] */

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (extents[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low && address < extents[low - 1].end ? &extents[low - 1] : NULL;
}

const kc_extent *kc_function_at(const kc *m, uint32_t address)
{
    return kc_extent_at(m->functions->extents, m->functions->count, address);
}

uint32_t kc_function_start(const kc *m, uint32_t address)
{
    const kc_extent *function = kc_function_at(m, address);
    return function ? function->start : 0;
}

/* What a kernel has run before paging may not be mapped any more. */
static uint32_t code_at(kc *m, uint32_t address)
{
    uint32_t linear = kc_segment_base(m, CS) + address, word;

    if (kc_translate_used(m, linear) < 0 && (uint64_t)linear + 4 <= m->memory_end)
        return kc_load32(m, linear);
    kc_words(m, linear, &word, 1);
    return word;
}

/* -- calls ---------------------------------------------------------------------------------------- */

/* The length of a call through a pointer, without prefixes; 0: it is none. Intel SDM 2A, CALL and table 2-2. */
static uint32_t length_of_indirect(uint32_t code)
{
    uint8_t mode = code >> 14 & 3, operation = code >> 11 & 7, base = code >> 8 & 7;
    static const uint8_t displacements[] = {0, 1, 4, 0};

    if ((uint8_t)code != GROUP_5 || !(operation == 2 || (operation == 3 && mode != 3)))
        return 0;
    if (mode == 0 && base == 5)
        return 6;
    if (mode != 3 && base == 4)
        return mode == 0 && (code >> 16 & 7) == 5 ? 7 : 3 + displacements[mode];
    return 2 + displacements[mode];
}

bool kc_is_after_call(kc *m, uint32_t address, uint32_t *target)
{
    *target = 0;
    if (!kc_is_code(m, address - 1))
        return false;
    if ((uint8_t)code_at(m, address - 5) == CALL_NEAR && kc_is_code(m, address + code_at(m, address - 4))) {
        *target = address + code_at(m, address - 4);
        return true;
    }
    for (uint32_t length = 2; length <= 7; length++)
        if (length_of_indirect(code_at(m, address - length)) == length)
            return true;
    return (uint8_t)code_at(m, address - 7) == CALL_FAR;
}

static uint32_t data_at(kc *m, uint32_t address)
{
    uint32_t word;

    kc_words(m, kc_segment_base(m, DS) + address, &word, 1);
    return word;
}

/* A general register, as it was before a call; `esp`: now. */
static uint32_t before_call(kc *m, unsigned number, uint32_t esp)
{
    return number == 4 ? esp + 4 : kc_general(m, number);
}

/* Where a call through a pointer leads to, with registers as they are. Intel SDM 2A, tables 2-2 and 2-3. */
static uint32_t indirect_target(kc *m, uint32_t address, uint32_t esp)
{
    uint32_t code = code_at(m, address), mode = code >> 14 & 3, base = code >> 8 & 7, sum = 0;
    bool has_sib = mode != 3 && base == 4;

    if (mode == 3)
        return before_call(m, base, esp);
    if (has_sib) {
        uint32_t index = code >> 19 & 7, scale = code >> 22 & 3;
        base = code >> 16 & 7;
        sum = index == 4 ? 0 : kc_general(m, index) << scale;
    }
    if (mode == 0 && base == 5)
        return data_at(m, sum + code_at(m, address + 2 + has_sib));
    sum += before_call(m, base, esp);
    if (mode)
        sum += mode == 1 ? (uint32_t)(int8_t)code_at(m, address + 2 + has_sib) : code_at(m, address + 2 + has_sib);
    return data_at(m, sum);
}

bool kc_has_called(kc *m, uint32_t address, uint32_t pc, uint32_t esp)
{
    enum { NEAR = 2 };

    for (uint32_t length = 2; kc_is_code(m, address - 1) && length <= 7; length++) {
        uint32_t code = code_at(m, address - length);
        if (length_of_indirect(code) == length && (code >> 11 & 7) == NEAR && indirect_target(m, address - length, esp) == pc)
            return true;
    }
    return false;
}

/* -- jumps ---------------------------------------------------------------------------------------- */

/* Where a jump through a register leads that was loaded by the instruction before, as code does that moves to other addresses; 0: it
 * is none. */
static uint32_t loaded_target(kc *m, uint32_t address)
{
    uint32_t code = code_at(m, address), is_lea = (uint8_t)code == LEA && (code >> 8 & 0xc7) == 5;
    uint32_t jump = code_at(m, address + 5 + is_lea), number = is_lea ? code >> 11 & 7 : code & 7;

    if (!is_lea && (code & 0xf8) != MOV_IMM)
        return 0;
    return (uint8_t)jump == GROUP_5 && (uint8_t)(jump >> 8) == (0xe0 | number) ? code_at(m, address + 1 + is_lea) : 0;
}

/* The function that an instruction jumps to if it is a direct jump, taken or not, out of its own function; else NULL. */
static const kc_extent *jump_target(kc *m, uint32_t address, const kc_extent *own)
{
    uint32_t word = code_at(m, address), target;
    uint8_t first = (uint8_t)word, second = (uint8_t)(word >> 8);
    bool is_short = first == JUMP_SHORT || first >> 4 == 7;

    if (first == JUMP_NEAR)
        target = address + 5 + code_at(m, address + 1);
    else if (first == TWO_BYTES && second >> 4 == 8)
        target = address + 6 + code_at(m, address + 2);
    else if (is_short)
        target = address + 2 + (uint32_t)(int8_t)second;
    else if (first == JUMP_FAR)
        target = code_at(m, address + 1);
    else
        target = loaded_target(m, address);
    const kc_extent *function = kc_function_at(m, target);
    if (function == own || (is_short && function && target != function->start)) /* that far it leads by chance only */
        return NULL;
    return function;
}

/* The label that a function goes on in, where it ends by no instruction that leads elsewhere; NULL: none. Does a call at its end come
 * back? */
static const kc_extent *next_piece(kc *m, const kc_extent *function, bool comes_back)
{
    uint32_t end = function->end, target;

    if (function + 1 == m->functions->extents + m->functions->count || function[1].start != end)
        return NULL;
    while (end > function->start && (uint8_t)code_at(m, end - 1) == NOP)
        end--;
    uint32_t last = code_at(m, end - 4) >> 24, last_two = code_at(m, end - 4) >> 16;
    bool leaves = last == RET || last == IRET || last_two == UD2 || (uint8_t)code_at(m, end - 3) == RET_IMM16 ||
                  (uint8_t)code_at(m, end - 5) == JUMP_NEAR || (last_two & 0xff) == JUMP_SHORT ||
                  (!comes_back && kc_is_after_call(m, end, &target));
    return leaves ? NULL : function + 1;
}

static bool find_lead(kc *m, const kc_extent *from, const kc_extent *to, bool comes_back)
{
    const kc_extent *reached[REACHED_MAX + 1] = {from};
    uint32_t count = 1;

    for (uint32_t i = 0; i < count; i++) {
        const kc_extent *function = reached[i], *next = next_piece(m, function, comes_back);
        if (function == to)
            return true;
        for (uint32_t at = function->start; at <= function->end; at++, next = jump_target(m, at, function)) {
            uint32_t known = 0;
            while (next && known < count && reached[known] != next)
                known++;
            if (next && known == count && count < REACHED_MAX)
                reached[count++] = next;
        }
    }
    return false;
}

static bool leads(kc *m, const kc_extent *from, const kc_extent *to, bool comes_back)
{
    uint32_t slot = ((from->start * 31 + to->start) * 2 + comes_back) * 2654435761u >> 22;
    struct lead *lead = &m->functions->leads[slot];

    if (lead->from != from->start || lead->to != to->start || lead->comes_back != comes_back)
        *lead = (struct lead){from->start, to->start, comes_back, from == to || find_lead(m, from, to, comes_back)};
    return lead->yes;
}

_Static_assert(LEADS == 1 << (32 - 22), "leads() takes the upper 10 bits");

bool kc_leads_to(kc *m, uint32_t function, uint32_t address)
{
    const kc_extent *from = kc_function_at(m, function), *to = kc_function_at(m, address);

    return from && to && leads(m, from, to, true);
}

/* Handlers often follow the call of the kernel's main function, which does not come back. */
bool kc_is_entry_code(kc *m, uint32_t address)
{
    const kc_extent *from = kc_function_at(m, m->functions->entry), *to = kc_function_at(m, address);

    return from && to && leads(m, from, to, false);
}

/* -- frame pointers ------------------------------------------------------------------------------- */

/* Is EBP made a frame pointer between two addresses? Compilers put other instructions between `push %ebp` and `mov %esp, %ebp`, but
 * none that pushes: what has, as handlers do that save all registers, points EBP elsewhere. */
static bool has_prologue(kc *m, uint32_t start, uint32_t end)
{
    for (uint32_t at = start; at < end; at++) {
        uint8_t next = (uint8_t)code_at(m, at + 1);
        if ((uint8_t)code_at(m, at) != PUSH_EBP || (next >= PUSH_EAX && next < POP_EAX) || next == PUSHA)
            continue;
        for (uint32_t mov = at + 1; mov < end && mov - at < PROLOGUE_MAX; mov++) {
            uint16_t word = (uint16_t)code_at(m, mov);
            if (word == MOV_ESP_EBP || word == MOV_ESP_EBP_OTHER)
                return true;
        }
    }
    return false;
}

/* Labels in assembler code make pieces of one function. */
bool kc_keeps_frame_pointer(kc *m, uint32_t pc)
{
    const kc_extent *function = kc_function_at(m, pc), *piece = function;

    for (int i = 0; piece && i < PIECES_MAX; i++, piece--) {
        if (kc_leads_to(m, piece->start, pc) && has_prologue(m, piece->start, pc))
            return true;
        if (piece == m->functions->extents || piece[-1].end != piece->start)
            return false;
    }
    return !function; /* kc_is_caller_of() looks, from where it was called */
}

bool kc_is_caller_of(kc *m, uint32_t address, uint32_t pc)
{
    uint32_t target;

    if (!kc_is_after_call(m, address, &target))
        return false;
    if (pc < KC_NULL_END || kc_function_at(m, pc))
        return !target || kc_leads_to(m, target, pc);
    return target && pc - target < FUNCTION_MAX && has_prologue(m, target, pc);
}

/* -- for Python ----------------------------------------------------------------------------------- */

int kc_functions(kc *m, const kc_extent *functions, uint32_t count, uint32_t entry)
{
    kc_extent *copy = count ? malloc(count * sizeof *copy) : NULL;

    if (count && !copy)
        return -1;
    if (count)
        memcpy(copy, functions, count * sizeof *copy);
    free(m->functions->extents);
    m->functions->extents = copy;
    m->functions->count = count;
    m->functions->entry = entry;
    memset(m->functions->leads, 0, sizeof m->functions->leads);
    return 0;
}

int kc_functions_init(kc *m) { return KC_NEW(m->functions); }

void kc_functions_free(kc *m)
{
    if (m->functions)
        free(m->functions->extents);
    free(m->functions);
}
