/*
 * The rules of page tables with two levels (SDM volume 3, 4.3, 4.6 to 4.8): who may do what in a page, the A and D bits that it leaves,
 * error codes, large pages, code at the end of a page, and tables that change while they are used.
 *
 * Shortcomings: translations that a CPU may remember but need not are not looked at. The P bit of the error code is not printed where a
 * reserved bit is the reason: it is set, but not in QEMU 7.2 (SDM volume 3, 4.7).
 */

#include <stddef.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "devices/space.h"
#include "devices/traps.h"

enum { LARGE_ENTRY = WINDOW_ENTRY + 1, LARGE_START = LARGE_ENTRY << 22, INT_80 = 0x80CD, RIGHTS = 5, BIT_21 = 1 << 21, ENDS = 0x80, RESERVED = 8 };

CODE(read, "movl 0x40000010, %eax");
CODE(write, "movl %eax, 0x40000010");
CODE(fetch, "movl $0x40000000, %eax; jmp *%eax");
CODE(read_large, "movl large_address, %eax; movl (%eax), %eax");
CODE(write_large, "movl large_address, %eax; movl %eax, (%eax)");
CODE(fetch_large, "jmp *large_address");
CODE(read_then_write, "movl 0x40000010, %eax; movl %eax, 0x40000010");
CODE(write_then_read_only, "movl %eax, 0x40000010; andl $~2, window_table; invlpg 0x40000010; movl 0x40000010, %ecx; movl %eax, 0x40000010");
CODE(clean_again, "movl %eax, 0x40000010; andl $~0x60, window_table; invlpg 0x40000010; movl 0x40000010, %eax");
CODE(dirty_again, "movl %eax, 0x40000010; andl $~0x60, window_table; invlpg 0x40000010; movl %eax, 0x40000010");
CODE(there_without_a_word, "orl $7, window_table; movl 0x40000010, %eax");
CODE(writable_without_a_word, "movl 0x40000010, %eax; orl $2, window_table; movl %eax, 0x40000010");
CODE(gone, "movl 0x40000010, %eax; andl $~1, window_table; invlpg 0x40000ffc; movl 0x40000010, %eax");
CODE(table_gone, "movl 0x40000010, %eax; andl $~1, directory + 0x400; invlpg 0x40000000; movl 0x40000010, %eax");
CODE(gone_by_reload, "movl 0x40001010, %eax; movl $0, window_table + 4; movl %cr3, %eax; movl %eax, %cr3; movl 0x40001010, %eax");
CODE(paging_off_and_on, "movl 0x40000010, %ecx; movl %cr0, %eax; andl $0x7fffffff, %eax; movl %eax, %cr0; movl idt, %ebx;"
                        "andl $~1, window_table; orl $0x80000000, %eax; movl %eax, %cr0; movl 0x40000010, %ebx");
CODE(paging_off, "movl %cr0, %eax; andl $0x7fffffff, %eax; movl %eax, %cr0; movl 0x00500000, %ebx; movl window_table, %ecx;"
                 "andl $1, %ecx; orl $0x80000000, %eax; movl %eax, %cr0");
CODE(write_protection_on, "movl %cr0, %eax; andl $~0x10000, %eax; movl %eax, %cr0; movl %eax, 0x40000010; orl $0x10000, %eax;"
                          "movl %eax, %cr0; movl %eax, 0x40000010");
CODE(last_page, "movl $5, 0x403ff010; movl 0x403ff010, %eax; movl 0x401ff010, %ebx");
CODE(directory_with_flags, "movl %cr3, %eax; orl $0x18, %eax; movl %eax, %cr3; movl 0x40000010, %ebx; movl %cr3, %ecx");
CODE(large_frames, "movl $1, 0x407ff010; movl $2, 0x405ff010; movl $3, 0x40bff010; movl $4, 0x409ff010;"
                   "movl 0x407ff010, %eax; movl 0x405ff010, %ebx; movl 0x40bff010, %ecx; movl 0x409ff010, %edx");
CODE(large_frame_changes, "movl 0x407ff010, %eax; movl 0x405ff010, %ebx; movl $0x00800087, directory + 0x404; invlpg 0x40400000;"
                          "movl 0x407ff010, %ecx; movl 0x405ff010, %edx");
CODE(through_itself, "movl 0x40100000, %ebx; subl directory, %ebx; movl 0x40000ffc, %ecx");
CODE(changes_through_itself, "movl directory, %eax; movl %eax, 0x40100ffc; movl 0xffd00000, %ebx; movl $0, 0x40100ffc; invlpg 0xffd00000;"
                             "movl 0xffd00000, %ecx");

