/*
 * Random page tables, and random accesses through them: what each finds, and what the tables and all pages have become.
 *
 * Theory of operation
 *
 * The command line has a seed, and how many cases there are: "seed=7 cases=100". A case gives the window a directory entry and tables
 * with random rights, pages that are the same, the table itself, or not there, and then accesses it in random ways, in both rings.
 * Between accesses entries change. What a CPU may remember of them is forgotten by invlpg or a load of CR3 before the next access, so
 * that the results are the same on every CPU.
 *
 * Shortcomings
 *
 * Two levels only. No access leaves the window.
 */

#include <stddef.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "common/multiboot.h"
#include "devices/space.h"
#include "devices/traps.h"

enum { ACCESSES = 12, INT_80 = 0xCD, VECTOR = 0x80, AROUND = 20, FLAGS = PAGE_SIZE - 1, LOWEST_FRAME = 2, RESERVED = 8, BIT_21 = 1 << 21 };

CODE(read_8, "movl at, %ebx; movb (%ebx), %al");
CODE(read_16, "movl at, %ebx; movw (%ebx), %ax");
CODE(read_32, "movl at, %ebx; movl (%ebx), %eax");
CODE(write_8, "movl at, %ebx; movb %al, (%ebx)");
CODE(write_16, "movl at, %ebx; movw %ax, (%ebx)");
CODE(write_32, "movl at, %ebx; movl %eax, (%ebx)");
CODE(write_64, "movl at, %ebx; fninit; fld1; fstpl (%ebx)");
CODE(add_32, "movl at, %ebx; addl %eax, (%ebx)");
CODE(add_locked, "movl at, %ebx; lock addw %ax, (%ebx)");
CODE(exchange, "movl at, %ebx; xchgl %eax, (%ebx)");
CODE(compare_exchange, "movl at, %ebx; movl (%ebx), %eax; cmpxchgl %ecx, (%ebx)");
CODE(bit_set, "movl at, %ebx; btsl $9, (%ebx)");
CODE(fill, "movl at, %edi; movl $5, %ecx; rep stosl");
CODE(fill_backwards, "movl at, %edi; movl $9, %ecx; std; rep stosb");
CODE(copy, "movl at, %esi; movl %esi, %edi; addl $7, %edi; movl $4, %ecx; rep movsl");
CODE(compare, "movl at, %esi; movl %esi, %edi; movl $6, %ecx; repe cmpsw");
CODE(push, "movl at, %esp; pushl %eax; pushw %cx");
CODE(pop, "movl at, %esp; popl %eax; popw %cx");
CODE(call, "movl at, %esp; call read_8");
CODE(enter_frame, "movl at, %esp; enter $8, $2");
CODE(push_all, "movl at, %esp; pushal");
CODE(fetch, "jmp *at");

#define ROW(code) {#code, code}
static const struct {
    const char *name;
    void (*code)(void);
} accesses[] = {
    ROW(read_8), ROW(read_16), ROW(read_32), ROW(write_8), ROW(write_16), ROW(write_32), ROW(write_64), ROW(add_32), ROW(add_locked),
    ROW(exchange), ROW(compare_exchange), ROW(bit_set), ROW(fill), ROW(fill_backwards), ROW(copy), ROW(compare), ROW(push), ROW(pop),
    ROW(call), ROW(enter_frame), ROW(push_all), ROW(fetch),
};
enum { ACCESS_COUNT = sizeof accesses / sizeof accesses[0], FETCH = ACCESS_COUNT - 1 };

uint32_t at __attribute__((aligned(PAGE_SIZE))); /* what `code` accesses */
static uint8_t rest_of_its_page[PAGE_SIZE - sizeof at] __attribute__((used));

static uint32_t state;
static bool large, shows_table; /* the window is one page of 4 MiB; a page of it is its table */

