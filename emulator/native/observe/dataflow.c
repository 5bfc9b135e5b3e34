/* Which bits of what an instruction computes are defined, from which bits of what it reads are.
 *
 * Theory of operation. The rules are those of Memcheck (Nethercote and Seward, "How to Shadow Every Byte of Memory Used by a Program",
 * VEE 2007; Seward and Nethercote, "Using Valgrind to detect undefined value errors with bit-precision", USENIX 2005): a bit of a result is
 * defined where no value that the undefined bits may have can change it. Sums, differences and comparisons are taken between the least and
 * the largest value that an operand may have, so that a loop over the words of a string, of which the last is half written, is judged by the
 * bytes that count. Instructions are decoded as the Intel SDM (vol. 2) has them, before they are executed, with the registers as they are.
 *
 * A condition is undefined, not a flag: `jle` after a comparison of two values may be told where neither SF nor OF is.
 *
 * Shortcomings. What the FPU, MMX and SSE load is taken for defined. So is what divisions leave in the flags.
 */
#include <string.h>

#include "core/mmu.h"
#include "core/ram.h"
#include "observe/dataflow.h"
#include "unicorn/delivery.h"
#include "unicorn/interpose.h"
#include "unicorn/state.h"

/* Conditions by the numbers of conditional jumps, halved (Intel SDM vol. 1, appendix B). */
enum { OVERFLOW = 1 << 0, BELOW = 1 << 1, ZERO = 1 << 2, NOT_ABOVE = 1 << 3, SIGN = 1 << 4, PARITY = 1 << 5, LESS = 1 << 6, NOT_GREATER = 1 << 7, ALL_CONDITIONS = 0xff };
enum { FLAG_C = 1 << 0, FLAG_P = 1 << 2, FLAG_Z = 1 << 6, FLAG_S = 1 << 7, FLAG_O = 1 << 11 };
enum { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI };
enum { LONGEST = 15 };

struct value { uint32_t is; struct undefined not; };

struct operand {
    bool is_memory;
    uint8_t reg;
    uint32_t at; /* linear */
};

struct step {
    kc *m;
    struct values *values;
    uint32_t linear;
    uintptr_t host_pc;
    uint8_t code[LONGEST];
    unsigned next;          /* byte of it */
    unsigned size, address; /* of operands and addresses, in bytes */
    int segment;            /* that overrides; -1: none does */
    bool repeats, repeats_until; /* F3, F2 */
    unsigned reg;           /* of the ModR/M byte */
    struct operand rm;
};

static const struct undefined defined;

static uint32_t mask_of(unsigned size) { return size >= 4 ? UINT32_MAX : (1u << 8 * size) - 1; }

static uint32_t sign_of(unsigned size) { return 1u << (8 * size - 1); }

static struct undefined either(struct undefined one, struct undefined other, uint32_t bits)
{
    struct undefined both = one.bits ? one : other;

    both.bits = bits;
    return bits ? both : defined;
}

static struct undefined with(struct undefined from, uint32_t bits) { return either(from, from, bits); }

/* -- what is read and written ---------------------------------------------------------------------- */

static uint8_t byte_of_code(struct step *s) { return s->next < LONGEST ? s->code[s->next++] : 0; }

static uint32_t immediate(struct step *s, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)byte_of_code(s) << 8 * i;
    return value;
}

static uint32_t signed_byte(struct step *s) { return (uint32_t)(int32_t)(int8_t)byte_of_code(s); }

static uint32_t loaded(kc *m, uint32_t linear, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        int64_t at = kc_translate_used(m, linear + i);
        if (at >= 0 && (uint64_t)at < m->memory_end)
            value |= (uint32_t)*kc_at(m, (uint64_t)at) << 8 * i;
    }
    return value;
}

/* Registers 4 to 7 of one byte are the second bytes of the first four. */
static unsigned low_bit(unsigned reg, unsigned size) { return size == 1 && reg >= 4 ? 8 : 0; }

static unsigned whole_register(unsigned reg, unsigned size) { return size == 1 ? reg & 3 : reg; }

static struct undefined undefined_of(const struct step *s, unsigned reg, unsigned size)
{
    struct undefined all = s->values->general[whole_register(reg, size)];
    return with(all, all.bits >> low_bit(reg, size) & mask_of(size));
}

static struct value register_value(const struct step *s, unsigned reg, unsigned size)
{
    uint32_t is = kc_general(s->m, whole_register(reg, size)) >> low_bit(reg, size) & mask_of(size);
    return (struct value){is, undefined_of(s, reg, size)};
}

static void set_register(struct step *s, unsigned reg, unsigned size, struct undefined value)
{
    struct undefined *all = &s->values->general[whole_register(reg, size)];
    uint32_t mask = mask_of(size) << low_bit(reg, size), rest = all->bits & ~mask;
    *all = either(value.bits ? value : *all, *all, rest | (value.bits << low_bit(reg, size) & mask));
}

static struct operand of_register(unsigned reg) { return (struct operand){false, (uint8_t)reg, 0}; }

static struct value value_of(struct step *s, struct operand o, unsigned size)
{
    if (!o.is_memory)
        return register_value(s, o.reg, size);
    return (struct value){loaded(s->m, o.at, size), kc_undefined_load(s->m, o.at, size, s->linear)};
}

static void set(struct step *s, struct operand o, unsigned size, struct undefined value)
{
    if (o.is_memory)
        kc_undefined_store(s->m, o.at, size, value, s->host_pc);
    else
        set_register(s, o.reg, size, value);
}

/* Nobody complains of one value twice. */
static void use(struct step *s, enum kc_use how, struct undefined *value)
{
    if (value->bits)
        kc_undefined_use(s->m, how, *value, s->host_pc);
    *value = defined;
}

static uint32_t base_of(struct step *s, int segment)
{
    int used = s->segment >= 0 ? s->segment : segment;
    return used < FS && used != CS && !(kc_modes(s->m) & KC_BASES) ? 0 : kc_segment_base(s->m, (enum segment)used);
}

static uint32_t by_pointer(struct step *s, unsigned reg, int segment)
{
    uint32_t mask = mask_of(s->address);

    if (s->values->general[reg].bits & mask)
        use(s, KC_USE_ADDRESS, &s->values->general[reg]);
    return base_of(s, segment) + (kc_general(s->m, reg) & mask);
}

/* -- memory operands (Intel SDM vol. 2A, 2.1.5) ------------------------------------------------------ */

struct address { int base, index; unsigned scale; uint32_t displacement; int segment; };