/* These are copied into the window. */
CODE(unmaps_itself, "movl $0, window_table; invlpg 0x40000000; incl %ebx; incl %ebx");
CODE(unmaps_itself_by_reload, "movl %cr3, %eax; andl $~1, directory + 0x400; movl %eax, %cr3; incl %ebx; incl %ebx");
CODE(runs_on, "movl $0x12345678, %ebx; incl %ebx");

uint32_t large_address;

static const uint32_t rights[RIGHTS] = {0, P, P | W, P | U, PWU};
static const char *const rights_names[RIGHTS] = {"none", "P", "PW", "PU", "PWU"};

static void write_protect(bool on)
{
    __asm__ volatile("movl %%cr0, %%eax; andl %0, %%eax; orl %1, %%eax; movl %%eax, %%cr0"
                     : : "i"(~CR0_WP), "r"(on ? CR0_WP : 0) : "eax");
}

static void cr4_set(uint32_t bits, bool on)
{
    __asm__ volatile("movl %%cr4, %%eax; andl %0, %%eax; orl %1, %%eax; movl %%eax, %%cr4"
                     : : "r"(~bits), "r"(on ? bits : 0) : "eax", "memory");
}

static void outcome(const char *name, uint32_t entry)
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

static void access(const char *name, void (*code)(void), uint32_t in_directory, uint32_t in_table, enum how how)
{
    window_set(in_directory, in_table, PWU);
    poke_half(0, INT_80);
    run(code, how);
    outcome(name, window_table[0]);
    kprintf("%s", directory[WINDOW_ENTRY] & A ? "A" : "-");
}

static void access_small(uint32_t in_directory, uint32_t in_table, enum how how)
{
    access("read", read, in_directory, in_table, how);
    access("write", write, in_directory, in_table, how);
    access("fetch", fetch, in_directory, in_table, how);
    kprintf("\n");
}

static void small_pages(void)
{
    for (uint32_t upper = 0; upper < RIGHTS; upper++) {
        for (uint32_t lower = 0; lower < RIGHTS; lower++) {
            kprintf("directory %s, table %s, ring 3:", rights_names[upper], rights_names[lower]);
            access_small(rights[upper], rights[lower], RING_3);
            kprintf("directory %s, table %s, ring 0:", rights_names[upper], rights_names[lower]);
            access_small(rights[upper], rights[lower], RING_0);
            write_protect(false);
            kprintf("directory %s, table %s, ring 3 without WP:", rights_names[upper], rights_names[lower]);
            access_small(rights[upper], rights[lower], RING_3);
            kprintf("directory %s, table %s, ring 0 without WP:", rights_names[upper], rights_names[lower]);
            access_small(rights[upper], rights[lower], RING_0);
            write_protect(true);
        }
    }
}

static void access_large(uint32_t entry, enum how how)
{
    static void (*const codes[])(void) = {read_large, write_large, fetch_large};
    static const char *const names[] = {"read", "write", "fetch"};

    for (uint32_t i = 0; i < 3; i++) {
        window_set(PWU, PWU, PWU);
        poke_half(0, INT_80);
        directory[LARGE_ENTRY] = entry;
        cpu_set_page_directory((uint32_t)directory);
        large_address = LARGE_START + window_frame(0);
        run(codes[i], how);
        outcome(names[i], directory[LARGE_ENTRY]);
    }
    kprintf("\n");
}

static void large_pages(void)
{
    identity[(uint32_t)&large_address / PAGE_SIZE] |= U;
    cr4_set(CR4_PSE, true);
    for (uint32_t i = 0; i < RIGHTS; i++) {
        kprintf("large page %s, ring 3:", rights_names[i]);
        access_large(rights[i] | LARGE, RING_3);
        kprintf("large page %s, ring 0:", rights_names[i]);
        access_large(rights[i] | LARGE, RING_0);
        write_protect(false);
        kprintf("large page %s, ring 3 without WP:", rights_names[i]);
        access_large(rights[i] | LARGE, RING_3);
        kprintf("large page %s, ring 0 without WP:", rights_names[i]);
        access_large(rights[i] | LARGE, RING_0);
        write_protect(true);
        kprintf("large page %s with a reserved bit, ring 0:", rights_names[i]);
        access_large(rights[i] | LARGE | BIT_21, RING_0);
        kprintf("large page %s with a reserved bit, ring 3:", rights_names[i]);
        access_large(rights[i] | LARGE | BIT_21, RING_3);
    }
    kprintf("large global page:");
    access_large(PWU | LARGE | GLOBAL, RING_3);
    cr4_set(CR4_PSE, false);
    kprintf("no large pages, so a table:");
    access_large((uint32_t)identity | PWU | LARGE, RING_3);
}

