/*
 * A kernel that executes a program of calls to its allocator, and logs them. The test puts the program into `program` before it boots the kernel.
 *
 * Each file that includes this has one allocator, and says in `allocator` how a program's operations call it. What a program keeps lies
 * in `slots`, or where an operation has moved it.
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
#define CALLS 2000
#define SLOTS 32
#define PAGE 4096u

enum { END, TAKE, RETAKE, GIVE, SHARE, RESET, KEEP, FETCH, DROP, BREAK, GIVE_AGAIN, COPY, TAKE_WRONGLY, RETAKE_WRONGLY, GIVE_WRONGLY };
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

/* What an allocator can do; what a program keeps of a block is what `take` returns, its address unless there is `address`. */
struct allocator {
    byte *(*take)(word how, word a, byte **out);
    byte *(*retake)(byte *block, word how, word a);
    void (*give)(byte *block, word a);
    void (*share)(byte *block);
    void (*reset)(word pool);
    word (*address)(byte *kept);
};
static const struct allocator allocator;

/* The log. Its words are complements, so that it points to no block. */
static word operation;
word answers[OPERATIONS]; /* by operation: where the block is that it took */
struct call {
    word operation, function, is_finished, result, arguments[4];
} calls[CALLS];
word call_count;

static struct call *begin_call(word function, ...)
{
    struct call *call = &calls[call_count++];
    __builtin_va_list words;

    call->operation = ~operation;
    call->function = ~function;
    __builtin_va_start(words, function);
    for (word i = 0; i < 4; i++)
        call->arguments[i] = ~__builtin_va_arg(words, word);
    __builtin_va_end(words);
    return call;
}

static word finish_call(struct call *call, word result)
{
    call->is_finished = 1;
    call->result = ~result;
    return result;
}

/* Make a call, one that returns nothing, or the last one of a function; and log it. */
#define BEGIN(function, ...) begin_call((word)(function), ##__VA_ARGS__, 0, 0, 0, 0)
#define CALL(function, ...) \
    ({ struct call *call_ = BEGIN(function, ##__VA_ARGS__); \
       (__typeof__(function(__VA_ARGS__)))finish_call(call_, (word)function(__VA_ARGS__)); })
#define RUN(function, ...) \
    do { struct call *call_ = BEGIN(function, ##__VA_ARGS__); \
         function(__VA_ARGS__); \
         finish_call(call_, 0); } while (0)
#define LAST(function, ...) (BEGIN(function, ##__VA_ARGS__), function(__VA_ARGS__))

/* Return what an allocator answers when it has found a block: something else if it has been broken. */
static inline void *answer(void *found)
{
    byte *answered = is_broken == 1 ? slots[0] : is_broken == 2 ? (byte *)found + 2 : found;

    is_broken = 0;
    return answered;
}

/* The mistakes, in functions of their own: nowhere else are these lines. */
API byte *take_wrongly(word how, word a, byte **out)
{
    byte *block = allocator.take(how, a, out); /* planted */

    USED(block);
    return block;
}

API byte *retake_wrongly(byte *block, word how, word a)
{
    block = allocator.retake(block, how, a); /* planted */
    USED(block);
    return block;
}

API void give_wrongly(byte *block, word a)
{
    allocator.give(block, a); /* planted */
    USED(a);
}

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

static void note(byte *kept)
{
    answers[operation] = ~(allocator.address ? allocator.address(kept) : (word)kept);
}

static void execute(const struct operation *each, byte **local)
{
    byte **slot = &slots[each->slot], *block = *slot;

    switch (each->code) {
    case TAKE:
    case TAKE_WRONGLY:
        *slot = 0;
        block = each->code == TAKE ? allocator.take(each->a, each->b, slot) : take_wrongly(each->a, each->b, slot);
        if (block)
            *slot = block;
        note(*slot);
        break;
    case RETAKE:
        *slot = allocator.retake(block, each->a, each->b);
        note(*slot);
        break;
    case RETAKE_WRONGLY:
        *slot = retake_wrongly(block, each->a, each->b);
        break;
    case GIVE:
        *slot = 0;
        allocator.give(block, each->a);
        break;
    case GIVE_AGAIN:
        allocator.give(block + each->b, each->a);
        break;
    case GIVE_WRONGLY:
        give_wrongly(block + each->b, each->a);
        break;
    case SHARE:
        allocator.share(block);
        break;
    case RESET:
        allocator.reset(each->a);
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
    case COPY:
        slots[each->a] = block + each->b;
        break;
    case DROP:
        *slot = 0;
        break;
    case BREAK:
        is_broken = each->a;
        break;
    }
}

API void run_program(byte **local)
{
    for (; program[operation].code != END; operation++)
        execute(&program[operation], local);
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