static struct address address_16(struct step *s, unsigned mode, unsigned rm)
{
    static const int8_t bases[] = {EBX, EBX, EBP, EBP, -1, -1, EBP, EBX}, indexes[] = {ESI, EDI, ESI, EDI, ESI, EDI, -1, -1};
    bool is_constant = mode == 0 && rm == 6;
    struct address a = {is_constant ? -1 : bases[rm], is_constant ? -1 : indexes[rm], 0, 0, DS};

    a.segment = a.base == EBP ? SS : DS;
    a.displacement = mode == 1 ? signed_byte(s) : mode == 2 || is_constant ? immediate(s, 2) : 0;
    return a;
}

static struct address address_32(struct step *s, unsigned mode, unsigned rm)
{
    struct address a = {(int)rm, -1, 0, 0, DS};

    if (rm == 4) {
        uint8_t sib = byte_of_code(s);
        a.base = sib & 7;
        a.index = (sib >> 3 & 7) == 4 ? -1 : sib >> 3 & 7;
        a.scale = sib >> 6;
    }
    bool is_constant = mode == 0 && a.base == EBP;
    a.base = is_constant ? -1 : a.base;
    a.segment = a.base == ESP || a.base == EBP ? SS : DS;
    a.displacement = mode == 1 ? signed_byte(s) : mode == 2 || is_constant ? immediate(s, 4) : 0;
    return a;
}

/* The ModR/M byte, and what follows of the address. False: it names a register. */
static bool decode(struct step *s, struct address *a)
{
    uint8_t modrm = byte_of_code(s);

    s->reg = modrm >> 3 & 7;
    s->rm = of_register(modrm & 7);
    if (modrm >> 6 == 3)
        return false;
    *a = s->address == 4 ? address_32(s, modrm >> 6, modrm & 7) : address_16(s, modrm >> 6, modrm & 7);
    return true;
}

static uint32_t offset_of(const struct step *s, const struct address *a)
{
    uint32_t offset = a->displacement;

    offset += a->base >= 0 ? kc_general(s->m, (unsigned)a->base) : 0;
    offset += a->index >= 0 ? kc_general(s->m, (unsigned)a->index) << a->scale : 0;
    return offset & mask_of(s->address);
}

/* The operand. Returns the base of its address, -1: it has none. */
static int modrm(struct step *s)
{
    struct address a;

    if (!decode(s, &a))
        return -1;
    if (a.base >= 0)
        by_pointer(s, (unsigned)a.base, DS);
    if (a.index >= 0)
        by_pointer(s, (unsigned)a.index, DS);
    s->rm.is_memory = true;
    s->rm.at = base_of(s, a.segment) + offset_of(s, &a);
    return a.base;
}

/* -- rules ------------------------------------------------------------------------------------------ */

static void set_conditions(struct step *s, struct undefined from, uint32_t conditions)
{
    s->values->conditions = with(from, from.bits ? conditions : 0);
}

static uint32_t condition(const struct step *s, uint32_t which) { return s->values->conditions.bits & which; }

/* Can nobody tell whether a value is 0? Where a bit is certainly set, it is not. */
static bool may_be_zero(uint32_t is, uint32_t bits) { return bits && !(is & ~bits); }

/* Conditions that say "one or the other": defined where both are, and where one is certainly met. */
static bool is_either_undefined(bool one, bool one_is_met, bool other, bool other_is_met)
{
    return !((!one && one_is_met) || (!other && other_is_met)) && (one || other);
}

static uint32_t of_result(uint32_t is, uint32_t bits, unsigned size)
{
    return (may_be_zero(is, bits) ? ZERO : 0) | (bits & sign_of(size) ? SIGN : 0) | (bits & 0xff ? PARITY : 0);
}

/* Of a result after which CF and OF are 0. */
static uint32_t of_logic(uint32_t is, uint32_t bits, unsigned size)
{
    uint32_t found = of_result(is, bits, size);
    bool zero = found & ZERO, sign = found & SIGN;

    return found | (zero ? NOT_ABOVE : 0) | (sign ? LESS : 0) |
           (is_either_undefined(zero, !is, sign, is & sign_of(size)) ? NOT_GREATER : 0);
}

struct span { int64_t least, most; };

static struct span unsigned_range(struct value v) { return (struct span){v.is & ~v.not.bits, v.is | v.not.bits}; }

static int64_t extended(uint32_t is, unsigned size) { return (int32_t)(is << (32 - 8 * size)) >> (32 - 8 * size); }

static struct span signed_range(struct value v, unsigned size)
{
    uint32_t top = sign_of(size), bits = v.not.bits;
    return (struct span){extended((v.is & ~bits) | (bits & top), size), extended((v.is | bits) & ~(bits & top), size)};
}

static struct span sum(struct span a, struct span b, struct span carry, bool subtracts)
{
    return subtracts ? (struct span){a.least - b.most - carry.most, a.most - b.least - carry.least}
                     : (struct span){a.least + b.least + carry.least, a.most + b.most + carry.most};
}

/* Where a signed result lies: below, in, above what fits. */
static int overflow_of(int64_t result, unsigned size)
{
    int64_t top = sign_of(size);
    return result < -top ? -1 : result >= top;
}

/* a + b + carry or a - b - carry. */
static struct undefined add(struct step *s, struct value a, struct value b, struct value carry, bool subtracts, unsigned size)
{
    uint32_t either_bits = a.not.bits | b.not.bits, mask = mask_of(size);
    struct undefined from = a.not.bits ? a.not : b.not.bits ? b.not : carry.not;

    if (!from.bits) {
        s->values->conditions = defined;
        return defined;
    }
    struct span carries = unsigned_range(carry);
    struct span all = sum(unsigned_range(a), unsigned_range(b), carries, subtracts);
    struct span as_signed = sum(signed_range(a, size), signed_range(b, size), carries, subtracts);
    uint32_t is = (subtracts ? a.is - b.is - carry.is : a.is + b.is + carry.is) & mask;
    uint32_t bits = (either_bits | ((uint32_t)all.least ^ (uint32_t)all.most)) & mask;
    bool has_carry = carry.is || carry.not.bits;
    bool below = subtracts ? (all.least < 0) != (all.most < 0) : (all.least > mask) != (all.most > mask);
    bool is_below = subtracts ? all.most < 0 : all.least > mask;
    bool zero = may_be_zero(is, bits) && !(subtracts && !has_carry && ((a.is ^ b.is) & ~either_bits & mask));
    bool less = (as_signed.least < 0) != (as_signed.most < 0);
    uint32_t found = (of_result(is, bits, size) & ~(uint32_t)ZERO) | (zero ? ZERO : 0) | (below ? BELOW : 0) | (less ? LESS : 0);

