/* The instructions that C has no word for. */

#ifndef COMMON_CPU_H
#define COMMON_CPU_H

#include <stdint.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE void port_write_u8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

ALWAYS_INLINE void port_write_u32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

ALWAYS_INLINE uint8_t port_read_u8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* EFLAGS as it is now. */
ALWAYS_INLINE uint32_t cpu_flags(void)
{
    uint32_t flags;
    __asm__ volatile("pushfl\n\tpopl %0" : "=r"(flags) : : "memory");
    return flags;
}

ALWAYS_INLINE void cpu_set_flags(uint32_t flags)
{
    __asm__ volatile("pushl %0\n\tpopfl" : : "r"(flags) : "memory", "cc");
}

ALWAYS_INLINE void cpu_disable_interrupts(void)
{
    __asm__ volatile("cli" : : : "memory");
}

ALWAYS_INLINE void cpu_enable_interrupts(void)
{
    __asm__ volatile("sti" : : : "memory");
}

/* Turns interrupts on and waits for one. STI takes effect after the next instruction, so none is missed. */
ALWAYS_INLINE void cpu_wait_for_interrupt(void)
{
    __asm__ volatile("sti\n\thlt" : : : "memory");
}

/* Uses the page directory at `physical`, and forgets all translations. */
ALWAYS_INLINE void cpu_set_page_directory(uint32_t physical)
{
    __asm__ volatile("movl %0, %%cr3" : : "r"(physical) : "memory");
}

/* The physical address of the page directory in use. */
ALWAYS_INLINE uint32_t cpu_page_directory(void)
{
    uint32_t cr3;
    __asm__ volatile("movl %%cr3, %0" : "=r"(cr3));
    return cr3 & 0xFFFFF000u;
}

/* Forgets the translation of the page that `address` is in (SDM volume 2, INVLPG). */
ALWAYS_INLINE void cpu_forget_translation(uint32_t address)
{
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

/* Turns paging on, with read-only pages read-only in ring 0, too: CR0.PG and CR0.WP (SDM volume 3, 2.5). */
ALWAYS_INLINE void cpu_enable_paging(void)
{
    uint32_t cr0;
    __asm__ volatile("movl %%cr0, %0\n\torl $0x80010000, %0\n\tmovl %0, %%cr0" : "=r"(cr0) : : "memory", "cc");
}

/* CR2: the linear address of the last page fault. */
ALWAYS_INLINE uint32_t cpu_fault_address(void)
{
    uint32_t address;
    __asm__ volatile("movl %%cr2, %0" : "=r"(address));
    return address;
}

/* Waits for an interrupt; after cpu_disable_interrupts() that is for ever. */
ALWAYS_INLINE void cpu_halt(void)
{
    __asm__ volatile("hlt" : : : "memory");
}

/* Tells the CPU that this is a spin loop (SDM volume 2, PAUSE). */
ALWAYS_INLINE void cpu_relax(void)
{
    __asm__ volatile("pause" : : : "memory");
}

/* Stores `value` and returns what was there, as one locked bus cycle (SDM volume 2, XCHG). */
ALWAYS_INLINE uint32_t cpu_exchange(volatile uint32_t *word, uint32_t value)
{
    __asm__ volatile("xchgl %0, %1" : "+r"(value), "+m"(*word) : : "memory");
    return value;
}

/* Number of zero bits below the lowest set bit. `word` must not be 0. */
ALWAYS_INLINE uint32_t lowest_set_bit(uint32_t word)
{
    return (uint32_t)__builtin_ctz(word);
}

ALWAYS_INLINE uint16_t port_read_u16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

ALWAYS_INLINE uint32_t port_read_u32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

ALWAYS_INLINE void port_write_u16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

#endif
