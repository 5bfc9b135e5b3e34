"""A kernel whose allocator is called through functions that compilers inline, and loop, and recurse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.helpers.c_kernel import compile_kernel
from tests.helpers.call_stack_kernels import ENTRY

if TYPE_CHECKING:
    from pathlib import Path

_SOURCE = """
typedef unsigned u;
static char pool[65536]; static u used; volatile u sink;
__attribute__((noinline, noclone)) void *kmalloc(u n) { void *p = pool + used; used += n; return p; }
static inline __attribute__((always_inline)) void *zalloc(u n)
{
    char *p = kmalloc(n);
    for (u i = 0; i < n; i++)
        p[i] = 0;
    return p;
}
struct node { struct node *next; u value; };
static struct node *node_new(u value)
{
    struct node *n = zalloc(sizeof *n);
    n->value = value;
    return n;
}
static struct node *push(struct node *list, u value)
{
    struct node *n = node_new(value);
    n->next = list;
    return n;
}
__attribute__((noinline, noclone)) struct node *make(u n)
{
    struct node *list = 0;
    for (u i = 0; i < n; i++)
        list = push(list, i);
    if (n > 1)
        list = push(make(n - 1), n);
    return list;
}
void kmain(void)
{
    sink = make(3)->value;
    sink += make(1)->value;
    __asm__ volatile("outl %0, $0xf4" : : "a"(0));
    for (;;) ;
}
"""
_OPTIONS = ("-fno-optimize-sibling-calls", "-fasynchronous-unwind-tables")


def compile_inlining(directory: Path, compiler: str, *options: str) -> Path:
    """Compile the kernel, and return its file."""
    return compile_kernel(directory, _SOURCE, [*_OPTIONS, *options], compiler, entry=ENTRY)