    if (is_either_undefined(below, is_below, zero, !is) && !(subtracts && !has_carry && (all.most <= 0 || all.least > 0)))
        found |= NOT_ABOVE;
    if (is_either_undefined(less, as_signed.most < 0, zero, !is) && !(subtracts && !has_carry && (as_signed.most <= 0 || as_signed.least > 0)))
        found |= NOT_GREATER;
    if (overflow_of(as_signed.least, size) != overflow_of(as_signed.most, size))
        found |= OVERFLOW;
    set_conditions(s, from, found);
    return with(from, bits);
}

static const struct value nothing, one = {1, {0, 0, 0}};

static uint32_t flags_now(const struct step *s)
{
    kc_restore_eip(s->m, s->host_pc); /* and what EFLAGS are computed from */
    return kc_reg(s->m, UC_X86_REG_EFLAGS);
}

static struct value carry_of(const struct step *s)
{
    struct undefined below = with(s->values->conditions, condition(s, BELOW) ? 1 : 0);
    return (struct value){flags_now(s) & FLAG_C, below};
}

static struct undefined logic(struct step *s, unsigned kind, struct value a, struct value b, unsigned size)
{
    uint32_t all = a.not.bits | b.not.bits, bits = all, is = a.is ^ b.is;

    if (kind == 4) { /* and: a defined 0 decides */
        bits &= (a.not.bits | a.is) & (b.not.bits | b.is);
        is = a.is & b.is;
    } else if (kind == 1) { /* or: a defined 1 does */
        bits &= (a.not.bits | ~a.is) & (b.not.bits | ~b.is);
        is = a.is | b.is;
    }
    bits &= mask_of(size);
    struct undefined result = either(a.not, b.not, bits);
    set_conditions(s, result, of_logic(is, bits, size));
    return result;
}

/* add, or, adc, sbb, and, sub, xor, cmp, as instructions encode them. */
static void arithmetic(struct step *s, unsigned kind, struct operand to, struct value b, bool is_itself, unsigned size)
{
    enum { ADD, OR, ADC, SBB, AND, SUB, XOR, CMP };
    struct value a = value_of(s, to, size);
    struct undefined result;

    if (is_itself && (kind == XOR || kind == SUB || kind == CMP)) { /* whatever it is */
        a = nothing;
        b = nothing;
    }
    if (is_itself && kind == SBB) /* minus the carry */
        a = b = nothing;
    switch (kind) {
    case ADD:
        result = add(s, a, b, nothing, false, size);
        break;
    case ADC:
        result = add(s, a, b, carry_of(s), false, size);
        break;
    case SBB:
        result = add(s, a, b, carry_of(s), true, size);
        break;
    case SUB: case CMP:
        result = add(s, a, b, nothing, true, size);
        break;
    default:
        result = logic(s, kind, a, b, size);
    }
    if (kind != CMP)
        set(s, to, size, result);
}

static void increment(struct step *s, struct operand o, bool decrements, unsigned size)
{
    struct undefined before = s->values->conditions;
    struct undefined result = add(s, value_of(s, o, size), one, nothing, decrements, size);
    uint32_t now = (condition(s, ALL_CONDITIONS) & ~(uint32_t)(BELOW | NOT_ABOVE)) | (before.bits & BELOW);

    if ((before.bits & BELOW) || (now & ZERO))
        now |= NOT_ABOVE;
    s->values->conditions = either(result.bits ? result : before, before, now);
    set(s, o, size, result);
}

/* CF, and what else shifts leave. */
static void shifted_conditions(struct step *s, struct undefined from, uint32_t is, uint32_t bits, bool carry, bool overflow, unsigned size)
{
    uint32_t found = of_result(is, bits, size) | (carry ? BELOW : 0) | (overflow ? OVERFLOW : 0);

    found |= found & (BELOW | ZERO) ? NOT_ABOVE : 0;
    found |= found & (SIGN | OVERFLOW) ? LESS : 0;
    found |= found & (LESS | ZERO) ? NOT_GREATER : 0;
    s->values->conditions = with(from, found);
}

/* Only CF and OF. */
static void rotated_conditions(struct step *s, struct undefined from, bool carry, bool overflow)
{
    struct undefined before = s->values->conditions;
    uint32_t found = (before.bits & (ZERO | SIGN | PARITY)) | (carry ? BELOW : 0) | (overflow ? OVERFLOW : 0);

    found |= found & (BELOW | ZERO) ? NOT_ABOVE : 0;
    found |= found & (SIGN | OVERFLOW) ? LESS : 0;
    found |= found & (LESS | ZERO) ? NOT_GREATER : 0;
    s->values->conditions = either(from.bits ? from : before, before, found);
}

static void rotate_through_carry(struct step *s, struct operand o, bool is_left, unsigned count, unsigned size)
{
    struct undefined v = value_of(s, o, size).not, before = s->values->conditions;
    uint32_t bits = v.bits, carry = condition(s, BELOW) ? 1 : 0, top = sign_of(size);

    for (unsigned i = 0; i < count; i++) {
        uint32_t out = is_left ? (bits & top) != 0 : bits & 1;
        bits = is_left ? (bits << 1 | carry) & mask_of(size) : bits >> 1 | (carry ? top : 0);
        carry = out;
    }
    struct undefined from = v.bits ? v : before;
    rotated_conditions(s, from, carry, (bits & top) || carry);
    set(s, o, size, with(from, bits));
}

/* rol, ror, rcl, rcr, shl, shr, shl, sar, as instructions encode them. */
static void shift(struct step *s, unsigned kind, struct operand o, struct value count, unsigned size)
{
    enum { ROL, ROR, RCL, RCR, SHL, SHR, SAL, SAR };
    unsigned by = count.is & 31, width = 8 * size, turns = by % width;
    struct value v = value_of(s, o, size);
    uint32_t bits = v.not.bits, mask = mask_of(size), top = sign_of(size), result;

    if (count.not.bits & 31) {
        struct undefined all = with(count.not, mask);
        s->values->conditions = with(count.not, ALL_CONDITIONS);
        set(s, o, size, all);
        return;
    }
    if (!by)
        return;
    switch (kind) {
    case ROL: case ROR:
        turns = kind == ROL || !turns ? turns : width - turns;
        result = turns ? (bits << turns | bits >> (width - turns)) & mask : bits;
        rotated_conditions(s, v.not, kind == ROL ? result & 1 : result & top, result & (top | 1 | top >> 1));
        set(s, o, size, with(v.not, result));
        return;
    case RCL: case RCR:
        rotate_through_carry(s, o, kind == RCL, by % (width == 32 ? 33 : width + 1), size);
        return;
    case SHL: case SAL:
        result = by < 32 ? bits << by & mask : 0;
        shifted_conditions(s, v.not, by < 32 ? v.is << by & mask : 0, result, by <= width && bits >> (width - by) & 1, (bits & top) || (result & top), size);
        break;
    case SHR:
        result = bits >> by;
        shifted_conditions(s, v.not, v.is >> by, result, bits >> (by - 1) & 1, bits & top, size);
        break;
    default: {
        int64_t wide = extended(bits, size), is = extended(v.is, size);
        result = (uint32_t)(wide >> by) & mask;
        shifted_conditions(s, v.not, (uint32_t)(is >> by) & mask, result, (uint64_t)wide >> (by - 1) & 1, false, size);
    }
    }
    set(s, o, size, with(v.not, result));
}

