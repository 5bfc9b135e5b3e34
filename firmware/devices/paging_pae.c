/*
 * The rules of page tables with three levels (SDM volume 3, 4.4): who may do what in a page, pages that forbid execution, the bits that
 * must be 0, pages of 2 MiB, and the error codes of all that.
 *
 * Shortcomings: as in paging.c. What entries of the first level must not have is not looked at but for the highest bits: a CPU reads
 * them when CR3 is loaded, QEMU when they are used. Nor is their A bit, which they do not have, but in QEMU 7.2.
 */

#include <stddef.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "devices/space.h"
#include "devices/traps.h"

enum { ENTRIES = 512, FIRST_LEVEL = 4, LARGE_SIZE = 0x200000, LARGE_START = WINDOW + LARGE_SIZE, INT_80 = 0x80CD, ENDS = 0x80, RESERVED = 8 };
enum { EFER = 0xC0000080, EFER_NXE = 0x800, RIGHTS = 7, BIT_13 = 1 << 13, BIT_20 = 1 << 20 };
#define NX (1ull << 63)
#define BIT_52 (1ull << 52)
#define BIT_62 (1ull << 62)

CODE(read, "movl 0x40000010, %eax");
CODE(write, "movl %eax, 0x40000010");
CODE(fetch, "movl $0x40000000, %eax; jmp *%eax");
CODE(read_large, "movl large_address, %eax; movl (%eax), %eax");
CODE(write_large, "movl large_address, %eax; movl %eax, (%eax)");
CODE(fetch_large, "jmp *large_address");

uint32_t large_address;

static uint64_t pointers[FIRST_LEVEL] __attribute__((aligned(PAGE_SIZE)));
static uint64_t directories[2][ENTRIES] __attribute__((aligned(PAGE_SIZE)));
static uint64_t table[ENTRIES] __attribute__((aligned(PAGE_SIZE)));

static const uint64_t rights[RIGHTS] = {0, P, P | W, P | U, PWU, PWU | NX, P | W | NX};
static const char *const rights_names[RIGHTS] = {"none", "P", "PW", "PU", "PWU", "PWU NX", "PW NX"};

static void write_protect(bool on)
{
    __asm__ volatile("movl %%cr0, %%eax; andl %0, %%eax; orl %1, %%eax; movl %%eax, %%cr0"
                     : : "i"(~CR0_WP), "r"(on ? CR0_WP : 0) : "eax");
}

static void no_execute(bool on)
{
    __asm__ volatile("rdmsr; andl %0, %%eax; orl %1, %%eax; wrmsr" : : "i"(~EFER_NXE), "r"(on ? EFER_NXE : 0), "c"(EFER) : "eax", "edx");
}

/* RAM below 4 MiB as it is, for all. */
static void three_levels(void)
{
    pointers[0] = (uint32_t)directories[0] | P;
    pointers[WINDOW >> 30] = (uint32_t)directories[1] | P;
    space_cr3 = (uint32_t)pointers;
    directories[0][0] = PWU | LARGE;
    directories[0][1] = LARGE_SIZE | PWU | LARGE;
    __asm__ volatile("movl %%cr0, %%eax; andl $0x7fffffff, %%eax; movl %%eax, %%cr0; movl %%cr4, %%ecx; orl %0, %%ecx; movl %%ecx, %%cr4;"
                     "movl %1, %%cr3; orl $0x80000000, %%eax; movl %%eax, %%cr0"
                     : : "i"(CR4_PAE), "r"(pointers) : "eax", "ecx", "memory");
}

static void outcome(const char *name, uint64_t entry)
{
    uint32_t cr2;

    __asm__ volatile("movl %%cr2, %0" : "=r"(cr2));
    if (last_trap.vector == ENDS) {
        kprintf(" %s ok", name);
    } else {
        uint32_t code = last_trap.error_code;
        kprintf(" %s %x:%x at %x", name, last_trap.vector, code & RESERVED ? code & ~(uint32_t)P : code, cr2 & (PAGE_SIZE - 1));
    }
    kprintf(" %s%s", entry & A ? "A" : "-", entry & D ? "D" : "-");
}

