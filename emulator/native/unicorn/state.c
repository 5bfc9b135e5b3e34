/* The CPU as the engine keeps it: where its state lies, and what lies where in it; the public interface says neither.
 *
 * A kernel that is linked high and loaded low may run in segments with a base until it has page tables: EIP is then not
 * the linear address of the next instruction, nor ESP that of the stack. The CPU goes by the base that it read when the
 * segment register was loaded (Intel SDM vol. 3A, 3.4.3), and Unicorn gives out that of FS and GS only. Those of the others
 * lie in front of these two in its state, in the order in which instructions encode segments.
 */
#include <stdlib.h>
#include <string.h>

#include "unicorn/interpose.h"
#include "unicorn/counting.h"
#include "unicorn/state.h"

enum { FLAG_IF = 1 << 9, FLAG_RF = 1 << 16, FLAG_VM = 1 << 17 };
enum { FPU_BITS = 0xe, FPU_MODES = 0xe00 }; /* MP, EM, TS of CR0; HF_MP_MASK and so on, target/i386/cpu.h */
enum { GENERAL_REGISTERS = 17 * 8, MODES_SEARCHED = 128, SEARCHED = 1024 }; /* bytes of the CPU's state: the general registers and EIP come first */
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u

/* -- general registers --------------------------------------------------------------------------- */

/* Where a general register lies: at the word that follows what is written to the register. */
static const uint32_t *register_in(kc *m, const uint8_t *state, int id)
{
    static const uint32_t marks[] = {0x5a17c0de, 0x13579bdf};
    uint32_t before = kc_reg(m, id);
    const uint32_t *found = NULL;

    for (size_t at = 0; at < GENERAL_REGISTERS && !found; at += 4) {
        bool follows = true;
        for (int i = 0; i < 2 && follows; i++) {
            U.uc_reg_write(m->uc, id, &marks[i]);
            follows = memcmp(state + at, &marks[i], 4) == 0;
        }
        if (follows)
            found = (const uint32_t *)(state + at);
    }
    U.uc_reg_write(m->uc, id, &before);
    return found;
}

/* The word in which some bits follow those of a register, perhaps to another place. */
static uint32_t *follower(kc *m, uint8_t *state, int id, uint32_t bits, uint32_t to)
{
    uint32_t before = kc_reg(m, id), changed = before ^ bits, words[MODES_SEARCHED / 4];
    uint32_t *found = NULL;

    memcpy(words, state + GENERAL_REGISTERS, sizeof words);
    U.uc_reg_write(m->uc, id, &changed);
    for (size_t i = 0; i < MODES_SEARCHED / 4 && !found; i++) {
        uint32_t *at = (uint32_t *)(state + GENERAL_REGISTERS) + i;
        if ((*at ^ words[i]) == to)
            found = at;
    }
    U.uc_reg_write(m->uc, id, &before);
    return found;
}

/* Where CR0 lies; the others follow it at equal distances. CR2 shows where, for it may be anything. */
static const uint32_t *control_registers(kc *m, const uint8_t *state)
{
    static const uint32_t marks[] = {0x5a17c0de, 0x13579bdf};
    uint32_t cr2 = kc_reg(m, UC_X86_REG_CR2), cr3 = kc_reg(m, UC_X86_REG_CR3), directory = 0x2468a000;
    const uint32_t *found = NULL;

    for (size_t at = 2 * KC_CONTROL_WORDS * 4; at < SEARCHED && !found; at += 4) {
        bool follows = true;
        for (int i = 0; i < 2 && follows; i++) {
            U.uc_reg_write(m->uc, UC_X86_REG_CR2, &marks[i]);
            follows = memcmp(state + at, &marks[i], 4) == 0;
        }
        if (follows)
            found = (const uint32_t *)(state + at) - 2 * KC_CONTROL_WORDS;
    }
    U.uc_reg_write(m->uc, UC_X86_REG_CR2, &cr2);
    U.uc_reg_write(m->uc, UC_X86_REG_CR3, &directory);
    bool right = found && found[3 * KC_CONTROL_WORDS] == directory && found[0] == kc_reg(m, UC_X86_REG_CR0) &&
                 found[4 * KC_CONTROL_WORDS] == kc_reg(m, UC_X86_REG_CR4);
    U.uc_reg_write(m->uc, UC_X86_REG_CR3, &cr3);
    return right ? found : NULL;
}

