/* Where the kernel sees physical memory. */

#ifndef COMMON_PHYSICAL_H
#define COMMON_PHYSICAL_H

#include <stdint.h>

/* kernel.ld: the virtual address of physical address 0. Only its address means anything. */
extern uint8_t __physical_base[];

/* The kernel's pointer to physical `address`. */
static inline void *at_physical(uint32_t address)
{
    return __physical_base + address;
}

/* The physical address that a kernel pointer leads to. */
static inline uint32_t physical_of(const void *pointer)
{
    return (uint32_t)pointer - (uint32_t)__physical_base;
}

#endif