#define TRY(code, first, second) try_one(#code, code, first, second)

static void try_one(const char *name, void (*code)(void), uint32_t first, uint32_t second)
{
    window_set(PWU, first, second);
    run(code, RING_0);
    kprintf("%s:", name);
    report(code, true);
}

static void changes(void)
{
    TRY(read_then_write, PWU, PWU);
    TRY(write_then_read_only, PWU, PWU);
    TRY(clean_again, PWU, PWU);
    TRY(dirty_again, PWU, PWU);
    TRY(there_without_a_word, 0, PWU);
    TRY(writable_without_a_word, P | U, PWU);
    TRY(gone, PWU, PWU);
    TRY(table_gone, PWU, PWU);
    TRY(gone_by_reload, PWU, PWU);
    TRY(paging_off_and_on, PWU, PWU);
    TRY(paging_off, PWU, PWU);
    TRY(write_protection_on, P | W, PWU);
    TRY(write_protection_on, P, PWU);
}

/* Pages of 4 MiB that begin at 12 and 8 MiB, and the last page of a table. */
static void far_apart(void)
{
    void (*const codes[])(void) = {large_frames, large_frame_changes, last_page, directory_with_flags};
    static const char *const names[] = {"large_frames", "large_frame_changes", "last_page", "directory_with_flags"};

    cr4_set(CR4_PSE, true);
    for (uint32_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        directory[LARGE_ENTRY] = 0x00C00000 | PWU | LARGE;
        directory[LARGE_ENTRY + 1] = 0x00800000 | PWU | LARGE;
        window_table[TABLE_ENTRIES - 1] = window_frame(0) | PWU;
        window_set(PWU, PWU, PWU);
        run(codes[i], RING_0);
        kprintf("%s:", names[i]);
        report(codes[i], true);
    }
    directory[LARGE_ENTRY] = directory[LARGE_ENTRY + 1] = window_table[TABLE_ENTRIES - 1] = 0;
    cr4_set(CR4_PSE, false);
}

/* The window's table is the directory: a page of the window is then a page table, or the directory. */
static void recursion(void)
{
    void (*const codes[])(void) = {through_itself, changes_through_itself};

    for (uint32_t i = 0; i < 2; i++) {
        window_set(PWU, PWU, PWU);
        directory[WINDOW_ENTRY] = (uint32_t)directory | P | W;
        cpu_set_page_directory((uint32_t)directory);
        run(codes[i], RING_0);
        kprintf("recursion %u: ebx %x, ecx %x, entry %x,", i, last_trap.ebx, last_trap.ecx, directory[WINDOW_ENTRY] & (PAGE_SIZE - 1));
        report(codes[i], false);
    }
}

/* Runs a copy of `code` that begins at an offset in the window. */
static void in_window(const char *name, void (*code)(void), uint32_t offset, uint32_t second, enum how how)
{
    window_set(PWU, PWU, second);
    for (uint32_t i = 0; i < 32; i += 2) {
        poke_half(offset + i, *(const uint16_t *)((uint32_t)code + i));
    }
    run((void (*)(void))(WINDOW + offset), how);
    kprintf("%s at %x, second page %x, ring %u%s: ebx %x pages %x %x,", name, offset, second, how & RING_3 ? 3 : 0,
            how & REPAIRED ? ", goes on" : "", last_trap.ebx, window_table[0] & (PAGE_SIZE - 1),
            window_table[1] & (PAGE_SIZE - 1));
    report((void (*)(void))(WINDOW + offset), false);
}

static void code(void)
{
    in_window("unmaps_itself", unmaps_itself, 0, PWU, RING_0);
    in_window("unmaps_itself_by_reload", unmaps_itself_by_reload, 0, PWU, RING_0);
    for (uint32_t offset = PAGE_SIZE - 7; offset <= PAGE_SIZE; offset++) {
        for (uint32_t i = 0; i < RIGHTS; i++) {
            in_window("runs_on", runs_on, offset, rights[i], RING_0);
            in_window("runs_on", runs_on, offset, rights[i], RING_3);
            in_window("runs_on", runs_on, offset, rights[i], RING_3 | REPAIRED);
        }
    }
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    space_init();
    small_pages();
    large_pages();
    changes();
    far_apart();
    recursion();
    code();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
