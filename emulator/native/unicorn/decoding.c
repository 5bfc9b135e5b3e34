/* Instructions that a CPU refuses, or takes for others, and Unicorn translates: bytes of them are replaced while they are read.
 *
 * LOCK is allowed in front of 18 instructions, and only where they write to memory; else there is #UD (SDM vol. 2A, LOCK).
 * Unicorn looks only at some of the others; its translator ends the process for `lock btc %eax, %eax`. Instructions that the CPU does
 * not have are refused, too.
 *
 * Blocks end before two kinds of instructions. LOOPE and LOOPNE need the flags of those before them, which Unicorn loses where ECX becomes
 * 0. And what reaches into a page that cannot be fetched faults there, after all that comes before it.
 *
 * The translator marks where an instruction starts (tcg_gen_op2()), then reads it byte by byte (cpu_ldub_code()). Prefixes are
 * followed from there, so that a byte of another meaning is never taken for one.
 */

#include "unicorn/interpose.h"
#include "unicorn/reports.h"

enum { INSN_START = 0x81 }; /* tcg-opc.h of QEMU 5.0 */
enum { LOOPNE = 0xe0, LOOPE = 0xe1, INT3 = 0xcc };
enum { LOCK = 0xf0, TWO_BYTES = 0x0f, UD2_FIRST = 0x0f, UD2_SECOND = 0x0b, LONGEST_INSTRUCTION = 15 };

static uint32_t (*original_ldub_code)(void *state, uint64_t address);
static void (*original_op2)(void *translation, unsigned operation, uintptr_t first, uintptr_t second);

/* The instruction that is translated in this thread. */
static __thread __attribute__((tls_model("initial-exec"))) struct {
    uint32_t at;
    uint64_t prefix_at; /* where its next prefix lies, if it has one */
    uint64_t opcode_at; /* where the next byte of its opcode lies, if there is one */
    bool refused;
    uint8_t mandatory;      /* prefix of the opcode, see alignment.c */
    bool aligned;           /* its memory operand has to be, and was not accessed yet */
} instruction;

static bool is_prefix(uint32_t byte)
{
    switch (byte) {
    case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: /* segment overrides */
    case 0x66: case 0x67: case LOCK: case 0xf2: case 0xf3:
        return true;
    default:
        return false;
    }
}

enum { ALL = 0xff };

/* Which values of the modrm byte's middle field make an instruction that may be locked: one bit for each. */
static unsigned lockable(uint32_t opcode)
{
    switch (opcode) {
    case 0x00: case 0x01: case 0x08: case 0x09: case 0x10: case 0x11: case 0x18: case 0x19: /* add, or, adc, sbb */
    case 0x20: case 0x21: case 0x28: case 0x29: case 0x30: case 0x31: /* and, sub, xor */
    case 0x86: case 0x87: /* xchg */
        return ALL;
    case 0x80: case 0x81: case 0x82: case 0x83:
        return ALL & ~(1u << 7); /* the same with an immediate; 7 is cmp */
    case 0xf6: case 0xf7:
        return 1 << 2 | 1 << 3; /* not, neg */
    case 0xfe: case 0xff:
        return 1 << 0 | 1 << 1; /* inc, dec */
    default:
        return 0;
    }
}

static unsigned lockable_two_bytes(uint32_t opcode)
{
    switch (opcode) {
    case 0xab: case 0xb3: case 0xbb: /* bts, btr, btc */
    case 0xb0: case 0xb1: case 0xc0: case 0xc1: /* cmpxchg, xadd */
        return ALL;
    case 0xba:
        return 1 << 5 | 1 << 6 | 1 << 7; /* bts, btr, btc */
    case 0xc7:
        return 1 << 1; /* cmpxchg8b */
    default:
        return 0;
    }
}

/* May a LOCK in front of `at` stand there? Reads no byte that the translator would not read. */
static bool may_be_locked(void *state, uint64_t at)
{
    uint32_t byte = LOCK;

    for (int i = 1; i < LONGEST_INSTRUCTION && is_prefix(byte); i++)
        byte = original_ldub_code(state, at++);
    if (is_prefix(byte))
        return true; /* it is too long, which the translator finds out */
    unsigned allowed =
        byte == TWO_BYTES ? lockable_two_bytes(original_ldub_code(state, at++)) : lockable(byte);
    if (!allowed)
        return false;
    uint32_t modrm = original_ldub_code(state, at);
    return modrm >> 6 != 3 && (allowed >> (modrm >> 3 & 7) & 1);
}

/* The CPU has bsf and bsr, and ignores REP, which makes tzcnt and lzcnt of them on others; REPNE is ignored by Unicorn, too. */
static bool is_bit_scan(uint32_t opcode) { return opcode == 0xbc || opcode == 0xbd; }

/* What is read for 66, F2 or F3 where more than one of them stands in front of an instruction of SSE: the last F2 or F3, which
 * says on a CPU which instruction it is. Unicorn would take 66 for that, and F3 before F2. */
static uint32_t overruled(void *state, uint64_t at, uint32_t byte)
{
    uint32_t last = byte == KC_66 && instruction.mandatory ? instruction.mandatory : byte, next = byte;

    for (int i = 1; i < LONGEST_INSTRUCTION && is_prefix(next); i++) {
        next = original_ldub_code(state, at++);
        if (next == KC_F2 || next == KC_F3)
            last = next;
    }
    uint32_t opcode = next == TWO_BYTES ? original_ldub_code(state, at) : 0;
    if (byte == KC_F3 && is_bit_scan(opcode))
        return KC_F2;
    return last != byte && kc_is_chosen_by_prefix(opcode) ? last : byte;
}

