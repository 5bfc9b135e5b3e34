/*
 * Page faults in the middle of instructions: what the handler finds, what has been written by then, and that the instruction goes on
 * when the page is there. Each instruction accesses two pages of the window, of which one or the other is missing, read-only, or the
 * kernel's.
 *
 * Shortcomings: a CPU probes all of an operand for a write before it reads it; QEMU reads first, and reports a read.
 */

#include <stddef.h>

#include "common/console.h"
#include "common/debug_exit.h"
#include "devices/space.h"

enum { EDGE_OFFSET = PAGE_SIZE };
#define EDGE "0x40001000" /* where the second page begins */

void landing(void);
__asm__(".text\nlanding:\n\tint $0x80\n");

static void fresh(bool user)
{
    (void)user;
}

/* What the instruction takes as an address to go to: alone, with a selector, with a selector and flags. */
static void near(bool user)
{
    (void)user;
    poke(EDGE_OFFSET - 2, (uint32_t)landing);
}

static void far(bool user)
{
    poke(EDGE_OFFSET - 4, (uint32_t)landing);
    poke(EDGE_OFFSET, user ? USER_CODE : KERNEL_CODE);
}

static void frame(bool user)
{
    poke(EDGE_OFFSET - 6, (uint32_t)landing);
    poke(EDGE_OFFSET - 2, user ? USER_CODE : KERNEL_CODE);
    poke(EDGE_OFFSET + 2, user ? 0x3202 : 2);
}

static void pointer(bool user)
{
    poke_half(EDGE_OFFSET + 2, user ? USER_DATA : KERNEL_DATA);
}

static void selector(bool user)
{
    poke_half(EDGE_OFFSET - 1, user ? USER_DATA : KERNEL_DATA);
}

static void stacked(bool user)
{
    poke(EDGE_OFFSET - 2, user ? USER_DATA : KERNEL_DATA);
}

static void bounds(bool user)
{
    (void)user;
    poke(EDGE_OFFSET - 4, 0);
    poke(EDGE_OFFSET, 0x20000000);
}

static void equal(bool user)
{
    (void)user;
    poke(EDGE_OFFSET - 2, 0x11111111);
}

