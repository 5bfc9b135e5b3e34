"""A kernel with aggregates of all kinds: arrays of variable length, packed bit fields, nameless structs and unions, arrays of structs and of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.helpers.c_kernel import compile_kernel
from tests.helpers.call_stack_kernels import ENTRY

if TYPE_CHECKING:
    from pathlib import Path

_SOURCE = r"""
typedef unsigned u32; typedef unsigned char u8; typedef long long s64;
#define REAL __attribute__((noinline))
volatile u32 seen;
struct point { short x, y; };
struct shape { enum { CIRCLE, SQUARE = 7 } kind; union { struct point at; struct { u8 r, g, b; }; u32 raw; }; struct point corners[3]; const char *names[2]; int (*area)(struct shape *, int); };
struct flags { u32 a : 1, b : 2; signed int c : 5; u32 : 4; u32 d : 20; s64 big : 33; _Bool on : 1; enum { LOW, HIGH } level : 2; } __attribute__((packed));
struct flex { int count; int items[]; };
union number { float f; u32 u; u8 b[4]; };
static int area(struct shape *s, int k) { return s->corners[k].x * s->corners[k].y + k; }
static struct shape shapes[2] = {
  {CIRCLE, {{-1, 2}}, {{1, 2}, {3, 4}, {5, 6}}, {"one", "two"}, area},
  {SQUARE, {.raw = 0x00030201}, {{-1, -2}, {-3, -4}, {-5, -6}}, {"three", 0}, area}};
static u8 matrix[3][2][2] = {{{1,2},{3,4}},{{5,6},{7,8}},{{9,10},{11,12}}};
static union { struct flex flex; int room[5]; } list = {{3}};
void *memset(void *p, int c, u32 n) { for (u32 i = 0; i < n; i++) ((char *)p)[i] = c; return p; }
void *memcpy(void *p, const void *q, u32 n) { for (u32 i = 0; i < n; i++) ((char *)p)[i] = ((char *)q)[i]; return p; }
REAL int vla(int n, int m)
{
    int row[n];
    short grid[n][m];
    for (int i = 0; i < n; i++) { row[i] = i * m; for (int j = 0; j < m; j++) grid[i][j] = i - j; }
    int sum = 0;
    for (int i = 0; i < n; i++) sum += row[i] + grid[i][m - 1];
    seen = sum;
    return sum;
}
REAL struct point swap(struct point p) { struct point q = {p.y, p.x}; seen = q.x; return q; }
static inline int clamp(int v, int lo, int hi) { int r = v < lo ? lo : v; if (r > hi) r = hi; seen = r; return r; }
REAL int fields(struct flags f, union number n)
{
    struct flags copy = f;
    copy.c = clamp(f.c * 2, -10, 9);
    copy.big += n.u;
    seen = copy.d;
    seen = (u32)copy.big;
    return copy.c + copy.on + copy.level;
}
REAL int walk(struct shape *s, u32 count, int (*f)(struct shape *, int))
{
    int total = 0;
    for (struct shape *each = s; each < s + count; each++) {
        for (int k = 0; k < 3; k++) {
            int one = f(each, k);
            total += one;
            seen = one;
        }
        u8 colour = each->g;
        seen = colour;
    }
    return total;
}
REAL int items(const struct flex *l, u8 (*m)[2][2])
{
    int i = 0, sum = 0;
  again:
    sum += l->items[i] + m[i % 3][1][0];
    seen = sum;
    if (++i < l->count) goto again;
    return sum;
}
REAL s64 wide(s64 a, u8 shift, const char *text)
{
    s64 b = a << shift;
    char buffer[8] = "ab";
    while (*text) { buffer[*text & 7] = *text; b ^= *text++; }
    seen = (u32)b + buffer[1];
    return b;
}
void kmain(void)
{
    struct flags f = {1, 2, -3, 0x12345, 0x1ffffffffLL, 1, HIGH};
    union number n = {.f = 1.5f};
    int total = vla(4, 3);
    struct point p = swap((struct point){3, -4});
    total += p.x + fields(f, n);
    total += walk(shapes, 2, area);
    for (int i = 0; i < 3; i++) list.flex.items[i] = i * 11;
    total += items(&list.flex, matrix);
    total += (int)wide(-5, 3, "hello");
    seen = total;
    __asm__ volatile("outl %0, $0xf4" : : "a"(0));
    for (;;) ;
}
"""


def compile_aggregates(directory: Path, compiler: str, *options: str) -> Path:
    """Compile the kernel, and return its file."""
    return compile_kernel(directory, _SOURCE, ["-g", *options], compiler, entry=ENTRY)
