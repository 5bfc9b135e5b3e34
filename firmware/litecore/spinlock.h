/*
 * Theory of operation
 *
 * A lock is one word, 0 = free and 1 = held, taken with xchg, which locks the bus by itself. A CPU that holds a
 * lock has interrupts off: an interrupt handler on the same CPU that wanted the lock would wait for ever.
 * Waiting happens with interrupts off, too; sections under a lock are short.
 *
 * Shortcomings
 *
 * Not fair and not recursive: whoever takes a lock twice stops here.
 */

#ifndef LITECORE_SPINLOCK_H
#define LITECORE_SPINLOCK_H

#include <stdint.h>

#include "common/cpu.h"

typedef struct {
    volatile uint32_t locked;
} spinlock_t;

_Static_assert(sizeof(spinlock_t) == 4, "spinlock_t");

/* Turns interrupts off and takes `lock`. Returns EFLAGS as it was, for spin_unlock_irqrestore(). */
ALWAYS_INLINE uint32_t spin_lock_irqsave(spinlock_t *lock)
{
    uint32_t flags = cpu_flags();

    cpu_disable_interrupts();
    while (cpu_exchange(&lock->locked, 1) != 0) {
        cpu_relax();
    }
    return flags;
}

/* Gives `lock` back and sets EFLAGS to `flags`. */
ALWAYS_INLINE void spin_unlock_irqrestore(spinlock_t *lock, uint32_t flags)
{
    __atomic_store_n(&lock->locked, 0, __ATOMIC_RELEASE); /* a plain store: x86 keeps stores in order */
    cpu_set_flags(flags);
}

#endif
