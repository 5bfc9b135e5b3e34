/* Accesses below ESP: of what an interrupt may overwrite at any time.
 *
 * Theory of operation. An interrupt in ring 0 pushes to the stack that is in use (Intel SDM vol. 3A, 6.12.1), so nothing below ESP is kept while EFLAGS.IF is set.
 * Instructions whose operand may lie there are few, and found when they are translated: those by ESP with a negative displacement, and those by EBP
 * whose displacement leads below ESP as both registers are when their block is translated. What pushes, pops, and sets up a frame in front of them in the block is followed for that.
 * They are told before they are executed (unicorn/translation.c), and looked at with the registers as they are then. No other instruction costs anything.
 *
 * What changes nothing and learns nothing is no access: `lock add $0, -4(%esp)` and `xchg` are how memory is fenced, `or $0` and `test` how stacks are probed, and
 * `sidt -2(%esp)` how its address is got without its limit.
 *
 * Shortcomings. An operand with an index is not looked at, nor are those of MMX and SSE, of `bt` with a register, `fxsave` and its like. More than a page below ESP may be what is no stack. By EBP
 * it is missed where a block lay in another frame when it was translated. An NMI comes with interrupts off, too.
 */
#include <string.h>

#include "core/mmu.h"
#include "core/ram.h"
#include "observe/below_stack.h"
#include "unicorn/reports.h"
#include "unicorn/state.h"

enum { ESP = 4, EBP = 5, WORD = 4, FLAG_IF = 1 << 9 };
enum { BYTES = 20 }; /* the longest instruction, and what says whether the next one asks for flags */
enum { TWO_BYTES = 0x0f };

/* A memory operand by ESP or EBP, without an index. */
struct operand {
    unsigned base;
    int segment;           /* enum segment */
    int32_t displacement;
    int moves;             /* bytes; negative: it is stored to */
    unsigned pops;         /* bytes, before its address is computed */
};

/* -- instructions: Intel SDM vol. 2, their tables in appendix A --------------------------------------------- */

static int32_t number_at(const uint8_t *at, unsigned size)
{
    int32_t number = 0;

    memcpy(&number, at, size);
    return size == 1 ? (int8_t)number : size == 2 ? (int16_t)number : number;
}

static int moves_of_fpu(uint8_t opcode, unsigned reg, int word)
{
    enum { ENVIRONMENT = 28, LESS_OF_16_BITS = 14 };
    static const int8_t moves[8][8] = {
        {4, 4, 4, 4, 4, 4, 4, 4},
        {4, 0, -4, -4, ENVIRONMENT, 2, -ENVIRONMENT, -2},
        {4, 4, 4, 4, 4, 4, 4, 4},
        {4, -4, -4, -4, 0, 10, 0, -10},
        {8, 8, 8, 8, 8, 8, 8, 8},
        {8, -8, -8, -8, ENVIRONMENT + 80, 0, -ENVIRONMENT - 80, -2},
        {2, 2, 2, 2, 2, 2, 2, 2},
        {2, -2, -2, -2, 10, 8, -10, -8},
    };
    int moved = moves[opcode & 7][reg], less = word == WORD ? 0 : LESS_OF_16_BITS;

    return moved >= ENVIRONMENT ? moved - less : moved <= -ENVIRONMENT ? moved + less : moved;
}

/* How many bytes of its memory operand an instruction loads, or, negative, stores to. `reg`: of the ModR/M byte. 0: it has none, or it is not known. */
static int moves_of(uint8_t opcode, unsigned reg, int word)
{
    int size = opcode & 1 ? word : 1;

    if (opcode < 0x40)
        return (opcode & 7) < 2 && opcode < 0x38 ? -size : (opcode & 7) < 4 ? size : 0;
    switch (opcode) {
    case 0x62: return 2 * word;
    case 0x63: case 0x8c: return -2;
    case 0x69: case 0x6b: return word;
    case 0x80 ... 0x83: return reg == 7 ? size : -size;
    case 0x84: case 0x85: case 0x8a: case 0x8b: return size;
    case 0x88: case 0x89: case 0xc0: case 0xc1: case 0xd0 ... 0xd3: return -size;
    case 0x8e: return 2;
    case 0x8f: return reg == 0 ? -word : 0;
    case 0xc4: case 0xc5: return word + 2;
    case 0xc6: case 0xc7: return reg == 0 ? -size : 0;
    case 0xd8 ... 0xdf: return moves_of_fpu(opcode, reg, word);
    case 0xf6: case 0xf7: return reg == 2 || reg == 3 ? -size : size;
    case 0xfe: return reg < 2 ? -1 : 0;
    case 0xff: return reg < 2 ? -word : reg == 7 ? 0 : reg & 1 ? word + 2 : word;
    default: return 0;
    }
}

