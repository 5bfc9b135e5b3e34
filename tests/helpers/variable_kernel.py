"""A kernel with variables of many types, in places of many kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.helpers.c_kernel import compile_kernel
from tests.helpers.call_stack_kernels import ENTRY

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = r"""
typedef unsigned u32; typedef unsigned char u8; typedef unsigned long long u64;
#define REAL __attribute__((noinline, noclone))
enum colour { RED, GREEN = 5, BLUE = 9 };
enum flags { READ = 1, WRITE = 2, EXEC = 4 };
enum sign { BELOW = -1, ABOVE = 1 };
struct list { struct list *next; int value; };
struct bits { u32 low : 3; int middle : 5; u32 high : 20; u8 after; u64 wide : 40; };
union both { u32 word; u8 bytes[4]; };
struct thing {
    char name[12]; enum colour colour; union both both; struct bits bits; struct list list; int grid[2][3];
    struct { int left, right; }; _Bool is_good; float part; double whole; void (*run)(void); const char *text; long double large;
};
struct pair { u32 one, two; };
static volatile u32 seen;
u8 lookup[] = {1, 2, 3};
static struct list nodes[3] = {{&nodes[1], -7}, {&nodes[2], 8}, {0, 9}};
struct thing thing = {
    "a thing", GREEN, {0x01020304}, {5, -3, 0xabcde, 200, 0x1234567890}, {&nodes[0], 77}, {{1, 2, 3}, {4, 5, -6}}, {10, 20}, 1, 0.25f, -1.5,
    0, "text\n", 3.0L,
};
extern int declared_only;
void kmain(void);
void *memcpy(void *to, const void *from, u32 size)
{
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}
REAL u32 leaf(u32 n, const struct thing *t, enum flags flags, char letter)
{
    u32 sum = n + t->grid[1][1];
    for (u32 i = 0; i < 3; i++) {
        static u32 calls = 40;
        u32 n = i * 2; /* hides the parameter */
        sum += n + calls++;
        seen = sum;
    }
    return sum + flags + letter;
}
REAL u64 wide(u64 a, int b, short c, signed char d)
{
    u64 product = a * (u64)(long long)b;
    long long difference = (long long)c - d;
    seen = (u32)product;
    seen = (u32)difference;
    return product + difference;
}
static inline __attribute__((always_inline)) int inner(struct pair pair, int scale)
{
    int area = pair.one * pair.two;
    seen = area;
    return area * scale;
}
REAL static int spread(int first, int second, int third)
{
    struct pair here = {first + 1, second + 2};
    int result = inner(here, third);
    seen = result;
    return result + first;
}
REAL u32 recursive(u32 depth, const u8 *table)
{
    volatile u32 room[4] = {depth, depth + 1, depth * 2, 7};
    u32 below = depth ? recursive(depth - 1, table) : seen;
    return below + room[depth & 3] + table[depth % 3];
}
REAL void writes(struct thing *t, enum colour colour, enum sign sign)
{
    struct thing copy = *t;
    copy.colour = colour;
    copy.list.value += sign;
    copy.name[0] = 'A' + sign;
    seen = leaf(copy.list.value, &copy, READ | EXEC, 'x');
    *t = copy;
}
void kmain(void)
{
    thing.run = kmain;
    u32 total = leaf(3, &thing, READ | WRITE, 'a');
    total += (u32)wide(0x123456789ull, -3, -300, -5);
    total += spread(seen, 2, 3);
    total += recursive(4, lookup);
    writes(&thing, BLUE, BELOW);
    seen = total;
    __asm__ volatile("outl %0, $0xf4" : : "a"(0));
    for (;;) ;
}
"""


def compile_variables(directory: Path, compiler: str, *options: str) -> Path:
    """Compile the kernel, and return its file."""
    return compile_kernel(directory, SOURCE, ["-g", *options], compiler, entry=ENTRY)
