/* The address space of the self-tests of paging: memory as it is, and a window of pages that each try has as it likes. */

#ifndef DEVICES_SPACE_H
#define DEVICES_SPACE_H

#include <stdbool.h>
#include <stdint.h>

/* A function that ends in every ring: what it returns with is what the handler of vector 0x80 finds. */
#define CODE(name, ...) \
    void name(void);    \
    __asm__(".text\n" #name ":\n" __VA_ARGS__ "\n\tint $0x80\n")

enum { PAGE_SIZE = 4096, TABLE_ENTRIES = 1024 };
enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, LARGE = 0x80, GLOBAL = 0x100, PWU = P | W | U }; /* SDM volume 3, 4.3 */
enum { WINDOW = 0x40000000, WINDOW_ENTRY = WINDOW >> 22, WINDOW_PAGES = 4 };
enum { KERNEL_CODE = 0x08, KERNEL_DATA = 0x10, USER_CODE = 0x1B, USER_DATA = 0x23, TASK = 0x28, FAULT_TASK = 0x30, GDT_ENTRIES = 14 };
enum { CR0_WP = 1 << 16, CR4_PSE = 0x10, CR4_PAE = 0x20, CR4_PGE = 0x80 };

/* SDM volume 3, 8.2.1. */
struct tss {
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, map_offset;
};

extern uint32_t directory[TABLE_ENTRIES], identity[TABLE_ENTRIES], window_table[TABLE_ENTRIES];
extern uint32_t space_cr3;      /* what window_set() loads */
extern uint64_t gdt[GDT_ENTRIES];
extern struct tss task;         /* rings change with its stack; a double fault switches to a task of its own */
extern uint8_t kernel_stack[PAGE_SIZE];

/* Prepares console, traps, segments, tasks, and paging: RAM below 4 MiB as it is, the code readable in ring 3, all else the kernel's. */
void space_init(void);

/* Loads the GDT, with its copy at `base`. */
void gdt_load(const uint64_t *base);

/* Physical address of a page of the window. Neighbours in the window are not neighbours in memory. */
uint32_t window_frame(uint32_t page);

/* Gives the window's directory entry and first two pages these rights, without A and D, the others all rights; fresh contents. */
void window_set(uint32_t directory_rights, uint32_t first, uint32_t second);

/* Writes a word, or half of one, to an offset in the window, whatever its pages' rights are. */
void poke(uint32_t offset, uint32_t value);
void poke_half(uint32_t offset, uint32_t value);

enum how {
    RING_0 = 0,
    RING_3 = 1,
    REPAIRED = 2, /* page faults in the window give the page all rights, and go on */
    PORTS_BY_TASK = 4, /* IOPL is 0: which ports ring 3 may use is in the task's map */
};

/* Runs `code` up to its end or its first exception, which last_trap has then; page faults that were repaired are noted. */
void run(void (*code)(void), enum how how);

/* Prints what last_trap says of `code`: vector, error code, where, CR2; with `all` registers and what became of the window. */
void report(void (*code)(void), bool all);

#endif