static void shift_double(struct step *s, bool is_left, struct value count, unsigned size)
{
    unsigned by = count.is & 31, width = 8 * size;
    struct value to = value_of(s, s->rm, size), from = register_value(s, s->reg, size);
    uint64_t mask = mask_of(size), wide, is;

    if (count.not.bits & 31) {
        s->values->conditions = with(count.not, ALL_CONDITIONS);
        set(s, s->rm, size, with(count.not, (uint32_t)mask));
        return;
    }
    if (!by)
        return;
    if (by > width) { /* nothing is said of what it does */
        set(s, s->rm, size, defined);
        s->values->conditions = defined;
        return;
    }
    wide = is_left ? (uint64_t)to.not.bits << width | from.not.bits : (uint64_t)from.not.bits << width | to.not.bits;
    is = is_left ? (uint64_t)to.is << width | from.is : (uint64_t)from.is << width | to.is;
    uint32_t bits = (uint32_t)((is_left ? wide << by >> width : wide >> by) & mask);
    uint32_t result = (uint32_t)((is_left ? is << by >> width : is >> by) & mask);
    bool carry = is_left ? to.not.bits >> (width - by) & 1 : to.not.bits >> (by - 1) & 1;
    struct undefined origin = to.not.bits ? to.not : from.not;
    shifted_conditions(s, origin, result, bits, carry, bits & sign_of(size), size);
    set(s, s->rm, size, with(origin, bits));
}

/* Bits from the lowest undefined one on. */
static uint32_t left_of(uint32_t bits) { return bits | (uint32_t) - (int32_t)bits; }

static bool is_nought(struct value v) { return !v.is && !v.not.bits; }

/* The lower half of a product. */
static struct undefined product(struct step *s, struct value a, struct value b, unsigned size)
{
    uint32_t bits = is_nought(a) || is_nought(b) ? 0 : left_of(a.not.bits | b.not.bits) & mask_of(size);
    struct undefined result = either(a.not, b.not, bits);

    set_conditions(s, result, ALL_CONDITIONS);
    return result;
}

/* mul, imul, div, idiv of the accumulator. */
static void multiply_or_divide(struct step *s, bool divides, unsigned size)
{
    struct value a = register_value(s, EAX, size), b = value_of(s, s->rm, size);
    struct undefined high = size > 1 ? undefined_of(s, EDX, size) : undefined_of(s, 4 /* AH */, 1);
    struct undefined all = a.not.bits ? a.not : b.not;
    struct undefined low;

    if (divides) {
        all = all.bits ? all : high;
        low = with(all, all.bits ? mask_of(size) : 0);
        s->values->conditions = defined;
    } else {
        low = product(s, a, b, size);
        all = low;
        bool is_small = (uint64_t)unsigned_range(a).most * (uint64_t)unsigned_range(b).most <= mask_of(size) >> 1;
        all = is_small ? defined : all;
        s->values->conditions = with(low, is_small ? of_logic(a.is * b.is, low.bits, size) : ALL_CONDITIONS);
    }
    high = with(all, all.bits ? mask_of(size) : 0);
    set_register(s, EAX, size, low);
    set_register(s, size > 1 ? EDX : 4 /* AH */, size, high);
}

static void group_3(struct step *s, unsigned size)
{
    struct value v;

    switch (s->reg) {
    case 0: case 1:
        v = value_of(s, s->rm, size);
        logic(s, 4, v, (struct value){immediate(s, size), defined}, size);
        break;
    case 2:
        set(s, s->rm, size, value_of(s, s->rm, size).not);
        break;
    case 3:
        set(s, s->rm, size, add(s, nothing, value_of(s, s->rm, size), nothing, true, size));
        break;
    default:
        multiply_or_divide(s, s->reg >= 6, size);
    }
}

/* Is a condition met, as far as its flags are defined? */
static bool is_met(const struct step *s, unsigned number)
{
    uint32_t flags = flags_now(s);
    bool less = !(flags & FLAG_S) != !(flags & FLAG_O), met[] = {
        flags & FLAG_O, flags & FLAG_C, flags & FLAG_Z, flags & (FLAG_C | FLAG_Z), flags & FLAG_S, flags & FLAG_P, less, less || (flags & FLAG_Z)};
    return met[number >> 1] != (number & 1);
}

static void move_if(struct step *s, unsigned number, unsigned size)
{
    struct value kept = register_value(s, s->reg, size), moved = value_of(s, s->rm, size);
    struct undefined by = with(s->values->conditions, condition(s, 1u << (number >> 1)));

    if (!by.bits)
        set_register(s, s->reg, size, is_met(s, number) ? moved.not : kept.not);
    else
        set_register(s, s->reg, size, with(by, (kept.not.bits | moved.not.bits | (kept.is ^ moved.is)) & mask_of(size)));
}

static void branch(struct step *s, uint32_t conditions)
{
    if (condition(s, conditions))
        use(s, KC_USE_BRANCH, &s->values->conditions);
}

/* bt, bts, btr, btc. */
static void bit_test(struct step *s, unsigned kind, struct value index, unsigned size, bool is_in_register)
{
    enum { TEST, SET, RESET, COMPLEMENT };
    struct operand o = s->rm;

    if (o.is_memory && is_in_register) {
        int32_t signed_index = (int32_t)extended(index.is, size);
        if (index.not.bits)
            use(s, KC_USE_ADDRESS, &s->values->general[s->reg]);
        index.not = defined;
        o.at += size * (uint32_t)(signed_index >> (size == 4 ? 5 : 4));
    }
    uint32_t bit = 1u << (index.is & (8 * size - 1));
    struct value v = value_of(s, o, size);
    struct undefined before = s->values->conditions;
    bool carry = (v.not.bits & bit) || (index.not.bits & (8 * size - 1));
    struct undefined from = v.not.bits & bit ? v.not : index.not;
    uint32_t found = (before.bits & ~(uint32_t)(BELOW | NOT_ABOVE)) | (carry ? BELOW : 0);
    found |= found & (BELOW | ZERO) ? NOT_ABOVE : 0;
    s->values->conditions = either(carry ? from : before, before, found);
    if (kind == TEST)
        return;
    if (index.not.bits & (8 * size - 1))
        set(s, o, size, with(index.not, mask_of(size)));
    else
        set(s, o, size, with(v.not, kind == COMPLEMENT ? v.not.bits : v.not.bits & ~bit));
}

