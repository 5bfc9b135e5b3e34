/* The instructions that load EFLAGS. iret leaves an interrupt's handler: its frame is none on the stack any more. */
#define _GNU_SOURCE
#include <dlfcn.h>

#include "machine.h"

static void (*original_iret_real)(void *state, int shift);
static void (*original_iret_protected)(void *state, int shift, int next_eip);

EXPORTED void helper_iret_real_x86_64(void *state, int shift);
void helper_iret_real_x86_64(void *state, int shift)
{
    kc *m = kc_running_on(state);
    uint32_t esp = m ? kc_esp(m) : 0;

    original_iret_real(state, shift); /* does not return if it faults */
    if (m)
        kc_interrupt_left(m, esp);
}

EXPORTED void helper_iret_protected_x86_64(void *state, int shift, int next_eip);
void helper_iret_protected_x86_64(void *state, int shift, int next_eip)
{
    kc *m = kc_running_on(state);
    uint32_t esp = m ? kc_esp(m) : 0;

    original_iret_protected(state, shift, next_eip);
    if (m)
        kc_interrupt_left(m, esp);
}

bool kc_flags_load(void *unicorn)
{
#define FIND(name) ((original_##name = (__typeof__(original_##name))dlsym(unicorn, "helper_" #name "_x86_64")) != NULL)
    return FIND(iret_real) & FIND(iret_protected);
#undef FIND
}