EXPORTED void tcg_gen_op2_x86_64(void *translation, unsigned operation, uintptr_t first, uintptr_t second);
void tcg_gen_op2_x86_64(void *translation, unsigned operation, uintptr_t first, uintptr_t second)
{
    if (operation == INSN_START) {
        instruction.at = (uint32_t)first;
        instruction.prefix_at = first;
        instruction.opcode_at = 0;
        instruction.refused = instruction.aligned = false;
        instruction.mandatory = 0;
        uintptr_t number = kc_next_instruction();
        if (kc_translates_ours())
            second |= number << 32; /* delivery.c */
    }
    original_op2(translation, operation, first, second);
    if (operation == INSN_START && kc_translates_ours())
        kc_track_instruction(instruction.at, (uint32_t)(second >> 32));
}

/* VEX prefixes, which Unicorn skips, are les and lds of a register, which are none on a CPU that has no AVX. */
static bool is_vex(void *state, uint64_t address, uint32_t byte)
{
    enum { LES = 0xc4, LDS = 0xc5, OF_A_REGISTER = 0xc0 };

    return (byte == LES || byte == LDS) && original_ldub_code(state, address + 1) >= OF_A_REGISTER;
}

/* Instructions of CPUs that QEMU's default model is not, either: SSE4a and clflush. Those of others the engine's model does not have. */
static bool is_of_others(void *state, uint64_t address, uint32_t opcode)
{
    uint32_t modrm, prefix = instruction.mandatory;

    switch (opcode) {
    case 0x78: case 0x79: /* extrq, insertq */
        return true;
    case 0x2b: /* movntss, movntsd */
        return prefix == KC_F2 || prefix == KC_F3;
    case 0xae:
        modrm = original_ldub_code(state, address + 1);
        return modrm >> 6 != 3 && (modrm >> 3 & 7) == 7; /* clflush */
    default:
        return false;
    }
}

/* A byte of an instruction with nothing but prefixes before it. Returns what is read there. */
static uint32_t starts(void *state, uint64_t address, uint32_t byte)
{
    if (is_vex(state, address, byte)) {
        instruction.refused = true;
        return UD2_FIRST;
    }
    if (byte == LOOPNE || byte == LOOPE)
        kc_cut_block();
    if (!is_prefix(byte)) {
        instruction.opcode_at = byte == TWO_BYTES ? address + 1 : 0;
        return byte;
    }
    instruction.prefix_at++;
    if (byte == KC_66 || byte == KC_F2 || byte == KC_F3) {
        byte = overruled(state, address + 1, byte);
        instruction.mandatory = (uint8_t)byte;
    }
    instruction.refused = byte == LOCK && !may_be_locked(state, address + 1);
    return instruction.refused ? UD2_FIRST : byte;
}

/* The byte after 0x0f. Returns what is read there. */
static uint32_t goes_on(void *state, uint64_t address, uint32_t byte)
{
    instruction.aligned = kc_is_aligned(instruction.mandatory, byte);
    instruction.opcode_at = 0;
    return is_of_others(state, address, byte) ? UD2_SECOND : byte;
}

/* Does an instruction reach into a page that cannot be fetched, and can be left to the next block? */
static bool is_left(const void *state, uint64_t address, uint32_t size)
{
    if (kc_starts_on_page_of(address + size - 1))
        return false;
    kc *m = kc_running_on(state);
    return m && (kc_is_cut() || (!kc_may_fetch(m, (uint32_t)address + size - 1) && kc_cut_block()));
}

#define WIDE(name, size) \
    static uint32_t (*original_##name)(void *state, uint64_t address); \
    EXPORTED uint32_t cpu_##name##_code_x86_64(void *state, uint64_t address); \
    uint32_t cpu_##name##_code_x86_64(void *state, uint64_t address) \
    { \
        return is_left(state, address, size) ? 0 : original_##name(state, address); \
    }
WIDE(lduw, 2)
WIDE(ldl, 4)

EXPORTED uint32_t cpu_ldub_code_x86_64(void *state, uint64_t address);
uint32_t cpu_ldub_code_x86_64(void *state, uint64_t address)
{
    if (instruction.refused)
        return UD2_SECOND;
    if (is_left(state, address, 1))
        return INT3;
    uint32_t byte = original_ldub_code(state, address);
    if (!kc_running_on(state))
        return byte;
    if (address == instruction.prefix_at)
        return starts(state, address, byte);
    return address == instruction.opcode_at ? goes_on(state, address, byte) : byte;
}

uint32_t kc_instruction_at(void) { return instruction.at; }

bool kc_needs_alignment(void)
{
    bool needed = instruction.aligned;

    instruction.aligned = false;
    return needed;
}

void kc_decoding_load(void *unicorn)
{
    original_op2 = (__typeof__(original_op2))kc_find(unicorn, "tcg_gen_op2_x86_64");
    original_ldub_code = (__typeof__(original_ldub_code))kc_find(unicorn, "cpu_ldub_code_x86_64");
    original_lduw = (__typeof__(original_lduw))kc_find(unicorn, "cpu_lduw_code_x86_64");
    original_ldl = (__typeof__(original_ldl))kc_find(unicorn, "cpu_ldl_code_x86_64");
}
