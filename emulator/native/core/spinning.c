/* Loops that nothing can end: `cli; jmp .`, in which many panics end.
 *
 * Theory. A loop of jumps and of instructions that change nothing goes on until an interrupt comes. With interrupts off there is none but
 * an NMI, which is taken before anything is looked for here. Exceptions of debugging may come; and with a probe in the loop, whoever set
 * it may change registers.
 *
 * Shortcomings. Loops that count, or read or write memory, are none: whether they end is up to more than their code.
 */
#include "core/mmu.h"
#include "core/reports.h"
#include "core/spinning.h"
#include "unicorn/interpose.h"
#include "unicorn/state.h"

enum { FLAG_TF = 1 << 8, FLAG_IF = 1 << 9 };
enum { DR7_ENABLES = 0xff };
enum { NOP = 0x90, REP = 0xf3, JMP_SHORT = 0xeb, CLI = 0xfa };
enum { LONGEST = 8 /* instructions */, ELSE = -1 };

static int code_at(kc *m, uint32_t linear)
{
    int64_t at = kc_translate(m, linear);
    return at >= 0 && (uint64_t)at < m->memory_end ? *kc_at(m, (uint64_t)at) : ELSE;
}

/* How far an instruction leads that only jumps, or changes nothing; ELSE: another one. */
static int64_t after(kc *m, uint32_t at)
{
    int code = code_at(m, at), second = code_at(m, at + 1);

    if (code == NOP || (code == CLI && !kc_ring(m)))
        return (uint32_t)(at + 1);
    if (code == REP && second == NOP) /* pause */
        return (uint32_t)(at + 2);
    if (code == JMP_SHORT && second != ELSE)
        return (uint32_t)(at + 2 + (uint32_t)(int8_t)second);
    return ELSE;
}

bool kc_spins(kc *m)
{
    uint32_t start = kc_pc(m);
    int64_t at = start;

    if (!kc_sees_flags(m) || (kc_reg(m, UC_X86_REG_EFLAGS) & (FLAG_IF | FLAG_TF)) ||
        (kc_reg(m, UC_X86_REG_DR7) & DR7_ENABLES))
        return false;
    for (int i = 0; i < LONGEST; i++) {
        if (kc_is_probed(m, (uint32_t)at) || (at = after(m, (uint32_t)at)) == ELSE)
            return false;
        if (at == start)
            return true;
    }
    return false;
}
