/*
 * Theory of operation
 *
 * All segments are flat; ring 3 has two of its own. The one TSS only says where ring 0's stack begins (SDM volume 3,
 * 8.7): each dispatch writes the current task's there. Its map of ports lies past its end, so ring 3 may use no port.
 * There is no local descriptor table: that of a CPU after its reset lies in the first 64 KiB of the address space
 * (SDM volume 3, table 9-1), where a program could write descriptors of ring 0 for itself.
 *
 * Shortcomings
 *
 * There is no second stack for a double fault.
 */

#include "btron/segments.h"

enum {
    KERNEL_DATA_SELECTOR = 0x10,
    TSS_SELECTOR = 0x28,
    TSS_ENTRY = TSS_SELECTOR / 8,
};

#define TSS_DESCRIPTOR 0x0000890000000000u /* present, ring 0, 32 bits, available (SDM volume 3, 8.2.2) */

/* SDM volume 3, 8.2.1. */
struct tss {
    UW link, esp0, ss0, others[22];
    uint16_t trap, map_offset;
};

_Static_assert(sizeof(struct tss) == 104, "TSS");

static struct tss tss = {.ss0 = KERNEL_DATA_SELECTOR, .map_offset = sizeof(struct tss)};

/* Accessed bits are set already, as in entry.S. */
static _Alignas(8) uint64_t segments[] = {
    0,
    0x00CF9B000000FFFF, /* 08: code of ring 0 */
    0x00CF93000000FFFF, /* 10: data of ring 0 */
    0x00CFFB000000FFFF, /* 18: code of ring 3 */
    0x00CFF3000000FFFF, /* 20: data of ring 3 */
    0,                  /* 28: TSS */
};

void segments_init(void)
{
    UW base = (UW)&tss;
    const struct __attribute__((packed)) {
        uint16_t limit;
        const void *base;
    } gdt_register = {sizeof segments - 1, segments};

    segments[TSS_ENTRY] = (uint64_t)(base >> 24) << 56 | TSS_DESCRIPTOR | (uint64_t)(base & 0xFFFFFF) << 16 |
                          (sizeof tss - 1);
    __asm__ volatile("lgdt %0; ltr %w1; lldt %w2" : : "m"(gdt_register), "r"(TSS_SELECTOR), "r"(0) : "memory");
}

void segments_set_kernel_stack(UW top)
{
    tss.esp0 = top;
}

UW segments_save(void)
{
    UW fs, gs;

    __asm__ volatile("movl %%fs, %0; movl %%gs, %1" : "=r"(fs), "=r"(gs));
    return fs << 16 | (gs & 0xFFFF);
}

void segments_restore(UW saved)
{
    __asm__ volatile("movw %w0, %%fs; movw %w1, %%gs" : : "r"(saved >> 16), "r"(saved));
}