/* The same of one after TWO_BYTES. */
static int moves_of_two_bytes(uint8_t opcode, unsigned reg, int word)
{
    static const int8_t of_tasks[8] = {-2, -2, 2, 2, 2, 2}, of_tables[8] = {-6, -6, 6, 6, -2, 0, 2, 0};

    switch (opcode) {
    case 0x00: return of_tasks[reg];
    case 0x01: return of_tables[reg];
    case 0x02: case 0x03: case 0xb7: case 0xbf: return 2;
    case 0x40 ... 0x4f: case 0xaf: case 0xbc: case 0xbd: return word;
    case 0x90 ... 0x9f: case 0xb0: case 0xc0: return -1;
    case 0xa4: case 0xa5: case 0xac: case 0xad: case 0xb1: case 0xc1: return -word;
    case 0xb2: case 0xb4: case 0xb5: return word + 2;
    case 0xb6: case 0xbe: return 1;
    case 0xba: return reg == 4 ? word : reg > 4 ? -word : 0;
    case 0xc3: return -4;
    case 0xc7: return reg == 1 ? -8 : 0;
    default: return 0;
    }
}

static bool asks_for_flags(const uint8_t *code)
{
    uint8_t kind = code[1] >> 4;

    return code[0] >> 4 == 7 || (code[0] == TWO_BYTES && (kind == 4 || kind == 8 || kind == 9));
}

/* Is it one that is not meant to access anything? `rest`: what follows its operand. */
static bool is_idle(uint8_t opcode, unsigned reg, int word, const uint8_t *rest)
{
    enum { ADD = 0, OR = 1, AND = 4, SUB = 5, XOR = 6 };

    if (opcode >= 0x80 && opcode <= 0x83) {
        int32_t by = number_at(rest, opcode == 0x81 ? (unsigned)word : 1);
        return reg == AND ? by == -1 : (reg == ADD || reg == OR || reg == SUB || reg == XOR) && by == 0;
    }
    if (opcode == 0x84 || opcode == 0x85)
        return !asks_for_flags(rest);
    return (opcode == 0xf6 || opcode == 0xf7) && reg < 2 && !asks_for_flags(rest + (opcode & 1 ? word : 1));
}

/* Skip the prefixes. False: addresses have 16 bits. */
static bool skip_prefixes(const uint8_t **at, int *word, int *segment)
{
    static const uint8_t overrides[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};

    for (int i = 0; i < 14; i++, ++*at) {
        const uint8_t *override = memchr(overrides, **at, sizeof overrides);
        if (override)
            *segment = (int)(override - overrides); /* enum segment has their order */
        else if (**at == 0x66)
            *word = 2;
        else if (**at == 0x67)
            return false;
        else if (**at != 0xf0 && **at != 0xf2 && **at != 0xf3)
            return true;
    }
    return false;
}

/* The operand of an instruction. False: it has none that may lie below ESP, or does not use it. */
static bool decode(const uint8_t *at, struct operand *out)
{
    int word = WORD;

    *out = (struct operand){.segment = SS};
    if (!skip_prefixes(&at, &word, &out->segment))
        return false;
    bool has_two = *at == TWO_BYTES;
    at += has_two;
    uint8_t opcode = *at++, modrm = *at++, mode = modrm >> 6;
    unsigned reg = modrm >> 3 & 7;
    out->base = modrm & 7;
    if (mode != 1 && mode != 2)
        return false;
    if (out->base == ESP) {
        if ((*at >> 3 & 7) != ESP) /* there is an index */
            return false;
        out->base = *at++ & 7;
    }
    unsigned size = mode == 1 ? 1 : WORD;
    out->displacement = number_at(at, size);
    at += size;
    if ((out->base != ESP && out->base != EBP) || out->displacement >= 0 || out->displacement <= -(int32_t)PAGE_SIZE)
        return false;
    out->moves = has_two ? moves_of_two_bytes(opcode, reg, word) : moves_of(opcode, reg, word);
    out->pops = !has_two && opcode == 0x8f ? (unsigned)word : 0;
    bool is_address_of_table = has_two && opcode == 1 && reg < 2 && out->displacement == -2;
    return out->moves && !is_address_of_table && (has_two || !is_idle(opcode, reg, word, at));
}

