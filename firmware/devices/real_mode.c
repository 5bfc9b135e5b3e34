/*
 * Interrupts and exceptions in real mode (SDM volume 3, 20.1.4): through the interrupt vector table, with frames of three
 * words, and what lies beyond its limit; interrupts of devices as a BIOS has them; segments that keep a limit of 4 GiB.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/console.h"
#include "common/cpu.h"
#include "common/debug_exit.h"
#include "common/physical.h"
#include "common/string.h"
#include "devices/real_mode.h"

/* Code of 16 bits, which is called at 0x7C00. */
#define CODE(name, ...) \
    extern const uint8_t name[], name##_end[]; \
    __asm__(".text\n.code16\n" #name ": " __VA_ARGS__ "\n" #name "_end:\n.code32\n")
#define SIZE_OF(name) ((uint32_t)(name##_end - name))
#define RUN(name) run(#name, name, SIZE_OF(name))

enum { TABLE_SIZE = 1024, ENTRIES = 0x7900, ENTRY_SIZE = 5, VECTORS = 32, COMMON = 0x79C0 };
enum { USER_TICK = 0x1C, TIMER = 0x08 };

/* Where an exception's handler returns to; 0: where it came from. And how many notes there are, up to 8. */
static volatile uint16_t *const resume = (volatile uint16_t *)0x7BFE, *const noted = (volatile uint16_t *)0x7BFC;

/* What a handler has found on its stack, and where; the vector is that of its entry. */
static const struct note {
    uint16_t vector, sp, ip, cs, flags;
} *const notes = (const struct note *)0x7A80;

/* What all handlers do: make a note, and go on. Below the frame lie the vector, and what is pushed here. */
CODE(common, "pushaw; pushw %ds; xorw %ax, %ax; movw %ax, %ds; movw %sp, %bp;"
             "imulw $10, 0x7bfc, %bx; cmpw $80, %bx; jae 1f; incw 0x7bfc;"
             "movw 18(%bp), %ax; movw %ax, 0x7a80(%bx); leaw 20(%bp), %ax; movw %ax, 0x7a82(%bx);"
             "movw 20(%bp), %ax; movw %ax, 0x7a84(%bx); movw 22(%bp), %ax; movw %ax, 0x7a86(%bx);"
             "movw 24(%bp), %ax; movw %ax, 0x7a88(%bx);"
             "1: movw 0x7bfe, %ax; testw %ax, %ax; jz 2f; movw %ax, 20(%bp);"
             "2: movb $0x20, %al; cmpw $8, 18(%bp); jne 3f; outb %al, $0x20;"
             "3: popw %ds; popaw; addw $2, %sp; iretw");

/* Each code says itself where an exception of its own resumes: `0x7c00 + 9f - name`. */
#define RESUMES(name) "movw $0x7c00 + 9f - " #name ", %cs:0x7bfe;"
CODE(software, "stc; int $0x18; lret");
CODE(software_on, "sti; int $0x18; pushfw; popw %ax; lret");
CODE(breakpoint, "int3; lret");
CODE(overflow, "movb $0x7f, %al; incb %al; into; lret");
CODE(no_overflow, "xorb %al, %al; into; lret");
CODE(divide, RESUMES(divide) "xorw %cx, %cx; divw %cx; 9: lret");
CODE(undefined, RESUMES(undefined) "ud2; 9: lret");
CODE(bound, RESUMES(bound) "xorl %eax, %eax; decw %ax; boundw %ax, %cs:0x7bf0; 9: lret");
CODE(segment_end, RESUMES(segment_end) "movl %ds:0xfffe, %eax; 9: lret");
CODE(beyond_segment, RESUMES(beyond_segment) "movl $0x10000, %ebx; movb (%ebx), %al; 9: lret");
CODE(beyond_stack, RESUMES(beyond_stack) "movl $0x10000, %ebp; movb (%ebp), %al; 9: lret");
CODE(local_table, RESUMES(local_table) "sldt %ax; 9: lret");
CODE(no_fpu, RESUMES(no_fpu) "movl %cr0, %eax; orb $4, %al; movl %eax, %cr0; fnop; 9: andb $0xfb, %al; movl %eax, %cr0; lret");
CODE(stepped, "pushfw; popw %ax; orw $0x100, %ax; pushw %ax; popfw; nop; nop; andw $0xfeff, %ax; pushw %ax; popfw; lret");
CODE(halted, "sti; hlt; lret");
CODE(user_tick, "sti; 1: cmpw $0, %cs:0x7bfc; je 1b; cli; lret");
CODE(small_table, RESUMES(small_table) "lidtw %cs:0x7c00 + 8f - small_table; int $0x18;"
                  "9: lidtw %cs:0x7c00 + 7f - small_table; lret;"
                  "8: .word 0x5f; .long 0; 7: .word 0x3ff; .long 0");
CODE(moved_table, "lidtw %cs:0x7c00 + 8f - moved_table; int $5;"
                  "9: lidtw %cs:0x7c00 + 7f - moved_table; lret;"
                  "8: .word 0x3ff; .long 0x70010; 7: .word 0x3ff; .long 0");
CODE(large_return, "pushfl; pushl %cs; pushl $0x7c00 + 9f - large_return; orl $0x40000, 8(%esp); iretl;"
                   "9: pushfl; popl %eax; lret");
CODE(table_stored, "sidtl %cs:0x7b80; movl %cs:0x7b80, %eax; movl %cs:0x7b82, %ebx; lret");
/* Segments of 4 GiB are loaded in protected mode, and stay so in real mode until they are loaded again. */
CODE(unreal, "cli; lgdtl %cs:0x7c00 + 8f - unreal; movl %cr0, %eax; orb $1, %al; movl %eax, %cr0;"
             "movw $8, %bx; movw %bx, %ds; andb $0xfe, %al; movl %eax, %cr0;"
             "movl $0x100000, %ebx; movl (%ebx), %ecx; xorw %ax, %ax; pushw %ds; popw %dx; movw %ax, %ds; movl (%ebx), %eax; lret;"
             ".balign 4; 8: .word 15; .long 0x7c00 + 7f - unreal; .balign 8; 7: .quad 0, 0x00cf92000000ffff");

static uint8_t table[TABLE_SIZE];
static struct real_registers r;

static volatile uint16_t *vector_at(uint32_t vector, uint32_t base) { return (volatile uint16_t *)(base + 4 * vector); }

/* Lets a vector lead to the handler. */
static void handle(uint32_t vector, uint32_t base)
{
    vector_at(vector, base)[0] = (uint16_t)(ENTRIES + ENTRY_SIZE * vector);
    vector_at(vector, base)[1] = 0;
}

static void handlers_init(void)
{
    for (uint32_t vector = 0; vector < VECTORS; vector++) {
        volatile uint8_t *entry = (volatile uint8_t *)(ENTRIES + ENTRY_SIZE * vector);
        uint32_t distance = COMMON - (ENTRIES + ENTRY_SIZE * (vector + 1));
        entry[0] = 0x6A; /* push */
        entry[1] = (uint8_t)vector;
        entry[2] = 0xE9; /* jmp */
        entry[3] = (uint8_t)distance;
        entry[4] = (uint8_t)(distance >> 8);
    }
    memcpy((void *)COMMON, common, SIZE_OF(common));
}

static void show(const char *name)
{
    kprintf("%s: eax %08x, sp %04x\n", name, r.eax, r.esp & 0xFFFF);
    for (uint32_t i = 0; i < *noted; i++) {
        kprintf("    vector %02x, sp %04x: %04x:%04x %04x\n", notes[i].vector, notes[i].sp, notes[i].cs, notes[i].ip,
                notes[i].flags);
    }
}

static void call(const void *code, uint32_t size)
{
    *resume = *noted = 0;
    memset(&r, 0, sizeof r);
    real_mode_call(code, size, &r);
}

static void run(const char *name, const void *code, uint32_t size)
{
    call(code, size);
    show(name);
}

static void exceptions(void)
{
    *(volatile uint32_t *)0x7BF0 = 0x00050001; /* the bounds */
    RUN(software);
    RUN(software_on);
    RUN(breakpoint);
    RUN(overflow);
    RUN(no_overflow);
    RUN(divide);
    RUN(undefined);
    RUN(bound);
    RUN(segment_end);
    RUN(beyond_segment);
    RUN(beyond_stack);
    RUN(local_table);
    RUN(no_fpu);
    RUN(stepped);
    RUN(large_return);
}

static void tables(void)
{
    RUN(table_stored);
    kprintf("base %08x\n", r.ebx);
    RUN(small_table);
    memcpy((void *)(REAL_MODE_BUFFER + 16), at_physical(0), TABLE_SIZE);
    handle(5, REAL_MODE_BUFFER + 16);
    vector_at(5, 0)[0] = 0xFF53;
    vector_at(5, 0)[1] = 0xF000;
    RUN(moved_table);
    handle(5, 0);
}

/* Lets a code be interrupted by the timer, with the vector that leads to the handler. */
static void ticks(void)
{
    volatile uint16_t *timer = vector_at(TIMER, 0), *tick = vector_at(USER_TICK, 0);
    uint16_t of_timer[2] = {timer[0], timer[1]}, of_tick[2] = {tick[0], tick[1]};

    handle(TIMER, 0);
    RUN(halted);
    timer[0] = of_timer[0];
    timer[1] = of_timer[1];
    handle(USER_TICK, 0);
    volatile uint32_t *ticks_counted = at_physical(0x46C); /* by the BIOS */
    uint32_t before = *ticks_counted;
    call(user_tick, SIZE_OF(user_tick));
    kprintf("a tick of the BIOS: vector %02x from %04x, %u more\n", notes[0].vector, notes[0].cs,
            *ticks_counted - before);
    tick[0] = of_tick[0];
    tick[1] = of_tick[1];
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    console_init();
    memcpy(table, at_physical(0), sizeof table);
    handlers_init();
    kprintf("vectors 08, 09, 70, 77: %04x %04x %04x %04x\n", vector_at(8, 0)[0], vector_at(9, 0)[0], vector_at(0x70, 0)[0],
            vector_at(0x77, 0)[0]);
    ticks();
    for (uint32_t vector = 0; vector < VECTORS; vector++) {
        handle(vector, 0);
    }
    exceptions();
    tables();
    memcpy(at_physical(0), table, sizeof table);
    RUN(unreal);
    kprintf("unreal: ds %04x, %08x\n", r.edx & 0xFFFF, r.ecx);
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