#define INSTRUCTIONS(ONE)                                                                            \
    ONE(load_long, fresh, "movl " EDGE "-2, %eax")                                                   \
    ONE(load_word, fresh, "movw " EDGE "-1, %ax")                                                    \
    ONE(load_signed, fresh, "movswl " EDGE "-1, %eax")                                               \
    ONE(store_long, fresh, "movl %eax, " EDGE "-2")                                                  \
    ONE(store_last_byte, fresh, "movl %eax, " EDGE "-1")                                             \
    ONE(store_first_byte, fresh, "movl %eax, " EDGE "-3")                                            \
    ONE(store_word, fresh, "movw %ax, " EDGE "-1")                                                   \
    ONE(store_constant, fresh, "movl $0x12345678, " EDGE "-2")                                       \
    ONE(store_selector, fresh, "movw %ss, " EDGE "-1")                                               \
    ONE(store_table, fresh, "sgdt " EDGE "-2")                                                       \
    ONE(store_table_later, fresh, "sgdt " EDGE "-3")                                                 \
    ONE(store_both, fresh, "setne " EDGE "; movb %al, " EDGE "-1")                                   \
    ONE(add, fresh, "addl %eax, " EDGE "-2")                                                         \
    ONE(add_locked, fresh, "lock addl %eax, " EDGE "-2")                                             \
    ONE(add_word, fresh, "addw $5, " EDGE "-1")                                                      \
    ONE(add_carry, fresh, "stc; adcl $0, " EDGE "-3")                                                \
    ONE(increment, fresh, "incl " EDGE "-2")                                                         \
    ONE(negate, fresh, "negl " EDGE "-2")                                                            \
    ONE(invert, fresh, "notl " EDGE "-2")                                                            \
    ONE(shift, fresh, "shll $3, " EDGE "-2")                                                         \
    ONE(shift_double, fresh, "shldl $1, %eax, " EDGE "-2")                                           \
    ONE(rotate_carry, fresh, "stc; rcll $1, " EDGE "-2")                                             \
    ONE(exchange, fresh, "xchgl %eax, " EDGE "-2")                                                   \
    ONE(exchange_add, fresh, "xaddl %eax, " EDGE "-2")                                               \
    ONE(compare_exchange, fresh, "cmpxchgl %ebx, " EDGE "-2")                                        \
    ONE(compare_exchange_equal, equal, "cmpxchgl %ebx, " EDGE "-2")                                  \
    ONE(compare_exchange_locked, equal, "lock cmpxchgl %ebx, " EDGE "-2")                            \
    ONE(compare_exchange_wide, fresh, "cmpxchg8b " EDGE "-4")                                        \
    ONE(bit_set, fresh, "btsl $5, " EDGE "-2")                                                       \
    ONE(bit_set_far, fresh, "movl $0x20, %eax; btsl %eax, " EDGE "-4")                               \
    ONE(bit_set_before, fresh, "movl $-1, %eax; btsl %eax, " EDGE)                                   \
    ONE(bit_reset_locked, fresh, "lock btrl $1, " EDGE "-2")                                         \
    ONE(bit_tested, fresh, "btl $1, " EDGE "-2")                                                     \
    ONE(copy, fresh, "movl $" EDGE "-6, %edi; movl $0x40002000, %esi; movl $3, %ecx; rep movsl")     \
    ONE(copy_bytes, fresh, "movl $" EDGE "-3, %edi; movl $0x40002000, %esi; movl $7, %ecx; rep movsb") \
    ONE(copy_from, fresh, "movl $" EDGE "-6, %esi; movl $0x40002000, %edi; movl $3, %ecx; rep movsl") \
    ONE(copy_over, fresh, "movl $" EDGE "-2, %esi; movl $" EDGE "-1, %edi; movl $5, %ecx; rep movsb") \
    ONE(copy_backwards, fresh, "std; movl $" EDGE "+2, %edi; movl $0x40002010, %esi; movl $7, %ecx; rep movsb") \
    ONE(copy_once, fresh, "movl $" EDGE "-2, %edi; movl $0x40002000, %esi; movsl")                   \
    ONE(fill, fresh, "movl $" EDGE "-6, %edi; movl $3, %ecx; rep stosl")                             \
    ONE(fill_bytes, fresh, "movl $" EDGE "-2, %edi; movl $5, %ecx; rep stosb")                       \
    ONE(fill_backwards, fresh, "std; movl $" EDGE "+3, %edi; movl $3, %ecx; rep stosw")              \
    ONE(compare, fresh, "movl $" EDGE "-2, %esi; movl %esi, %edi; movl $5, %ecx; repe cmpsb")        \
    ONE(compare_long, fresh, "movl $" EDGE "-6, %edi; movl $0x40002000, %esi; movl $3, %ecx; repne cmpsl") \
    ONE(scan, fresh, "movl $" EDGE "-2, %edi; movl $5, %ecx; movb $0, %al; repne scasb")             \
    ONE(load_string, fresh, "movl $" EDGE "-2, %esi; movl $4, %ecx; rep lodsb")                      \
    ONE(input, fresh, "movl $" EDGE "-2, %edi; movl $4, %ecx; movw $0x21, %dx; rep insb")            \
    ONE(input_across, fresh, "movl $" EDGE "-1, %edi; movw $0x1ce, %dx; movw $3, %ax; outw %ax, %dx; insw")                        \
    ONE(output, fresh, "movl $" EDGE "-2, %esi; movl $4, %ecx; movw $0x80, %dx; rep outsb")          \
    ONE(translate_byte, fresh, "movl $" EDGE "-1, %ebx; movb $1, %al; xlatb")                        \
    ONE(push, fresh, "movl $" EDGE "+2, %esp; pushl %eax")                                           \
    ONE(push_word, fresh, "movl $" EDGE "+1, %esp; pushw %ax")                                       \
    ONE(push_constant, fresh, "movl $" EDGE "+2, %esp; pushl $0x12345678")                           \
    ONE(push_memory, fresh, "movl $" EDGE "+0x100, %esp; pushl " EDGE "-2")                          \
    ONE(push_selector, fresh, "movl $" EDGE "+2, %esp; pushl %ds")                                   \
    ONE(push_all, fresh, "movl $" EDGE "+14, %esp; pushal")                                          \
    ONE(push_all_words, fresh, "movl $" EDGE "+7, %esp; pushaw")                                     \
    ONE(push_flags, fresh, "movl $" EDGE "+2, %esp; pushfl")                                         \
    ONE(pop, fresh, "movl $" EDGE "-2, %esp; popl %eax")                                             \
    ONE(pop_memory, fresh, "movl $0x40002000, %esp; popl " EDGE "-2")                                \
    ONE(pop_by_esp, fresh, "movl $" EDGE "-6, %esp; popl (%esp)")                                    \
    ONE(pop_all, fresh, "movl $" EDGE "-14, %esp; popal")                                            \
    ONE(pop_flags, stacked, "movl $" EDGE "-2, %esp; popfl")                                         \
    ONE(call, fresh, "movl $" EDGE "+2, %esp; call landing")                                         \
    ONE(call_by_register, fresh, "movl $" EDGE "+2, %esp; movl $landing, %eax; call *%eax")          \
    ONE(call_by_memory, near, "movl $0x40002010, %esp; call *" EDGE "-2")                            \
    ONE(jump_by_memory, near, "jmp *" EDGE "-2")                                                     \
    ONE(call_far, far, "movl $" EDGE "+0x104, %esp; lcall *" EDGE "-4")                              \
    ONE(call_far_stack, fresh, "pushl %cs; pushl $landing; movl %esp, %eax; movl $" EDGE "+4, %esp; lcall *%ss:(%eax)") \
    ONE(enter, fresh, "movl $" EDGE "+2, %esp; enter $16, $0")                                       \
    ONE(enter_nested, fresh, "movl $0x40002020, %ebp; movl $" EDGE "+6, %esp; enter $8, $3")         \
    ONE(enter_nested_from, fresh, "movl $" EDGE "+6, %ebp; movl $0x40002020, %esp; enter $8, $3")    \
    ONE(enter_over, fresh, "movl $" EDGE "+8, %esp; enter $0x800, $0")                               \
    ONE(leave, fresh, "movl $" EDGE "-2, %ebp; leave")                                               \
    ONE(return_near, near, "movl $" EDGE "-2, %esp; ret")                                            \
    ONE(return_and_pop, near, "movl $" EDGE "-2, %esp; ret $8")                                      \
    ONE(return_far, far, "movl $" EDGE "-4, %esp; lret")                                             \
    ONE(return_from_interrupt, frame, "movl $" EDGE "-6, %esp; iret")                                \
    ONE(load_pointer, pointer, "lesl " EDGE "-2, %eax")                                              \
    ONE(load_selector, selector, "movw " EDGE "-1, %es")                                             \
    ONE(pop_selector, stacked, "movl $" EDGE "-2, %esp; popl %es")                                   \
    ONE(jump_far, far, "ljmp *" EDGE "-4")                                                           \
    ONE(bound, bounds, "bound %eax, " EDGE "-4")                                                     \
    ONE(fpu_load, fresh, "fninit; fldl " EDGE "-4; fnstsw %ax")                                      \
    ONE(fpu_store, fresh, "fninit; fld1; fstpl " EDGE "-4; fnstsw %ax")                              \
    ONE(fpu_store_single, fresh, "fninit; fld1; fstps " EDGE "-2; fnstsw %ax")                       \
    ONE(fpu_store_integer, fresh, "fninit; fldz; fistpll " EDGE "-2")                                \
    ONE(fpu_store_environment, fresh, "fninit; fnstenv " EDGE "-14")                                 \
    ONE(fpu_load_control, fresh, "fldcw " EDGE "-1; fninit")

