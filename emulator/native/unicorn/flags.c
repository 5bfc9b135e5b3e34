/* The instructions that load EFLAGS.
 *
 * After each of them the guest may take an interrupt that has waited: the next block looks. So no block has to look while
 * interrupts are off.
 *
 * iret leaves an interrupt's handler, too: its frame is none on the stack any more.
 *
 * Far jumps and calls may switch tasks, which writes EFLAGS to memory. The translator does not say in front of them how the flags of
 * arithmetic are to be had; what it keeps of each instruction does.
 */

#include "unicorn/counting.h"
#include "unicorn/interpose.h"
#include "unicorn/reports.h"

enum { FLAG_IF = 1 << 9 };

/* Parameters of the original, how they are passed on, and whether interrupts may be on afterwards that were off: kernels that lock
 * with interrupts off anyway load flags without IF all the time. */
#define LOADS_FLAGS(X) \
    X(sti, (void *state), (state), true) \
    X(write_eflags, (void *state, uint64_t flags, uint32_t mask), (state, flags, mask), flags & FLAG_IF) \
    X(rsm, (void *state), (state), true) \
    X(vmrun, (void *state, int size, int length), (state, size, length), true)
#define MAY_SWITCH_TASKS(X) \
    X(ljmp_protected, (void *state, int selector, uint64_t eip, uint64_t next), (state, selector, eip, next)) \
    X(lcall_protected, (void *state, int selector, uint64_t eip, int shift, uint64_t next), (state, selector, eip, shift, next))
#define LEAVES_HANDLER(X) \
    X(iret_real, (void *state, int shift), (state, shift)) \
    X(iret_protected, (void *state, int shift, int next), (state, shift, next))

static void loads_flags(kc *m)
{
    if (m && kc_irq_waits(m))
        kc_look_soon(m);
}

/* An original that faults does not return, and finds out by its own return address which instruction that was: so it is
 * called last, which makes it a sibling call, or the CPU's EIP is set to the instruction before. */
#define LOAD(name, parameters, arguments, may_let_in) \
    static void (*original_##name) parameters; \
    EXPORTED void helper_##name##_x86_64 parameters; \
    void helper_##name##_x86_64 parameters \
    { \
        if (may_let_in) \
            loads_flags(kc_running_on(state)); \
        original_##name arguments; \
    }
LOADS_FLAGS(LOAD)

#define FAR(name, parameters, arguments) \
    static void (*original_##name) parameters; \
    EXPORTED void helper_##name##_x86_64 parameters; \
    void helper_##name##_x86_64 parameters \
    { \
        kc *m = kc_running_on(state); \
        if (m) \
            kc_restore_eip(m, (uintptr_t)__builtin_return_address(0)); \
        loads_flags(m); \
        original_##name arguments; \
    }
MAY_SWITCH_TASKS(FAR)

#define LEAVE(name, parameters, arguments) \
    static void (*original_##name) parameters; \
    EXPORTED void helper_##name##_x86_64 parameters; \
    void helper_##name##_x86_64 parameters \
    { \
        kc *m = kc_running_on(state); \
        if (m && kc_sees_flags(m)) { \
            int frame = kc_frame_at(m, kc_esp(m)); \
            kc_restore_eip(m, (uintptr_t)__builtin_return_address(0)); \
            loads_flags(m); \
            original_##name arguments; \
            kc_frame_left(m, frame); \
            kc_on_nmi_end(m); \
            kc_on_resumption(m); \
            kc_on_handler_left(m); \
        } else \
            original_##name arguments; \
    }
LEAVES_HANDLER(LEAVE)

bool kc_flags_load(void *unicorn)
{
    bool all = true; /* what is there is needed in any case, to be passed on to */

#define FIND(name, ...) \
    all &= (original_##name = (__typeof__(original_##name))kc_find(unicorn, "helper_" #name "_x86_64")) != NULL;
    LOADS_FLAGS(FIND)
    MAY_SWITCH_TASKS(FIND)
    LEAVES_HANDLER(FIND)
#undef FIND
    return all;
}