static void bit_scan(struct step *s, bool is_reverse, unsigned size)
{
    struct value v = value_of(s, s->rm, size);
    uint32_t certain = v.is & ~v.not.bits;
    bool is_known = !v.not.bits;

    if (is_known && !v.is) { /* the result stays what it was */
        s->values->conditions = defined;
        return;
    }

    if (!is_known && certain)
        is_known = is_reverse ? v.not.bits < certain && !(v.not.bits >> (31 - __builtin_clz(certain)))
                              : !(v.not.bits & ((certain & -certain) - 1));
    s->values->conditions = with(v.not, may_be_zero(v.is, v.not.bits) ? ZERO | NOT_ABOVE | NOT_GREATER : 0);
    set_register(s, s->reg, size, with(v.not, is_known ? 0 : mask_of(size)));
}

/* -- the stack --------------------------------------------------------------------------------------- */

static uint32_t stack_at(struct step *s, uint32_t pointer, uint32_t offset)
{
    uint32_t at = pointer + offset;

    return (kc_modes(s->m) & KC_BASES ? kc_segment_base(s->m, SS) : 0) + (kc_modes(s->m) & KC_STACK_32 ? at : at & 0xffff);
}

static uint32_t top_of_stack(struct step *s, uint32_t offset)
{
    if (s->values->general[ESP].bits)
        use(s, KC_USE_ADDRESS, &s->values->general[ESP]);
    return stack_at(s, kc_general(s->m, ESP), offset);
}

static void push(struct step *s, struct undefined value, unsigned size)
{
    kc_undefined_store(s->m, top_of_stack(s, (uint32_t) - (int32_t)size), size, value, s->host_pc);
}

static struct undefined popped(struct step *s, uint32_t offset, unsigned size)
{
    return kc_undefined_load(s->m, top_of_stack(s, offset), size, s->linear);
}

static void push_all(struct step *s)
{
    for (unsigned i = 0; i < 8; i++)
        kc_undefined_store(s->m, top_of_stack(s, (uint32_t) - (int32_t)((i + 1) * s->size)), s->size, undefined_of(s, i, s->size), s->host_pc);
}

static void pop_all(struct step *s)
{
    for (unsigned i = 0; i < 8; i++)
        if (7 - i != ESP)
            set_register(s, 7 - i, s->size, popped(s, i * s->size, s->size));
}

static void go_to(struct step *s, struct undefined target)
{
    if (target.bits)
        use(s, KC_USE_ADDRESS, &target);
}

static struct undefined pushed_flags(const struct step *s)
{
    static const struct { uint32_t condition, flag; } each[] = {
        {OVERFLOW, FLAG_O}, {BELOW, FLAG_C}, {ZERO, FLAG_Z}, {SIGN, FLAG_S}, {PARITY, FLAG_P}};
    uint32_t bits = 0;

    for (unsigned i = 0; i < sizeof each / sizeof *each; i++)
        bits |= condition(s, each[i].condition) ? each[i].flag : 0;
    return with(s->values->conditions, bits);
}

static void set_flags(struct step *s, struct undefined flags)
{
    bool o = flags.bits & FLAG_O, c = flags.bits & FLAG_C, z = flags.bits & FLAG_Z, sign = flags.bits & FLAG_S;
    uint32_t found = (o ? OVERFLOW : 0) | (c ? BELOW : 0) | (z ? ZERO : 0) | (sign ? SIGN : 0) | (flags.bits & FLAG_P ? PARITY : 0) |
                     (c || z ? NOT_ABOVE : 0) | (o || sign ? LESS : 0) | (o || sign || z ? NOT_GREATER : 0);

    s->values->conditions = with(flags, found);
}

static void leave(struct step *s)
{
    struct undefined frame = s->values->general[EBP];

    if (frame.bits)
        use(s, KC_USE_ADDRESS, &frame);
    s->values->general[ESP] = defined;
    set_register(s, EBP, s->size, kc_undefined_load(s->m, stack_at(s, kc_general(s->m, EBP), 0), s->size, s->linear));
}

static void interrupt_return(struct step *s)
{
    go_to(s, popped(s, 0, s->size));
    set_flags(s, popped(s, 2 * s->size, s->size));
}

/* -- strings ------------------------------------------------------------------------------------------ */

static void string(struct step *s, uint8_t opcode)
{
    enum { MOVS = 0xa4, CMPS = 0xa6, STOS = 0xaa, LODS = 0xac, SCAS = 0xae, INS = 0x6c, OUTS = 0x6e };
    unsigned kind = opcode & 0xfe, size = opcode & 1 ? s->size : 1;
    bool is_repeated = s->repeats || s->repeats_until;
    struct value a, b;

    if (is_repeated && (s->values->general[ECX].bits & mask_of(s->address)))
        use(s, KC_USE_BRANCH, &s->values->general[ECX]);
    if (is_repeated && !(kc_general(s->m, ECX) & mask_of(s->address)))
        return;
    struct operand from = {true, 0, 0}, to = {true, 0, 0};
    if (kind != STOS && kind != SCAS && kind != INS)
        from.at = by_pointer(s, ESI, DS);
    int overridden = s->segment;
    s->segment = -1;
    if (kind != LODS && kind != OUTS)
        to.at = by_pointer(s, EDI, ES);
    s->segment = overridden;
    switch (kind) {
    case MOVS:
        set(s, to, size, value_of(s, from, size).not);
        break;
    case STOS:
        set(s, to, size, undefined_of(s, EAX, size));
        break;
    case LODS:
        set_register(s, EAX, size, value_of(s, from, size).not);
        break;
    case INS:
        set(s, to, size, defined);
        break;
    case OUTS:
        a = value_of(s, from, size);
        use(s, KC_USE_OUTPUT, &a.not);
        break;
    default:
        a = kind == CMPS ? value_of(s, from, size) : register_value(s, EAX, size);
        b = value_of(s, to, size);
        add(s, a, b, nothing, true, size);
        if (is_repeated) /* whether it goes on depends on them */
            branch(s, ZERO);
    }
}

/* -- instructions -------------------------------------------------------------------------------------- */

static void exchange(struct step *s, struct operand a, struct operand b, unsigned size)
{
    struct undefined first = value_of(s, a, size).not, second = value_of(s, b, size).not;

    set(s, a, size, second);
    set(s, b, size, first);
}

