/* What the CPU says of itself: a Pentium III that promises only what the machine has (Intel SDM vol. 2A, CPUID), with its time stamp
 * counter and the model specific registers that the engine does not have (SDM vol. 4, 2.22).
 *
 * SSE2 and SSE3 are executed, too, as by QEMU's default model; later instructions are not (unicorn/decoding.c).
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/features.h"
#include "unicorn/counting.h"
#include "unicorn/reports.h"
#include "unicorn/state.h"

enum { MSR_TIME_STAMP = 0x10, MSR_APIC_BASE = 0x1b };
enum { APIC_AT = 0xfee00000, APIC_ENABLED = 1 << 11, APIC_OF_BOOT_CPU = 1 << 8 };
#define APIC_ADDRESS 0xfffff000u
enum {
    FPU = 1 << 0, DE = 1 << 2, PSE = 1 << 3, TSC = 1 << 4, MSR = 1 << 5, CX8 = 1 << 8, APIC = 1 << 9, SEP = 1 << 11, PGE = 1 << 13,
    CMOV = 1 << 15, MMX = 1 << 23, FXSR = 1 << 24, SSE = 1 << 25
};
enum { SIGNATURE = 0x673 /* family 6, model 7, stepping 3 */, CACHES = 0x03020101, CACHES_TOO = 0x0c040843, LEAVES = 2 };
#define EXTENDED 0x40000000u /* hypervisors, AMD: nothing there */

struct features {
    bool has_local_apic;
    struct kept {
        uint64_t time_stamp_at_0; /* what the time stamp counter would have said when the machine was made */
        uint32_t apic_base;       /* with its flags */
    } kept; /* by snapshots */
};

static bool promises_apic(const struct features *f) { return f->has_local_apic && (f->kept.apic_base & APIC_ENABLED); }

/* EAX, EBX, ECX, EDX */
static void leaf_of(const kc *m, uint32_t leaf, uint32_t out[4])
{
    uint32_t features = FPU | DE | PSE | TSC | MSR | CX8 | SEP | PGE | CMOV | MMX | FXSR | SSE;

    out[0] = out[1] = out[2] = out[3] = 0;
    if (leaf == 0) {
        out[0] = LEAVES;
        out[1] = 0x756e6547; /* GenuineIntel */
        out[3] = 0x49656e69;
        out[2] = 0x6c65746e;
    } else if (leaf == 1) {
        out[0] = SIGNATURE;
        out[3] = features | (promises_apic(m->features) ? APIC : 0);
    } else if (leaf < EXTENDED) { /* too large ones are answered as the last one */
        out[0] = CACHES;
        out[3] = CACHES_TOO;
    }
}

void kc_on_cpuid(kc *m)
{
    static const int ids[] = {UC_X86_REG_EAX, UC_X86_REG_EBX, UC_X86_REG_ECX, UC_X86_REG_EDX};
    uint32_t values[4];

    leaf_of(m, kc_eax(m), values);
    for (int i = 0; i < 4; i++)
        U.uc_reg_write(m->uc, ids[i], &values[i]);
}

/* -- time stamps, model specific registers --------------------------------------------------------- */

uint64_t kc_on_rdtsc(const kc *m) { return m->features->kept.time_stamp_at_0 + kc_clock_at(m, kc_count_here(m)); }

bool kc_on_rdmsr(kc *m, uint32_t number, uint64_t *value)
{
    if (number == MSR_TIME_STAMP)
        *value = kc_on_rdtsc(m);
    else if (number == MSR_APIC_BASE && m->features->has_local_apic)
        *value = m->features->kept.apic_base;
    else
        return false;
    return true;
}

/* The address is kept, but the registers do not move, and an APIC that was switched off stays so: both as in QEMU. */
static void write_apic_base(kc *m, uint32_t value)
{
    uint32_t *base = &m->features->kept.apic_base;
    bool goes_off = (*base & APIC_ENABLED) && !(value & APIC_ENABLED);

    *base = (value & APIC_ADDRESS) | (*base & (goes_off ? APIC_OF_BOOT_CPU : APIC_OF_BOOT_CPU | APIC_ENABLED));
    if (goes_off)
        python.apic_off(m->handle);
}

bool kc_on_wrmsr(kc *m, uint32_t number, uint64_t value)
{
    if (number == MSR_TIME_STAMP)
        m->features->kept.time_stamp_at_0 += value - kc_on_rdtsc(m);
    else if (number == MSR_APIC_BASE && m->features->has_local_apic)
        write_apic_base(m, (uint32_t)value);
    else
        return false;
    return true;
}

void kc_local_apic(kc *m, bool there)
{
    m->features->has_local_apic = there;
    m->features->kept.apic_base = APIC_AT | APIC_ENABLED | APIC_OF_BOOT_CPU;
}

/* -- life, snapshots ------------------------------------------------------------------------------- */

int kc_features_save(kc *m, void **out)
{
    struct kept *saved = malloc(sizeof *saved);

    if (!saved)
        return -1;
    *saved = m->features->kept;
    *out = saved;
    return 0;
}

int kc_features_restore(kc *m, const void *saved)
{
    m->features->kept = *(const struct kept *)saved;
    return 0;
}

int kc_features_init(kc *m) { return KC_NEW(m->features); }

void kc_features_free(kc *m) { free(m->features); }