#define AS_CODE(name, prepare, ...) CODE(name, __VA_ARGS__);
#define AS_ROW(name, prepare, ...) {#name, name, prepare},

INSTRUCTIONS(AS_CODE)

static const struct instruction {
    const char *name;
    void (*code)(void);
    void (*prepare)(bool user);
} instructions[] = {INSTRUCTIONS(AS_ROW)};

static const struct rights {
    const char *name;
    uint32_t first, second;
} all_rights[] = {
    {"both there", PWU, PWU},     {"first missing", 0, PWU},         {"second missing", PWU, 0},
    {"both missing", 0, 0},       {"first read-only", P | U, PWU},   {"second read-only", PWU, P | U},
    {"first the kernel's", P | W, PWU}, {"second the kernel's", PWU, P | W},
};

static void try(const struct instruction *instruction, const struct rights *rights, enum how how)
{
    window_set(PWU, rights->first, rights->second);
    instruction->prepare(how & RING_3);
    run(instruction->code, how);
    kprintf("%s, %s, ring %u%s:", instruction->name, rights->name, how & RING_3 ? 3 : 0, how & REPAIRED ? ", goes on" : "");
    report(instruction->code, true);
}

__attribute__((noreturn)) void kmain(void);

void kmain(void)
{
    space_init();
    for (size_t i = 0; i < sizeof instructions / sizeof instructions[0]; i++) {
        for (size_t k = 0; k < sizeof all_rights / sizeof all_rights[0]; k++) {
            for (enum how how = RING_0; how <= (RING_3 | REPAIRED); how++) {
                try(&instructions[i], &all_rights[k], how);
            }
        }
    }
    kprintf("done\n");
    debug_exit(EXIT_PASSED);
}
