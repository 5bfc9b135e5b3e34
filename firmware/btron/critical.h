/* Sections that no interrupt, and so no other task, may enter. They nest. */

#ifndef BTRON_CRITICAL_H
#define BTRON_CRITICAL_H

#include "common/cpu.h"

/* Turns interrupts off. Returns EFLAGS as it was, for critical_leave(). */
ALWAYS_INLINE uint32_t critical_enter(void)
{
    uint32_t flags = cpu_flags();

    cpu_disable_interrupts();
    return flags;
}

ALWAYS_INLINE void critical_leave(uint32_t flags)
{
    cpu_set_flags(flags);
}

#endif
