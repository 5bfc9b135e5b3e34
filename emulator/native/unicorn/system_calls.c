/* System calls, and registers of the CPU that the engine does not have.
 *
 * Unicorn leaves syscall, sysret and sysenter to hooks, and without any goes on after them. The CPU is one of Intel's, says its
 * cpuid: there syscall and sysret are for 64-bit mode only, elsewhere #UD (SDM vol. 2B). sysexit is right.
 *
 * Unicorn has hooks for rdtsc and cpuid, but does not call them between a request to stop and the end of the block: then host time
 * would reach the guest.
 */

#include "unicorn/interpose.h"
#include "unicorn/reports.h"

enum { INVALID_OPCODE = 6, GENERAL_PROTECTION = 13 };
enum { CR4_TSD = 1 << 2 };
enum { SYSENTER_CS = 0x174, SYSENTER_ESP, SYSENTER_EIP };

static void (*original_syscall)(void *state, int length);
static void (*original_sysret)(void *state, int size);
static void (*original_sysenter)(void *state, int length);
static void (*original_rdtsc)(void *state);
static void (*original_cpuid)(void *state);
static void (*original_rdmsr)(void *state);
static void (*original_wrmsr)(void *state);
static void (*original_invlpg)(void *state, uint64_t address);

/* Where in translated code the helper was called from: that says which instruction it is. */
#define HERE ((uintptr_t)__builtin_return_address(0))

EXPORTED void helper_syscall_x86_64(void *state, int length);
void helper_syscall_x86_64(void *state, int length)
{
    if (kc_running_on(state))
        raise_exception_err_ra_x86_64(state, INVALID_OPCODE, 0, HERE);
    else
        original_syscall(state, length);
}

EXPORTED void helper_sysret_x86_64(void *state, int size);
void helper_sysret_x86_64(void *state, int size)
{
    if (kc_running_on(state))
        raise_exception_err_ra_x86_64(state, INVALID_OPCODE, 0, HERE);
    else
        original_sysret(state, size);
}

static uint32_t register_of(kc *m, uint32_t number)
{
    uc_x86_msr msr = {.rid = number};

    U.uc_reg_read(m->uc, UC_X86_REG_MSR, &msr);
    return (uint32_t)msr.value;
}

EXPORTED void helper_sysenter_x86_64(void *state, int length);
void helper_sysenter_x86_64(void *state, int length)
{
    kc *m = kc_running_on(state);

    if (!m) {
        original_sysenter(state, length);
        return;
    }
    uint32_t cs = register_of(m, SYSENTER_CS);
    if (!(cs & 0xfffc))
        raise_exception_err_ra_x86_64(state, GENERAL_PROTECTION, 0, HERE);
    kc_restore_eip(m, HERE);
    kc_enter_ring_0(m, cs, register_of(m, SYSENTER_EIP), register_of(m, SYSENTER_ESP));
}

static void load_edx_eax(kc *m, uint64_t value)
{
    uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32);

    U.uc_reg_write(m->uc, UC_X86_REG_EAX, &low);
    U.uc_reg_write(m->uc, UC_X86_REG_EDX, &high);
}

EXPORTED void helper_rdtsc_x86_64(void *state);
void helper_rdtsc_x86_64(void *state)
{
    kc *m = kc_running_on(state);

    if (!m || (kc_ring(m) && (kc_reg(m, UC_X86_REG_CR4) & CR4_TSD))) {
        original_rdtsc(state);
        return;
    }
    kc_restore_eip(m, HERE); /* it counts up to here */
    load_edx_eax(m, kc_on_rdtsc(m));
}

EXPORTED void helper_cpuid_x86_64(void *state);
void helper_cpuid_x86_64(void *state)
{
    kc *m = kc_running_on(state);

    if (m)
        kc_on_cpuid(m);
    else
        original_cpuid(state);
}

EXPORTED void helper_rdmsr_x86_64(void *state);
void helper_rdmsr_x86_64(void *state)
{
    kc *m = kc_running_on(state);
    uint64_t value;

    if (m)
        kc_restore_eip(m, HERE); /* a time stamp counts up to here */
    if (!m || !kc_on_rdmsr(m, kc_reg(m, UC_X86_REG_ECX), &value)) {
        original_rdmsr(state);
        return;
    }
    load_edx_eax(m, value);
}

void helper_wrmsr_x86_64(void *state)
{
    kc *m = kc_running_on(state);

    if (m)
        kc_restore_eip(m, HERE);
    if (!m || !kc_on_wrmsr(m, kc_reg(m, UC_X86_REG_ECX), kc_eax(m) | (uint64_t)kc_reg(m, UC_X86_REG_EDX) << 32))
        original_wrmsr(state);
}

EXPORTED void helper_invlpg_x86_64(void *state, uint64_t address);
void helper_invlpg_x86_64(void *state, uint64_t address)
{
    kc *m = kc_running_on(state);

    original_invlpg(state, address);
    if (m && kc_is_large(m, (uint32_t)address))
        kc_flush_tlb(m);
}

void kc_system_calls_load(void *unicorn)
{
#define FIND(name) original_##name = (__typeof__(original_##name))kc_find(unicorn, "helper_" #name "_x86_64")
    FIND(syscall);
    FIND(sysret);
    FIND(sysenter);
    FIND(rdtsc);
    FIND(cpuid);
    FIND(rdmsr);
    FIND(wrmsr);
    FIND(invlpg);
#undef FIND
}
