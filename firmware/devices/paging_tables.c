/*
 * Page tables, and pages, in unusual memory: where nothing is, in the memory of the screen, in registers of devices, in the tables
 * themselves.
 */

#include <stddef.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "devices/space.h"
#include "devices/traps.h"

enum { SCREEN = 0xB8000, NOWHERE = 0x30000000, END_OF_RAM = 0x01000000, PCI_HOLE = 0xE0000000, LOCAL_APIC = 0xFEE00000, IO_APIC = 0xFEC00000 };
enum { INT_80 = 0x80CD };

CODE(read, "movl 0x40000030, %eax");
CODE(write, "movl %eax, 0x40000030; movl 0x40000030, %ebx");
CODE(write_across, "movl %eax, 0x40000ffe; movl 0x40000ffe, %ebx");
CODE(add, "addl %eax, 0x40000030; movl 0x40000030, %ebx");
CODE(fill, "movl $0x40000ff0, %edi; movl $8, %ecx; rep stosl");
CODE(read_next, "movl 0x40001030, %eax");

static const struct {
    const char *name;
    uint32_t address;
} unusual[] = {
    {"the screen", SCREEN}, {"nowhere", NOWHERE}, {"the end of RAM", END_OF_RAM}, {"the hole of PCI", PCI_HOLE}, {"the I/O APIC", IO_APIC},
};

#define TRY(code, how, title, name) try_one(#code, code, how, title, name)

static void try_one(const char *code_name, void (*code)(void), enum how how, const char *title, const char *name)
{
    run(code, how);
    kprintf("%s %s, %s, ring %u: entries %x %x,", title, name, code_name, how & RING_3 ? 3 : 0, directory[WINDOW_ENTRY] & 0xFFF, window_table[0] & 0xFFF);
    report(code, true);
}

static void pages_there(void)
{
    *(volatile uint32_t *)(SCREEN + 0x30) = 0x07200720;
    for (size_t i = 0; i < sizeof unusual / sizeof unusual[0]; i++) {
        for (enum how how = RING_0; how <= RING_3; how++) {
            window_set(PWU, PWU, PWU);
            window_table[0] = unusual[i].address | PWU;
            cpu_set_page_directory(space_cr3);
            TRY(read, how, "a page in", unusual[i].name);
            if (unusual[i].address != IO_APIC) {
                TRY(write, how, "a page in", unusual[i].name);
                TRY(add, how, "a page in", unusual[i].name);
                TRY(write_across, how, "a page in", unusual[i].name);
                TRY(fill, how, "a page in", unusual[i].name);
            }
        }
    }
}

static void table_there(uint32_t address)
{
    directory[WINDOW_ENTRY] = address | PWU;
    cpu_set_page_directory(space_cr3);
}

static void tables_there(void)
{
    volatile uint32_t *screen = (volatile uint32_t *)SCREEN;

    for (size_t i = 0; i < sizeof unusual / sizeof unusual[0]; i++) {
        window_set(PWU, PWU, PWU);
        screen[0] = window_frame(0) | PWU | A | D; /* QEMU 7.2 hangs where it has to set them */
        screen[1] = 0;
        table_there(unusual[i].address);
        TRY(read, RING_0, "a table in", unusual[i].name);
        TRY(write, RING_3, "a table in", unusual[i].name);
        TRY(read_next, RING_3, "a table in", unusual[i].name);
        if (unusual[i].address == SCREEN) {
            kprintf("in its entry: %x\n", screen[0] & 0xFFF);
        }
    }
}

/* A page that is its own table: its entry, its contents, and what it is the entry of are one word. */
static void own_table(void)
{
    window_set(PWU, PWU, PWU);
    window_table[0] = (uint32_t)window_table | PWU;
    cpu_set_page_directory(space_cr3);
    TRY(read, RING_3, "its own table", "");
    TRY(write, RING_3, "its own table", "");
    directory[WINDOW_ENTRY] = (uint32_t)directory | PWU;
    cpu_set_page_directory(space_cr3);
    TRY(read, RING_0, "the directory as a table", "");
    TRY(read, RING_3, "the directory as a table", "");
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    space_init();
    pages_there();
    tables_there();
    own_table();
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