static int64_t translated(kc *m, uint32_t linear)
{
    int64_t at = kc_translate_used(m, linear);
    return at < 0 ? kc_translate(m, linear) : at;
}

/* What cannot be read is 0. */
static void read_code(kc *m, uint32_t linear, uint8_t code[BYTES])
{
    int64_t at = translated(m, linear);

    memset(code, 0, BYTES);
    if (at >= 0 && (at & PAGE_MASK) + BYTES <= PAGE_SIZE && (uint64_t)at + BYTES <= m->memory_end)
        memcpy(code, kc_at(m, (uint64_t)at), BYTES);
    else
        for (uint32_t i = 0; i < BYTES && (at = translated(m, linear + i)) >= 0 && (uint64_t)at < m->memory_end; i++)
            code[i] = *kc_at(m, (uint64_t)at);
}

/* -- when they are translated ------------------------------------------------------------------------------- */

/* How far ESP lies above EBP behind an instruction, of those that are common where frames begin and end. */
static uint32_t distance_behind(const uint8_t *code, uint32_t distance)
{
    switch (code[0]) {
    case 0x50 ... 0x57: case 0x68: case 0x6a: case 0x9c:
        return distance - WORD;
    case 0x58 ... 0x5f: case 0x9d:
        return distance + WORD;
    case 0x60:
        return distance - 8 * WORD;
    case 0x61:
        return distance + 8 * WORD;
    case 0x81: case 0x83: { /* add, sub */
        uint32_t by = (uint32_t)number_at(code + 2, code[0] == 0x81 ? WORD : 1);
        return code[1] == 0xc4 ? distance + by : code[1] == 0xec ? distance - by : distance;
    }
    case 0x89: /* mov: one to the other */
        return code[1] == 0xe5 || code[1] == 0xec ? 0 : distance;
    case 0x8b:
        return code[1] == 0xec || code[1] == 0xe5 ? 0 : distance;
    case 0x8d: /* lea -n(%ebp), %esp */
        return code[1] == 0x65 ? (uint32_t)number_at(code + 2, 1) : code[1] == 0xa5 ? (uint32_t)number_at(code + 2, WORD) : distance;
    case 0xff: /* push */
        return (code[1] >> 3 & 7) == 6 ? distance - WORD : distance;
    default:
        return distance;
    }
}

/* Does an operand lead below ESP, which lies so far above EBP? By EBP only where the word above that is on the stack: it is to be a return address. */
static bool leads_below(const struct operand *o, uint32_t distance)
{
    int32_t esp = o->base == EBP ? (int32_t)(distance + o->pops) : 0;
    bool is_on_stack = o->base == ESP || (int32_t)distance <= WORD;
    return is_on_stack && esp > o->displacement && esp - o->displacement < (int32_t)PAGE_SIZE;
}

/* Others are left for another one at an interrupt. */
static bool is_on_kernel_stack(kc *m)
{
    enum { FLAT = KC_PROTECTED | KC_CODE_32 | KC_STACK_32 };

    return (kc_modes(m) & FLAT) == FLAT && kc_ring(m) == 0;
}

bool kc_may_be_below_stack(kc *m, uint32_t linear, uint32_t *distance)
{
    uint8_t code[BYTES];
    struct operand o;

    if (!kc_checks(m) || !is_on_kernel_stack(m))
        return false;
    read_code(m, linear, code);
    bool may_be = decode(code, &o) && leads_below(&o, *distance);
    *distance = distance_behind(code, *distance);
    return may_be;
}

/* -- when they are executed --------------------------------------------------------------------------------- */

bool kc_is_below_stack(kc *m, uint32_t linear, struct below_stack *out)
{
    uint8_t code[BYTES];
    struct operand o;

    if (!kc_checks(m) || !is_on_kernel_stack(m) || !(kc_reg(m, UC_X86_REG_EFLAGS) & FLAG_IF))
        return false;
    read_code(m, linear, code);
    if (!decode(code, &o) || kc_segment_base(m, (enum segment)o.segment) != kc_segment_base(m, SS))
        return false;
    if (o.moves > 0 && kc_modes(m) & KC_SHADOW) /* nothing comes in front of it, and nothing of what it loads is lost */
        return false;
    uint32_t esp = kc_esp(m) + o.pops, base = o.base == ESP ? esp : kc_ebp(m);
    *out = (struct below_stack){base + (uint32_t)o.displacement, (uint32_t)(o.moves < 0 ? -o.moves : o.moves), esp, o.base == EBP, o.moves < 0};
    return leads_below(&o, kc_esp(m) - kc_ebp(m));
}
