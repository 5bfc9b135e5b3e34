/* Memory operands of SSE that have to be aligned, or else there is #GP(0) (SDM vol. 1, 11.3; vol. 2A, 2.4): Unicorn does not ask.
 *
 * The address of such an access gets its last four bits a second time, from bit MISALIGNED upwards: where they are not 0, no
 * page is there, and the TLB fill knows why. That costs three operations of translated code, for these instructions only.
 */

#include "unicorn/alignment.h"
#include "unicorn/interpose.h"

enum { NONE = 0, GENERAL_PROTECTION = 13 };

static bool in(uint32_t opcode, uint32_t first, uint32_t last) { return opcode >= first && opcode <= last; }

bool kc_is_aligned(uint32_t prefix, uint32_t opcode)
{
    bool packed = prefix == NONE || prefix == KC_66;

    switch (opcode) {
    case 0x14: case 0x15: case 0x28: case 0x29: case 0x2b: /* unpcklps, unpckhps, movaps, movntps */
    case 0x51: case 0x54: case 0x55: case 0x56: case 0x57: case 0x58: case 0x59: /* sqrtps, logic, addps, mulps */
    case 0x5c: case 0x5d: case 0x5e: case 0x5f: case 0xc2: case 0xc6: /* subps to maxps, cmpps, shufps */
        return packed;
    case 0x52: case 0x53: /* rsqrtps, rcpps */
        return prefix == NONE;
    case 0x12: case 0x16: /* movsldup, movshdup */
        return prefix == KC_F3;
    case 0x5b: /* cvtdq2ps, cvtps2dq, cvttps2dq */
        return prefix != KC_F2;
    case 0x70: /* pshufd, pshufhw, pshuflw */
        return prefix != NONE;
    case 0x7c: case 0x7d: case 0xd0: case 0xe6: /* haddpd, hsubpd, addsubpd, cvttpd2dq, and with F2 their kin */
        return prefix == KC_66 || prefix == KC_F2;
    case 0x2d: case 0x2c: case 0x5a: case 0x6c: case 0x6d: /* cvtpd2pi, cvtpd2ps, punpcklqdq */
        return prefix == KC_66;
    default: /* integers; without a prefix they are MMX */
        return prefix == KC_66 && opcode != 0x6e && opcode != 0x7e && opcode != 0xc4 && opcode != 0xd6 && opcode != 0xf7 &&
               (in(opcode, 0x60, 0x6f) || in(opcode, 0x74, 0x76) || opcode == 0x7f || in(opcode, 0xd1, 0xfe));
    }
}

bool kc_is_chosen_by_prefix(uint32_t opcode)
{
    return in(opcode, 0x10, 0x17) || in(opcode, 0x28, 0x2f) || in(opcode, 0x50, 0x7f) || opcode == 0xc2 || in(opcode, 0xc4, 0xc6) ||
           in(opcode, 0xd0, 0xfe);
}

/* The TLB fill of Unicorn's own MMU would leave out the bits. */
static bool (*original_fill)(void *cpu, uint64_t address, int size, int access, int mode, bool probe, uintptr_t host_pc);
EXPORTED bool x86_cpu_tlb_fill_x86_64(void *cpu, uint64_t address, int size, int access, int mode, bool probe, uintptr_t host_pc);
bool x86_cpu_tlb_fill_x86_64(void *cpu, uint64_t address, int size, int access, int mode, bool probe, uintptr_t host_pc)
{
    void *state = kc_state_of(cpu);

    if (state)
        kc_note_cpu_of(state, cpu);
    if (state && address >> MISALIGNED)
        raise_exception_err_ra_x86_64(state, GENERAL_PROTECTION, 0, host_pc);
    return original_fill(cpu, address, size, access, mode, probe, host_pc);
}

void kc_alignment_load(void *unicorn)
{
    original_fill = (__typeof__(original_fill))kc_find(unicorn, "x86_cpu_tlb_fill_x86_64");
}
