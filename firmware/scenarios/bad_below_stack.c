/*
 * Theory of operation
 *
 * Interrupts are on, and EFLAGS are looked at by what PUSHF has left below ESP. An interrupt that came right before
 * that load would have pushed its frame there.
 *
 * Shortcomings
 *
 * All lines of the interrupt controllers are masked, so none comes, and the value is right.
 */

#include "common/cpu.h"
#include "scenarios/litecore.h"

enum { PIC_MASK = 0x21, SECOND_PIC_MASK = 0xA1, ALL_LINES = 0xFF, FLAG_IF = 1 << 9 };

static __attribute__((noinline)) uint32_t flags_now(void)
{
    uint32_t flags;
    if (CORRECT) {
        return cpu_flags();
    }
    __asm__ volatile("pushfl\n\taddl $4, %%esp" : : : "memory", "cc");
    __asm__ volatile("movl -4(%%esp), %0" : "=r"(flags) : : "memory"); /* --sanitize: below-stack-access */
    return flags;
}

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    litecore_boot(magic, info);
    console_write("LiteCore bad_below_stack: what an interrupt may overwrite\n");

    section("Interrupts on");
    kfree(kmalloc(16));
    port_write_u8(PIC_MASK, ALL_LINES);
    port_write_u8(SECOND_PIC_MASK, ALL_LINES);
    cpu_enable_interrupts();
    uint32_t flags = flags_now();
    cpu_disable_interrupts();
    check((flags & FLAG_IF) != 0, "EFLAGS say that they are on");
    finish();
}