static void find_registers(kc *m)
{
    void *at = m->state->at = kc_find_state(m);

    m->state->esp = at ? register_in(m, at, UC_X86_REG_ESP) : NULL;
    m->state->eax = at ? register_in(m, at, UC_X86_REG_EAX) : NULL;
    m->state->ebp = at ? register_in(m, at, UC_X86_REG_EBP) : NULL;
    m->state->eip = at ? (uint32_t *)register_in(m, at, UC_X86_REG_EIP) : NULL;
    m->state->modes = at ? follower(m, at, UC_X86_REG_CR0, FPU_BITS, FPU_MODES) : NULL;
    m->state->control = at ? control_registers(m, at) : NULL;
    m->state->eflags = at ? follower(m, at, UC_X86_REG_EFLAGS, FLAG_IF, FLAG_IF) : NULL;
}

/* Eight registers of 64-bit code lie between the others and EIP. The guest has none, and the counter of instructions may lie there: next
 * to what translated code uses all the time. */
static void lend_registers(kc *m)
{
    enum { FIRST = 8, COUNT = 16 };
    const uint64_t *eax = (const uint64_t *)m->state->eax, *eip = (const uint64_t *)m->state->eip;

    _Static_assert(sizeof(struct counter) <= (COUNT - FIRST) * sizeof(uint64_t), "it has room there");
    if (kc_registers_are_found(m) && (const uint64_t *)m->state->esp == eax + 4 && (const uint64_t *)m->state->ebp == eax + 5 && eip == eax + COUNT)
        kc_counting_move(m, (void *)(eax + FIRST));
}

/* A context of the CPU that is made its present state has registers that are lent. */
static int make_present(kc *m, uc_context *context)
{
    struct counter counter = kc_counter(m);
    int error = U.uc_context_restore(m->uc, context);

    kc_put_counter(m, counter);
    kc_look_soon(m); /* somebody may have asked for that meanwhile */
    return error;
}

/* -- segments ------------------------------------------------------------------------------------ */

static size_t first_at, distance; /* of the bases in the state, the same in every CPU; distance 0: not known yet */

/* Where the CPU's state is not known, a copy of it will do. */
static const uint8_t *state_of(kc *m)
{
    if (m->state->at)
        return m->state->at;
    U.uc_context_save(m->uc, m->state->scratch); /* fails only where memory is to be saved, too */
    return (const uint8_t *)m->state->scratch;
}

/* The offset in the state of the word that follows what is written to a base; 0: there is none. */
static size_t offset_of(kc *m, uint32_t msr)
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

/* False if libunicorn keeps the bases where they are not found. */
static bool find_segments(kc *m)
{
    if (!distance) {
        size_t fs = offset_of(m, MSR_FS_BASE), gs = offset_of(m, MSR_GS_BASE);
        if (!fs || gs <= fs || fs <= FS * (gs - fs))
            return false;
        first_at = fs - FS * (gs - fs);
        distance = gs - fs;
    }
    m->state->bases = m->state->at ? (const uint8_t *)m->state->at + first_at : NULL;
    m->state->base_distance = distance;
    return true;
}

uint32_t kc_read_segment_base(kc *m, enum segment segment)
{
    uint32_t base;
    memcpy(&base, state_of(m) + first_at + segment * distance, sizeof base);
    return base;
}

/* Around the base of a segment: its selector, limit and flags, which are a descriptor's upper half. */
enum { SELECTOR_AT = -8, LIMIT_AT = 8, FLAGS_AT = 12 };

/* Does a task register that is written lie so in the state? */
static bool caches_hold(kc *m)
{
    const uc_x86_mmr task = {.selector = 0x5a17, .base = 0x13579bdf, .limit = 0xc0de, .flags = 0x8b00};
    uc_x86_mmr before, zero = {0};
    uint8_t *state = m->state->at;
    bool hold = false;

    U.uc_reg_read(m->uc, UC_X86_REG_TR, &before);
    U.uc_reg_write(m->uc, UC_X86_REG_TR, &zero);
    U.uc_reg_write(m->uc, UC_X86_REG_TR, &task);
    for (size_t at = first_at; at < SEARCHED && !hold; at += 4)
        hold = *(uint32_t *)(state + at) == task.base && *(uint32_t *)(state + at + SELECTOR_AT) == task.selector &&
               *(uint32_t *)(state + at + LIMIT_AT) == task.limit && *(uint32_t *)(state + at + FLAGS_AT) == task.flags;
    U.uc_reg_write(m->uc, UC_X86_REG_TR, &before);
    return hold;
}

