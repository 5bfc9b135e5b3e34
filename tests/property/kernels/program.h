/*
 * A kernel that executes a program of calls to its allocator. The test puts the program into `program` before it boots the kernel.
 *
 * Each file that includes this has one allocator, and says in the functions declared here how a program's operations call it. What
 * a program keeps lies in `slots`, or where an operation has moved it.
 */

typedef unsigned int word;
typedef unsigned char byte;

#ifdef __clang__
#define API __attribute__((noinline))
#else
#define API __attribute__((noipa))
#endif
#define USED(argument) asm volatile("" : : "r"(argument)) /* else compilers do not pass it, and nobody reads it */
#define OPERATIONS 400
#define SLOTS 32
#define PAGE 4096u

enum { END, TAKE, RETAKE, GIVE, SHARE, RESET, KEEP, FETCH, DROP, BREAK, GIVE_AGAIN };
enum { IN_PACKED, ON_STACK, IN_BLOCK, IN_SLOT };

struct operation {
    word code, slot, a, b;
};

struct operation program[OPERATIONS] = {{-1u, 0, 0, 0}};
byte *slots[SLOTS];
struct __attribute__((packed)) {
    byte tag;
    byte *link;
} packed[SLOTS];
word is_broken; /* the next block is taken where it must not be */

static byte *take(word how, word a, byte **out);
static byte *retake(byte *block, word a);
static void give(byte *block, word a);
static void share(byte *block);
static void reset(word pool);

/* Return where a pointer is kept: `how` is one of the places above, with the slot of the block for IN_BLOCK. */
static byte **place(word slot, word how, byte **local)
{
    switch (how & 0xff) {
    case IN_PACKED:
        return (byte **)(void *)((byte *)&packed[slot] + 1);
    case ON_STACK:
        return &local[slot];
    case IN_BLOCK:
        return (byte **)(void *)slots[how >> 8];
    default:
        return &slots[slot];
    }
}

static void execute(const struct operation *each, byte **local)
{
    byte **slot = &slots[each->slot], *block = *slot;

    switch (each->code) {
    case TAKE:
        *slot = 0;
        block = take(each->a & 0xff, each->b, slot);
        if (block)
            *slot = block;
        for (word i = 0; i < each->a >> 8; i++)
            (*slot)[i] = 0;
        break;
    case RETAKE:
        *slot = retake(block, each->a);
        break;
    case GIVE:
        *slot = 0;
        give(block, each->a);
        break;
    case SHARE:
        share(block);
        break;
    case RESET:
        reset(each->a);
        break;
    case KEEP:
        *slot = 0;
        *place(each->slot, each->a, local) = block + each->b;
        break;
    case FETCH:
        block = *place(each->slot, each->a, local) - each->b;
        *place(each->slot, each->a, local) = 0;
        *slot = block;
        break;
    case DROP:
        *slot = 0;
        break;
    case BREAK:
        is_broken = each->a;
        break;
    case GIVE_AGAIN:
        give(block + each->b, each->a);
        break;
    }
}

API void run_program(byte **local)
{
    for (const struct operation *each = program; each->code != END; each++)
        execute(each, local);
}

API void wipe_stack(void)
{
    volatile byte dead[2048];

    for (word i = 0; i < sizeof dead; i++)
        dead[i] = 0;
}

byte boot_stack[16384] __attribute__((aligned(16)));

API void kmain(void)
{
    byte *local[SLOTS] = {0};

    run_program(local);
    wipe_stack();
    asm volatile("xor %%eax, %%eax; xor %%ebx, %%ebx; xor %%ecx, %%ecx; xor %%esi, %%esi; xor %%edi, %%edi; mov $0xf4, %%edx; out %%eax, %%dx; hlt"
                 : : "m"(local) : "eax", "ebx", "ecx", "edx", "esi", "edi", "memory");
}

asm(".globl _start\n_start: mov $boot_stack + 16384, %esp\nxor %ebp, %ebp\ncall kmain\nhlt");

/* What compilers call. */
void *memset(void *to, int value, word count)
{
    for (volatile byte *at = to; count--; at++)
        *at = (byte)value;
    return to;
}

void *memcpy(void *to, const void *from, word count)
{
    const byte *source = from;

    for (volatile byte *at = to; count--; at++)
        *at = *source++;
    return to;
}
