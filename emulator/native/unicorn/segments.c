/* Where segments begin.
 *
 * A kernel that is linked high and loaded low may run in segments with a base until it has page tables: EIP is then not
 * the linear address of the next instruction, nor ESP that of the stack. The CPU goes by the base that it read when the
 * segment register was loaded (Intel SDM vol. 3A, 3.4.3), and Unicorn tells that of FS and GS only. Those of the others
 * lie in front of these two in its state, in the order in which instructions encode segments.
 */
#include <string.h>

#include "machine.h"

enum { SEARCHED = 1024 }; /* bytes of the CPU's state */
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u

static size_t first_at, distance; /* of the bases in the state, the same in every CPU; distance 0: not known yet */

/* Where the CPU's state is not known, a copy of it will do. */
static const uint8_t *state_of(kc *m)
{
    if (m->state)
        return m->state;
    U.uc_context_save(m->uc, m->scratch); /* fails only where memory is to be saved, too */
    return (const uint8_t *)m->scratch;
}

/* The offset in the state of the word that follows what is written to a base; 0: there is none. */
static size_t place_of(kc *m, uint32_t msr)
{
    static const uint32_t marks[] = {0x5a17c0de, 0x13579bdf, 0};
    size_t found = 0;

    for (size_t at = 4; at < SEARCHED && !found; at += 4) {
        bool follows = true;
        for (int i = 0; i < 3; i++) { /* to the end: the base is 0 again */
            uc_x86_msr write = {msr, marks[i]};
            U.uc_reg_write(m->uc, UC_X86_REG_MSR, &write);
            follows = follows && memcmp(state_of(m) + at, &marks[i], sizeof marks[i]) == 0;
        }
        if (follows)
            found = at;
    }
    return found;
}

bool kc_segments_find(kc *m)
{
    if (!distance) {
        size_t fs = place_of(m, MSR_FS_BASE), gs = place_of(m, MSR_GS_BASE);
        if (!fs || gs <= fs || fs <= FS * (gs - fs))
            return false;
        first_at = fs - FS * (gs - fs);
        distance = gs - fs;
    }
    return true;
}

uint32_t kc_segment_base(kc *m, enum segment segment)
{
    uint32_t base;
    memcpy(&base, state_of(m) + first_at + segment * distance, sizeof base);
    return base;
}