static void put_flat(kc *m, enum segment segment, uint32_t selector, uint32_t flags)
{
    uint8_t *base = (uint8_t *)m->state->at + first_at + segment * distance;

    *(uint64_t *)base = 0;
    *(uint32_t *)(base + SELECTOR_AT) = selector;
    *(uint32_t *)(base + LIMIT_AT) = UINT32_MAX;
    *(uint32_t *)(base + FLAGS_AT) = flags;
}

void kc_enter_ring_0(kc *m, uint32_t cs, uint32_t eip, uint32_t esp)
{
    enum { FLAT = 0x00c09000, CODE = 0xb00, DATA = 0x300 }; /* 4 GiB, 32 bits, present, ring 0; readable, writable, accessed */
    uint32_t modes = kc_modes(m) & ~(uint32_t)(3 | KC_BASES | KC_VIRTUAL_8086);

    put_flat(m, CS, cs & 0xfffc, FLAT | CODE);
    put_flat(m, SS, (cs & 0xfffc) + 8, FLAT | DATA);
    if (kc_segment_base(m, DS) || kc_segment_base(m, ES))
        modes |= KC_BASES;
    *m->state->modes = modes | KC_CODE_32 | KC_STACK_32;
    *m->state->eflags &= ~(uint32_t)(FLAG_IF | FLAG_RF | FLAG_VM);
    U.uc_reg_write(m->uc, UC_X86_REG_ESP, &esp);
    kc_set_eip(m, eip);
}

/* -- exceptions ---------------------------------------------------------------------------------- */

/* The engine's note of the exception is the one word of the CPU's state that was -1 when the CPU was made and is the vector
 * now. */
void kc_forget_exception(kc *m, uint32_t vector)
{
    static size_t note_at; /* the same in every CPU */
    size_t size = U.uc_context_size(m->uc);
    uint8_t *now = (uint8_t *)m->state->scratch;
    const uint8_t *then = (const uint8_t *)m->state->pristine;
    uint32_t none = UINT32_MAX;

    if (U.uc_context_save(m->uc, m->state->scratch))
        return;
    for (size_t at = 0; !note_at && at + 4 <= size; at += 4)
        if (memcmp(then + at, &none, 4) == 0 && memcmp(now + at, &vector, 4) == 0)
            note_at = at;
    if (note_at) {
        memcpy(now + note_at, &none, 4);
        make_present(m, m->state->scratch);
    }
}

/* -- snapshots ----------------------------------------------------------------------------------- */

/* The engine keeps breakpoints outside of what a context holds: a context is taken and restored without them. */
struct saved {
    uc_context *cpu;
    uint32_t dr7;
};

int kc_state_save(kc *m, void **out)
{
    struct saved *saved = calloc(1, sizeof *saved);

    if (!saved)
        return -1;
    *out = saved;
    if (U.uc_context_alloc(m->uc, &saved->cpu)) {
        saved->cpu = NULL;
        return -1;
    }
    saved->dr7 = kc_breakpoints(m, 0);
    int error = U.uc_context_save(m->uc, saved->cpu);
    kc_breakpoints(m, saved->dr7);
    return error ? -1 : 0;
}

int kc_state_restore(kc *m, const void *data)
{
    const struct saved *saved = data;

    kc_breakpoints(m, 0);
    if (make_present(m, saved->cpu))
        return -1;
    kc_breakpoints(m, saved->dr7);
    return 0;
}

void kc_state_forget(void *data)
{
    struct saved *saved = data;

    if (saved && saved->cpu)
        U.uc_context_free(saved->cpu);
    free(saved);
}

/* -- life ---------------------------------------------------------------------------------------- */

int kc_state_init(kc *m)
{
    if (KC_NEW(m->state))
        return -1;
    if (U.uc_context_alloc(m->uc, &m->state->pristine)) {
        m->state->pristine = NULL;
        return -1;
    }
    if (U.uc_context_alloc(m->uc, &m->state->scratch)) {
        m->state->scratch = NULL;
        return -1;
    }
    if (U.uc_context_save(m->uc, m->state->pristine))
        return -1;
    find_registers(m);
    lend_registers(m);
    return find_segments(m) && caches_hold(m) && m->state->eip && m->state->modes && m->state->eflags ? 0 : -1;
}

void kc_state_free(kc *m)
{
    if (!m->state)
        return;
    if (m->state->pristine)
        U.uc_context_free(m->state->pristine);
    if (m->state->scratch)
        U.uc_context_free(m->state->scratch);
    free(m->state);
    m->state = NULL;
}