static void exchange_and_add(struct step *s, unsigned size)
{
    struct value to = value_of(s, s->rm, size);
    struct undefined result = add(s, to, register_value(s, s->reg, size), nothing, false, size);

    set_register(s, s->reg, size, to.not);
    set(s, s->rm, size, result);
}

static void compare_and_exchange(struct step *s, unsigned size)
{
    struct value to = value_of(s, s->rm, size), a = register_value(s, EAX, size);
    struct undefined from = register_value(s, s->reg, size).not;

    add(s, a, to, nothing, true, size);
    if (condition(s, ZERO))
        use(s, KC_USE_BRANCH, &s->values->conditions);
    if (a.is == to.is)
        set(s, s->rm, size, from);
    else
        set_register(s, EAX, size, to.not);
}

/* The address is no use: it is computed. */
static void load_address(struct step *s)
{
    struct address a;

    if (!decode(s, &a))
        return;
    struct undefined before = s->values->conditions;
    struct value sum_so_far = {a.displacement, defined}, part;
    if (a.index >= 0) {
        part = register_value(s, (unsigned)a.index, 4);
        part.is <<= a.scale;
        part.not = with(part.not, part.not.bits << a.scale);
        sum_so_far.not = add(s, sum_so_far, part, nothing, false, 4);
        sum_so_far.is += part.is;
    }
    if (a.base >= 0) {
        part = register_value(s, (unsigned)a.base, 4);
        sum_so_far.not = add(s, sum_so_far, part, nothing, false, 4);
    }
    s->values->conditions = before;
    set_register(s, s->reg, s->size, with(sum_so_far.not, sum_so_far.not.bits & mask_of(s->address) & mask_of(s->size)));
}

static void extend(struct step *s, unsigned from, bool is_signed)
{
    struct undefined v = value_of(s, s->rm, from).not;
    uint32_t bits = is_signed ? (uint32_t)extended(v.bits, from) : v.bits;

    set_register(s, s->reg, s->size, with(v, bits & mask_of(s->size)));
}

static void output(struct step *s, bool is_in_dx, unsigned size)
{
    struct undefined value = undefined_of(s, EAX, size);

    if (is_in_dx && undefined_of(s, EDX, 2).bits)
        use(s, KC_USE_ADDRESS, &s->values->general[EDX]);
    use(s, KC_USE_OUTPUT, &value);
}

static void input(struct step *s, bool is_in_dx, unsigned size)
{
    if (is_in_dx && undefined_of(s, EDX, 2).bits)
        use(s, KC_USE_ADDRESS, &s->values->general[EDX]);
    set_register(s, EAX, size, defined);
}

static void group_5(struct step *s)
{
    switch (s->reg) {
    case 0: case 1:
        increment(s, s->rm, s->reg == 1, s->size);
        break;
    case 2: case 4:
        go_to(s, value_of(s, s->rm, s->size).not);
        if (s->reg == 2)
            push(s, defined, s->size);
        break;
    case 3: case 5:
        go_to(s, value_of(s, s->rm, s->size).not);
        break;
    case 6:
        push(s, value_of(s, s->rm, s->size).not, s->size);
        break;
    }
}

/* Two-byte opcodes. False: see kc_follow(). */
static bool follow_0f(struct step *s)
{
    uint8_t opcode = byte_of_code(s);
    unsigned size = opcode & 1 ? s->size : 1;
    struct value index;

    switch (opcode) {
    case 0x20: case 0x21: /* mov from control and debug registers */
        modrm(s);
        set_register(s, s->rm.reg, 4, defined);
        return true;
    case 0x22: case 0x23:
        decode(s, &(struct address){0});
        use(s, KC_USE_ADDRESS, &s->values->general[s->rm.reg]);
        return true;
    case 0x30: case 0x05: case 0x06: case 0x08: case 0x09: case 0x0b: case 0x34: case 0x35: case 0x77:
        return true;
    case 0x31: case 0x32: /* rdtsc, rdmsr */
        s->values->general[EAX] = s->values->general[EDX] = defined;
        return true;
    case 0xa2: /* cpuid */
        for (unsigned i = EAX; i <= EBX; i++)
            s->values->general[i] = defined;
        return true;
    case 0x80 ... 0x8f:
        branch(s, 1u << (opcode >> 1 & 7));
        return true;
    case 0x90 ... 0x9f:
        modrm(s);
        set(s, s->rm, 1, with(s->values->conditions, condition(s, 1u << (opcode >> 1 & 7)) ? 1 : 0));
        return true;
    case 0x40 ... 0x4f:
        modrm(s);
        move_if(s, opcode & 15, s->size);
        return true;
    case 0xa0: case 0xa8:
        push(s, defined, s->size);
        return true;
    case 0xa1: case 0xa9:
        return true;
    case 0xa3: case 0xab: case 0xb3: case 0xbb:
        modrm(s);
        bit_test(s, opcode >> 3 & 3, register_value(s, s->reg, s->size), s->size, true);
        return true;
    case 0xba:
        modrm(s);
        index = (struct value){byte_of_code(s), defined};
        bit_test(s, s->reg & 3, index, s->size, false);
        return true;
    case 0xa4: case 0xac:
        modrm(s);
        shift_double(s, opcode == 0xa4, (struct value){byte_of_code(s), defined}, s->size);
        return true;
    case 0xa5: case 0xad:
        modrm(s);
        shift_double(s, opcode == 0xa5, register_value(s, ECX, 1), s->size);
        return true;
    case 0xaf:
        modrm(s);
        set_register(s, s->reg, s->size, product(s, register_value(s, s->reg, s->size), value_of(s, s->rm, s->size), s->size));
        return true;
    case 0xb0: case 0xb1:
        modrm(s);
        compare_and_exchange(s, size);
        return true;
    case 0xc0: case 0xc1:
        modrm(s);
        exchange_and_add(s, size);
        return true;
    case 0xb6: case 0xb7: case 0xbe: case 0xbf:
        modrm(s);
        extend(s, opcode & 1 ? 2 : 1, opcode & 8);
        return true;
    case 0xbc: case 0xbd:
        modrm(s);
        bit_scan(s, opcode & 1, s->size);
        return true;
    case 0xc3:
        modrm(s);
        set(s, s->rm, s->size, undefined_of(s, s->reg, s->size));
        return true;
    case 0xc8 ... 0xcf: {
        struct undefined v = undefined_of(s, opcode & 7, 4);
        set_register(s, opcode & 7, 4, with(v, __builtin_bswap32(v.bits)));
        return true;
    }
    case 0x02: case 0x03: case 0x50: case 0xc5: case 0xd7: case 0x2c: case 0x2d: /* lar, lsl, and what moves to general registers */
        modrm(s);
        set_register(s, s->reg, 4, defined);
        return true;
    case 0x00: case 0x01: case 0x7e:
        modrm(s);
        if (!s->rm.is_memory)
            set_register(s, s->rm.reg, 4, defined);
        return false;
    case 0xb2: case 0xb4: case 0xb5: /* lss, lfs, lgs */
        modrm(s);
        set_register(s, s->reg, s->size, value_of(s, s->rm, s->size).not);
        return true;
    case 0x0d: case 0x18 ... 0x1f: /* hints */
        return true;
    default:
        modrm(s);
        return false;
    }
}