static void access(uint64_t first, uint64_t second, uint64_t third, enum how how)
{
    static void (*const codes[])(void) = {read, write, fetch};
    static const char *const names[] = {"read", "write", "fetch"};

    for (uint32_t i = 0; i < 3; i++) {
        window_set(PWU, PWU, PWU);
        poke_half(0, INT_80);
        pointers[WINDOW >> 30] = (uint32_t)directories[1] | first;
        directories[1][0] = (uint32_t)table | second;
        table[0] = window_frame(0) | third;
        cpu_set_page_directory(space_cr3);
        run(codes[i], how);
        outcome(names[i], table[0]);
        kprintf("%s", directories[1][0] & A ? "A" : "-");
    }
    kprintf("\n");
}

/* In ring 3, in ring 0, and there without WP. */
static void in_all_rings(const char *title, uint32_t upper, uint32_t lower, uint64_t reserved_upper, uint64_t reserved_lower)
{
    for (uint32_t i = 0; i < 3; i++) {
        write_protect(i < 2);
        kprintf("%s, directory %s, table %s, ring %s:", title, rights_names[upper], rights_names[lower],
                i == 0 ? "3" : i == 1 ? "0" : "0 without WP");
        access(P, rights[upper] | reserved_upper, rights[lower] | reserved_lower, i == 0 ? RING_3 : RING_0);
    }
    write_protect(true);
}

static void small_pages(const char *title)
{
    for (uint32_t upper = 0; upper < RIGHTS; upper++) {
        for (uint32_t lower = 0; lower < RIGHTS; lower++) {
            in_all_rings(title, upper, lower, 0, 0);
        }
    }
}

static void reserved_bits(void)
{
    const uint64_t bits[] = {BIT_52, BIT_62};

    for (uint32_t i = 0; i < 2; i++) {
        in_all_rings("reserved in the directory", 4, 4, bits[i], 0);
        in_all_rings("reserved in the directory", 0, 4, bits[i], 0);
        in_all_rings("reserved in the table", 4, 4, 0, bits[i]);
        in_all_rings("reserved in the table", 4, 0, 0, bits[i]);
        in_all_rings("reserved in the table", 1, 5, 0, bits[i]);
        in_all_rings("reserved in both", 4, 3, bits[i], bits[i]);
        kprintf("reserved in the first level:");
        access(P | bits[i], PWU, PWU, RING_0);
    }
    kprintf("first level not present:");
    access(0, PWU, PWU, RING_3);
    kprintf("first level not present, with a bit that is reserved:");
    access(BIT_62, PWU, PWU, RING_0);
}

static void access_large(const char *title, uint64_t entry, enum how how)
{
    static void (*const codes[])(void) = {read_large, write_large, fetch_large};
    static const char *const names[] = {"read", "write", "fetch"};

    kprintf("%s, ring %u:", title, how);
    for (uint32_t i = 0; i < 3; i++) {
        window_set(PWU, PWU, PWU);
        poke_half(0, INT_80);
        pointers[WINDOW >> 30] = (uint32_t)directories[1] | P;
        directories[1][1] = entry | LARGE;
        cpu_set_page_directory(space_cr3);
        large_address = LARGE_START + window_frame(0);
        run(codes[i], how == RING_3 ? RING_3 : RING_0);
        outcome(names[i], directories[1][1]);
    }
    kprintf("\n");
}

static void large_pages(void)
{
    for (uint32_t i = 0; i < RIGHTS; i++) {
        for (enum how how = RING_0; how <= RING_3; how++) {
            kprintf("large page %s", rights_names[i]);
            access_large("", rights[i], how);
            kprintf("large page %s", rights_names[i]);
            access_large(" with bit 13", rights[i] | BIT_13, how);
            kprintf("large page %s", rights_names[i]);
            access_large(" with bit 20", rights[i] | BIT_20, how);
            kprintf("large page %s", rights_names[i]);
            access_large(" with bit 62", rights[i] | BIT_62, how);
        }
    }
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    space_init();
    no_execute(true);
    three_levels();
    small_pages("NX");
    reserved_bits();
    large_pages();
    no_execute(false);
    small_pages("no NX");
    large_pages();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
