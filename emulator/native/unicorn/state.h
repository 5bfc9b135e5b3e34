/* The CPU as the engine keeps it: registers, the bases of segments, and what a snapshot has of them. */
#ifndef KMEMU_STATE_H
#define KMEMU_STATE_H

#include "unicorn/engine.h"

enum { KC_CONTROL_WORDS = 2 };

struct state {
    void *at;                          /* of Unicorn's CPU, or NULL where that is not known */
    const uint8_t *bases;              /* of segments in there, or NULL, and the distance between two */
    size_t base_distance;
    const uint32_t *esp, *eax, *ebp;   /* where it keeps them, or NULL */
    const uint32_t *control;           /* CR0, or NULL; CR2 and so on lie KC_CONTROL_WORDS apart */
    uint32_t *eip, *modes, *eflags;    /* modes: hidden flags that translated code depends on; eflags: without those of arithmetic */
    void *translator;                  /* the state of its translator; NULL: not known yet */
    void *cpu;                         /* Unicorn's, as its translator has it; NULL: it has translated nothing yet */
    uc_context *pristine, *scratch;    /* the CPU as it was made, and room for a second context */
};

int kc_state_init(kc *m);
void kc_state_free(kc *m);
int kc_state_save(kc *m, void **saved);
int kc_state_restore(kc *m, const void *saved);
void kc_state_forget(void *saved);

enum segment { ES, CS, SS, DS, FS, GS };
/* Base of a segment as the CPU holds it, which need not be what the descriptor in memory says by now. */
uint32_t kc_read_segment_base(kc *m, enum segment segment);
static INLINED uint32_t kc_segment_base(kc *m, enum segment segment)
{
    uint32_t base;

    if (!m->state->bases)
        return kc_read_segment_base(m, segment);
    __builtin_memcpy(&base, m->state->bases + segment * m->state->base_distance, sizeof base);
    return base;
}
/* Unicorn never forgets an exception that it has handed out: the next one would become a double fault. */
void kc_forget_exception(kc *m, uint32_t vector);

static inline void *kc_state_at(const kc *m) { return m->state->at; }
static inline bool kc_registers_are_found(const kc *m) { return m->state->esp && m->state->eax && m->state->ebp && m->state->eip; }
static inline void *kc_cpu(const kc *m) { return m->state->cpu; }
static inline void *kc_translator(const kc *m) { return m->state->translator; }
static inline void kc_note_translator(kc *m, void *translator) { m->state->translator = translator; }
static inline void kc_note_cpu(kc *m, void *cpu) { m->state->cpu = cpu; }

/* Where the CPU keeps a register, as far as that is known; NULL: ask the engine. */
static inline const uint32_t *kc_register_at(const kc *m, int id)
{
    const uint32_t *control = m->state->control;

    switch (id) {
    case UC_X86_REG_EIP:
        return m->state->eip;
    case UC_X86_REG_CR0:
        return control;
    case UC_X86_REG_CR2:
        return control ? control + 2 * KC_CONTROL_WORDS : NULL;
    case UC_X86_REG_CR3:
        return control ? control + 3 * KC_CONTROL_WORDS : NULL;
    case UC_X86_REG_CR4:
        return control ? control + 4 * KC_CONTROL_WORDS : NULL;
    default:
        return NULL;
    }
}

static inline uint32_t kc_reg(kc *m, int id)
{
    const uint32_t *at = kc_register_at(m, id);
    uint32_t value = 0;

    if (at)
        return *at;
    U.uc_reg_read(m->uc, id, &value);
    return value;
}

static inline uint32_t kc_esp(kc *m) { return m->state->esp ? *m->state->esp : kc_reg(m, UC_X86_REG_ESP); }
static inline uint32_t kc_eax(kc *m) { return m->state->eax ? *m->state->eax : kc_reg(m, UC_X86_REG_EAX); }
static inline uint32_t kc_ebp(kc *m) { return m->state->ebp ? *m->state->ebp : kc_reg(m, UC_X86_REG_EBP); }

/* Bits of the hidden flags; the ring is in bits 0 and 1. */
enum { KC_CODE_32 = 1 << 4, KC_STACK_32 = 1 << 5, KC_BASES = 1 << 6 /* of DS, ES, SS are not all 0 */ };
enum { KC_SHADOW = 1 << 3 /* of sti, or a load of SS */, KC_PROTECTED = 1 << 7, KC_IOPL_AT = 12, KC_VIRTUAL_8086 = 1 << 17 };
static inline uint32_t kc_modes(const kc *m) { return *m->state->modes; }
static inline uint32_t kc_ring(const kc *m) { return kc_modes(m) & 3; }
/* What a translated block depends on besides its address and the base of CS: cpu_get_tb_cpu_state() in target/i386/cpu.h. */
enum { KC_TRACKS = 1 << 30 /* the engine knows no such flag: blocks of which each instruction is told */ };
static inline void kc_track(kc *m, bool yes) { *m->state->modes = (*m->state->modes & ~(uint32_t)KC_TRACKS) | (yes ? KC_TRACKS : 0); }
static inline bool kc_tracks(const kc *m) { return *m->state->modes & KC_TRACKS; }
/* A general register, by the number that instructions encode. */
static inline uint32_t kc_general(kc *m, unsigned number)
{
    static const int ids[] = {UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX, UC_X86_REG_EBX,
                              UC_X86_REG_ESP, UC_X86_REG_EBP, UC_X86_REG_ESI, UC_X86_REG_EDI};
    return kc_registers_are_found(m) ? m->state->eax[2 * number] : kc_reg(m, ids[number]); /* 64 bits each */
}
enum { KC_STEPS = 1 << 8, KC_RESUMES = 1 << 16, KC_ALIGNS = 1 << 18, KC_MPX = 3 << 25 };
enum { KC_BLOCK_EFLAGS = KC_STEPS | 3 << KC_IOPL_AT | KC_RESUMES | KC_VIRTUAL_8086 | KC_ALIGNS };
static inline uint32_t kc_block_flags(const kc *m) { return *m->state->modes | (*m->state->eflags & KC_BLOCK_EFLAGS); }
static inline const uint32_t *kc_eflags_at(const kc *m) { return m->state->eflags; }
/* EIP as the engine keeps it, in 64 bits. */
static inline const uint64_t *kc_long_eip(const kc *m) { return (const uint64_t *)m->state->eip; }
static inline void kc_leave_shadow(kc *m) { *m->state->modes &= ~(uint32_t)KC_SHADOW; }

/* While the engine runs: go to ring 0, with flat segments (SDM vol. 2B, SYSENTER) whatever the descriptors say; interrupts are off. */
void kc_enter_ring_0(kc *m, uint32_t cs, uint32_t eip, uint32_t esp);

/* While the engine runs, where EIP is exact: Unicorn would leave its loop. */
static inline void kc_set_eip(kc *m, uint32_t eip) { *m->state->eip = eip; }

/* The linear address that EIP stands for: of the next instruction, or of the one that faulted. */
static inline uint32_t kc_pc(kc *m) { return kc_segment_base(m, CS) + kc_reg(m, UC_X86_REG_EIP); }

#endif