static void prefixes(struct step *s)
{
    bool is_32 = kc_modes(s->m) & KC_CODE_32;

    s->size = s->address = is_32 ? 4 : 2;
    s->segment = -1;
    for (; s->next < LONGEST; s->next++)
        switch (s->code[s->next]) {
        case 0x66: s->size = is_32 ? 2 : 4; break;
        case 0x67: s->address = is_32 ? 2 : 4; break;
        case 0x26: s->segment = ES; break;
        case 0x2e: s->segment = CS; break;
        case 0x36: s->segment = SS; break;
        case 0x3e: s->segment = DS; break;
        case 0x64: s->segment = FS; break;
        case 0x65: s->segment = GS; break;
        case 0xf0: break;
        case 0xf2: s->repeats_until = true; break;
        case 0xf3: s->repeats = true; break;
        default: return;
        }
}

/* add to cmp, in the forms that the lower bits of the opcode tell. */
static void follow_arithmetic(struct step *s, uint8_t opcode)
{
    unsigned size = opcode & 1 ? s->size : 1, kind = opcode >> 3 & 7;

    switch (opcode & 7) {
    case 0: case 1:
        modrm(s);
        arithmetic(s, kind, s->rm, register_value(s, s->reg, size), !s->rm.is_memory && s->rm.reg == s->reg, size);
        break;
    case 2: case 3:
        modrm(s);
        arithmetic(s, kind, of_register(s->reg), value_of(s, s->rm, size), !s->rm.is_memory && s->rm.reg == s->reg, size);
        break;
    default:
        arithmetic(s, kind, of_register(EAX), (struct value){immediate(s, size), defined}, false, size);
    }
}