/* Marsaglia, "Xorshift RNGs". */
static uint32_t random(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

static void bits_set(bool write_protect, bool large_pages)
{
    __asm__ volatile("movl %%cr0, %%eax; andl $0xfffeffff, %%eax; orl %0, %%eax; movl %%eax, %%cr0;"
                     "movl %%cr4, %%eax; andl $0xffffffef, %%eax; orl %1, %%eax; movl %%eax, %%cr4"
                     : : "r"(write_protect ? CR0_WP : 0), "r"(large_pages ? CR4_PSE : 0) : "eax", "memory");
}

/* Mostly all of them. */
static uint32_t some_rights(void)
{
    static const uint32_t rights[] = {PWU, PWU, PWU, PWU, P | W, P | U, P, W | U, 0};

    return rights[random(sizeof rights / sizeof rights[0])] | (random(3) == 0 ? A : 0) | (random(3) == 0 ? D : 0) |
           (random(6) == 0 ? GLOBAL : 0);
}

static uint32_t some_entry(void)
{
    return window_frame(random(WINDOW_PAGES)) | some_rights();
}

static uint32_t some_directory_entry(void)
{
    if (large) {
        return some_rights() | LARGE | (random(8) == 0 ? BIT_21 : 0);
    }
    return (uint32_t)window_table | some_rights();
}

static void forget(uint32_t address)
{
    if (random(2) == 0) {
        cpu_set_page_directory(space_cr3);
    } else {
        __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
    }
}

static void tables_make(void)
{
    bool large_pages = random(3) == 0;

    window_set(PWU, PWU, PWU);
    large = large_pages && random(2) == 0;
    shows_table = !large && random(5) == 0;
    bits_set(shows_table || random(3) != 0, large_pages);
    for (uint32_t page = 0; page < WINDOW_PAGES; page++) {
        window_table[page] = some_entry();
    }
    if (shows_table) {
        window_table[random(WINDOW_PAGES)] = (uint32_t)window_table | P | U;
    }
    directory[WINDOW_ENTRY] = some_directory_entry();
    cpu_set_page_directory(space_cr3);
}

/* Somewhere in the window, often near a page's end. In a large page, between the second and the last of the frames. */
static uint32_t some_address(void)
{
    uint32_t pages = large ? WINDOW_PAGES - 2 : WINDOW_PAGES;
    uint32_t start = WINDOW + (large ? window_frame(LOWEST_FRAME) + PAGE_SIZE : 0);
    uint32_t offset = random(pages) * PAGE_SIZE + (random(3) == 0 ? random(PAGE_SIZE) : PAGE_SIZE - random(2 * AROUND) + AROUND);

    return start + (offset < pages * PAGE_SIZE ? offset : offset - AROUND * 2);
}

/* Where a byte of the window lies, if an entry says so; rights do not matter. */
static uint8_t *byte_of(uint32_t address)
{
    uint32_t page = (address - WINDOW) / PAGE_SIZE;

    if (large) {
        return (uint8_t *)(address - WINDOW);
    }
    return page < WINDOW_PAGES && (window_table[page] & P) ? (uint8_t *)((window_table[page] & ~(uint32_t)FLAGS) + address % PAGE_SIZE) : NULL;
}

static void access(void)
{
    uint32_t which = random(shows_table ? ACCESS_COUNT - 1 : ACCESS_COUNT);
    enum how how = random(2) | (random(3) == 0 && !shows_table ? REPAIRED : 0);
    uint32_t cr2;

    at = some_address();
    if (which == FETCH) {
        uint8_t *first = byte_of(at), *second = byte_of(at + 1);
        if (first == NULL || second == NULL || first == second) {
            return;
        }
        *first = INT_80;
        *second = VECTOR;
    }
    run(accesses[which].code, how);
    __asm__ volatile("movl %%cr2, %0" : "=r"(cr2));
    uint32_t code = last_trap.error_code;
    kprintf(" %s%u%s@%x", accesses[which].name, how & RING_3 ? 3 : 0, how & REPAIRED ? "r" : "", at - WINDOW);
    kprintf("=%x/%x/%x/%x", last_trap.vector, code & RESERVED ? code & ~(uint32_t)P : code, cr2, last_trap.eax + last_trap.ecx);
}

static void change(void)
{
    uint32_t page = random(WINDOW_PAGES);
    bool is_table = (window_table[page] & ~(uint32_t)FLAGS) == (uint32_t)window_table;

    if (random(6) == 0) {
        directory[WINDOW_ENTRY] = some_directory_entry();
        cpu_set_page_directory(space_cr3);
    } else if (!is_table) {
        window_table[page] = some_entry();
        forget(WINDOW + page * PAGE_SIZE);
    }
}

static uint32_t sum_of_frames(void)
{
    uint32_t sum = 0;

    for (const uint32_t *word = (const uint32_t *)window_frame(LOWEST_FRAME), *end = word + WINDOW_PAGES * PAGE_SIZE / 4; word < end; word++) {
        sum = sum * 31 + *word;
    }
    return sum;
}

static void one_case(uint32_t number)
{
    tables_make();
    kprintf("%u:", number);
    for (uint32_t i = 0; i < ACCESSES; i++) {
        access();
        if (random(2) == 0) {
            change();
        }
    }
    kprintf(" entries %x", directory[WINDOW_ENTRY] & FLAGS);
    for (uint32_t page = 0; page < WINDOW_PAGES; page++) {
        kprintf(" %x", window_table[page] & FLAGS);
    }
    kprintf(" sum %x\n", sum_of_frames());
}

__attribute__((noreturn)) void kmain(uint32_t magic, const struct multiboot_info *info);

void kmain(uint32_t magic, const struct multiboot_info *info)
{
    static struct boot_info boot;

    boot_info_read(&boot, magic, info);
    state = boot_option_u32(&boot, "seed", 1);
    uint32_t count = boot_option_u32(&boot, "cases", 100);
    space_init();
    identity[(uint32_t)&at / PAGE_SIZE] |= U;
    for (uint32_t number = 0; number < count; number++) {
        one_case(number);
    }
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
