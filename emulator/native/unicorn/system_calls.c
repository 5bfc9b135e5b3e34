/* syscall, sysret, sysenter: Unicorn leaves them to hooks, and without any goes on after them.
 *
 * The CPU is one of Intel's, says its cpuid: there syscall and sysret are for 64-bit mode only, elsewhere #UD (SDM vol. 2B).
 * sysenter without a code segment in its MSR is #GP(0). With one it would enter the guest's kernel from ring 3, which is as far
 * from here as interrupts from there are.
 */

#include "unicorn/interpose.h"
#include "unicorn/reports.h"

enum { INVALID_OPCODE = 6, GENERAL_PROTECTION = 13, SYSENTER_CS = 0x174 };

static void (*original_syscall)(void *state, int length);
static void (*original_sysret)(void *state, int size);
static void (*original_sysenter)(void *state, int length);

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

EXPORTED void helper_sysenter_x86_64(void *state, int length);
void helper_sysenter_x86_64(void *state, int length)
{
    kc *m = kc_running_on(state);
    uc_x86_msr segment = {.rid = SYSENTER_CS};

    if (!m) {
        original_sysenter(state, length);
        return;
    }
    U.uc_reg_read(m->uc, UC_X86_REG_MSR, &segment);
    if (segment.value & 0xfffc)
        kc_on_failure(m, KC_SYSENTER);
    raise_exception_err_ra_x86_64(state, GENERAL_PROTECTION, 0, HERE); /* after another reason to stop it only leaves */
}

void kc_system_calls_load(void *unicorn)
{
#define FIND(name) original_##name = (__typeof__(original_##name))kc_find(unicorn, "helper_" #name "_x86_64")
    FIND(syscall);
    FIND(sysret);
    FIND(sysenter);
#undef FIND
}