/* Opcodes of one byte. False: see kc_follow(). */
static bool follow(struct step *s, uint8_t opcode)
{
    unsigned size = opcode & 1 ? s->size : 1;
    struct value v;
    struct undefined u;

    switch (opcode) {
    case 0x06: case 0x0e: case 0x16: case 0x1e:
        push(s, defined, s->size);
        return true;
    case 0x07: case 0x17: case 0x1f:
        return true;
    case 0x0f:
        return follow_0f(s);
    case 0x27: case 0x2f: case 0x37: case 0x3f: case 0xd5: /* daa, das, aaa, aas, aad: all depends on all */
        u = undefined_of(s, EAX, 2);
        u = u.bits ? u : with(s->values->conditions, condition(s, ALL_CONDITIONS));
        s->values->conditions = with(u, u.bits ? ALL_CONDITIONS : 0);
        set_register(s, EAX, 2, with(u, u.bits ? 0xffff : 0));
        return true;
    case 0xd4:
        u = undefined_of(s, EAX, 1);
        s->values->conditions = with(u, u.bits ? ALL_CONDITIONS : 0);
        set_register(s, EAX, 2, with(u, u.bits ? 0xffff : 0));
        return true;
    case 0x00 ... 0x05: case 0x08 ... 0x0d: case 0x10 ... 0x15: case 0x18 ... 0x1d: case 0x20 ... 0x25: case 0x28 ... 0x2d:
    case 0x30 ... 0x35: case 0x38 ... 0x3d:
        follow_arithmetic(s, opcode);
        return true;
    case 0x40 ... 0x4f:
        increment(s, of_register(opcode & 7), opcode & 8, s->size);
        return true;
    case 0x50 ... 0x57:
        push(s, undefined_of(s, opcode & 7, s->size), s->size);
        return true;
    case 0x58 ... 0x5f:
        set_register(s, opcode & 7, s->size, popped(s, 0, s->size));
        return true;
    case 0x60:
        push_all(s);
        return true;
    case 0x61:
        pop_all(s);
        return true;
    case 0x68: case 0x6a:
        push(s, defined, s->size);
        return true;
    case 0x69: case 0x6b:
        modrm(s);
        v = (struct value){opcode == 0x69 ? immediate(s, s->size) : signed_byte(s) & mask_of(s->size), defined};
        set_register(s, s->reg, s->size, product(s, value_of(s, s->rm, s->size), v, s->size));
        return true;
    case 0x6c ... 0x6f: case 0xa4 ... 0xa7: case 0xaa ... 0xaf:
        string(s, opcode);
        return true;
    case 0x70 ... 0x7f:
        branch(s, 1u << (opcode >> 1 & 7));
        return true;
    case 0x80 ... 0x83:
        modrm(s);
        v = (struct value){opcode == 0x83 ? signed_byte(s) & mask_of(size) : immediate(s, size), defined};
        arithmetic(s, s->reg, s->rm, v, false, size);
        return true;
    case 0x84: case 0x85:
        modrm(s);
        logic(s, 4, value_of(s, s->rm, size), register_value(s, s->reg, size), size);
        return true;
    case 0x86: case 0x87:
        modrm(s);
        exchange(s, s->rm, of_register(s->reg), size);
        return true;
    case 0x88: case 0x89:
        modrm(s);
        set(s, s->rm, size, undefined_of(s, s->reg, size));
        return true;
    case 0x8a: case 0x8b:
        modrm(s);
        set_register(s, s->reg, size, value_of(s, s->rm, size).not);
        return true;
    case 0x8c:
        modrm(s);
        set(s, s->rm, s->rm.is_memory ? 2 : s->size, defined);
        return true;
    case 0x8d:
        load_address(s);
        return true;
    case 0x8e:
        modrm(s);
        return true;
    case 0x8f:
        u = popped(s, 0, s->size);
        s->rm.at = modrm(s) == ESP ? s->rm.at + s->size : s->rm.at; /* an address by ESP is that after the pop */
        set(s, s->rm, s->size, u);
        return true;
    case 0x90 ... 0x97:
        exchange(s, of_register(EAX), of_register(opcode & 7), s->size);
        return true;
    case 0x98: /* cbw, cwde */
        u = undefined_of(s, EAX, s->size / 2);
        set_register(s, EAX, s->size, with(u, (uint32_t)extended(u.bits, s->size / 2) & mask_of(s->size)));
        return true;
    case 0x99: /* cwd, cdq */
        u = undefined_of(s, EAX, s->size);
        set_register(s, EDX, s->size, with(u, u.bits & sign_of(s->size) ? mask_of(s->size) : 0));
        return true;
    case 0x9a:
        kc_undefined_store(s->m, top_of_stack(s, (uint32_t) - (int32_t)s->size), s->size, defined, s->host_pc);
        kc_undefined_store(s->m, top_of_stack(s, (uint32_t) - 2 * (int32_t)s->size), s->size, defined, s->host_pc);
        return true;
    case 0x9c:
        push(s, pushed_flags(s), s->size);
        return true;
    case 0x9d:
        set_flags(s, popped(s, 0, s->size));
        return true;
    case 0x9e: /* sahf leaves OF */
        u = undefined_of(s, 4 /* AH */, 1);
        u = either(u, s->values->conditions, u.bits | (condition(s, OVERFLOW) ? FLAG_O : 0));
        set_flags(s, u);
        return true;
    case 0x9f:
        u = pushed_flags(s);
        set_register(s, 4 /* AH */, 1, with(u, u.bits & 0xff));
        return true;
    case 0xa0 ... 0xa3: {
        struct operand o = {true, 0, base_of(s, DS) + immediate(s, s->address)};
        if (opcode & 2)
            set(s, o, size, undefined_of(s, EAX, size));
        else
            set_register(s, EAX, size, value_of(s, o, size).not);
        return true;
    }
    case 0xa8: case 0xa9:
        v = register_value(s, EAX, size);
        logic(s, 4, v, (struct value){immediate(s, size), defined}, size);
        return true;
    case 0xb0 ... 0xb7:
        set_register(s, opcode & 7, 1, defined);
        return true;
    case 0xb8 ... 0xbf:
        set_register(s, opcode & 7, s->size, defined);
        return true;
    case 0xc0: case 0xc1:
        modrm(s);
        shift(s, s->reg, s->rm, (struct value){byte_of_code(s), defined}, size);
        return true;
    case 0xd0: case 0xd1:
        modrm(s);
        shift(s, s->reg, s->rm, one, size);
        return true;
    case 0xd2: case 0xd3:
        modrm(s);
        shift(s, s->reg, s->rm, register_value(s, ECX, 1), size);
        return true;
    case 0xc2: case 0xc3: case 0xca: case 0xcb:
        go_to(s, popped(s, 0, s->size));
        return true;
    case 0xc4: case 0xc5:
        modrm(s);
        set_register(s, s->reg, s->size, value_of(s, s->rm, s->size).not);
        return true;
    case 0xc6: case 0xc7:
        modrm(s);
        set(s, s->rm, size, defined);
        return true;
    case 0xc8:
        push(s, undefined_of(s, EBP, s->size), s->size);
        s->values->general[EBP] = defined;
        return true;
    case 0xc9:
        leave(s);
        return true;
    case 0xcf:
        interrupt_return(s);
        return true;
    case 0xd6: /* salc */
        u = with(s->values->conditions, condition(s, BELOW) ? 0xff : 0);
        set_register(s, EAX, 1, u);
        return true;
    case 0xd7: {
        if (undefined_of(s, EAX, 1).bits)
            use(s, KC_USE_ADDRESS, &s->values->general[EAX]);
        uint32_t at = by_pointer(s, EBX, DS) + (kc_general(s->m, EAX) & 0xff);
        set_register(s, EAX, 1, kc_undefined_load(s->m, at, 1, s->linear));
        return true;
    }
    case 0xd8 ... 0xdf:
        modrm(s);
        if (opcode == 0xdf && !s->rm.is_memory && s->reg == 4) /* fnstsw ax */
            set_register(s, EAX, 2, defined);
        if (!s->rm.is_memory && ((opcode == 0xdb || opcode == 0xdf) && (s->reg == 5 || s->reg == 6))) /* fcomi and its like */
            s->values->conditions = defined;
        return false;
    case 0xe0: case 0xe1:
        branch(s, ZERO);
        /* fall through */
    case 0xe2: case 0xe3: {
        struct undefined *count = &s->values->general[ECX];
        uint32_t mask = mask_of(s->address);
        if (opcode == 0xe3 ? may_be_zero(kc_general(s->m, ECX) & mask, count->bits & mask)
                           : may_be_zero((kc_general(s->m, ECX) - 1) & mask, left_of(count->bits) & mask))
            use(s, KC_USE_BRANCH, count);
        if (opcode != 0xe3 && count->bits)
            *count = with(*count, left_of(count->bits));
        return true;
    }
    case 0xe4: case 0xe5: case 0xec: case 0xed:
        input(s, opcode & 8, size);
        return true;
    case 0xe6: case 0xe7: case 0xee: case 0xef:
        output(s, opcode & 8, size);
        return true;
    case 0xe8:
        push(s, defined, s->size);
        return true;
    case 0xf5: case 0xf8: case 0xf9: /* cmc, clc, stc */
        if (opcode != 0xf5) {
            uint32_t bits = s->values->conditions.bits & ~(uint32_t)(BELOW | NOT_ABOVE);
            s->values->conditions = with(s->values->conditions, bits | (opcode == 0xf8 && (bits & ZERO) ? NOT_ABOVE : 0));
        }
        return true;
    case 0xf6: case 0xf7:
        modrm(s);
        group_3(s, size);
        return true;
    case 0xfe:
        modrm(s);
        increment(s, s->rm, s->reg == 1, 1);
        return true;
    case 0xff:
        modrm(s);
        group_5(s);
        return true;
    case 0xcc: case 0xcd: case 0xce: case 0xe9: case 0xea: case 0xeb: case 0xf1: case 0xf4: case 0xfa ... 0xfd: case 0x9b: case 0x62: case 0x63:
        return true;
    default:
        return false;
    }
}

bool kc_follow(kc *m, struct values *values, uint32_t linear, uintptr_t host_pc)
{
    struct step s = {.m = m, .values = values, .linear = linear, .host_pc = host_pc};
    int64_t at = kc_translate(m, linear);

    if (at >= 0 && (at & PAGE_MASK) + LONGEST <= PAGE_SIZE && (uint64_t)at + LONGEST <= m->memory_end)
        memcpy(s.code, kc_at(m, (uint64_t)at), LONGEST);
    else
        for (uint32_t i = 0; i < LONGEST && (at = kc_translate(m, linear + i)) >= 0 && (uint64_t)at < m->memory_end; i++)
            s.code[i] = *kc_at(m, (uint64_t)at);
    prefixes(&s);
    return follow(&s, byte_of_code(&s));
}
