"""Allocators that are made of each other: which call is a part of which, in code of every style that gcc makes."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from emulator.check.calls.checks import check_calls
from emulator.check.calls.results import KnownMemory
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.profile.reader import read_profile
from emulator.run.recorded import record_trace
from emulator.trace.trace import Trace
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

# Small blocks are carved from pages that come from the same function; bl_malloc, carve, refill are in no profile. Optimised,
# kmalloc jumps to bl_malloc, and kfree to bl_free, which may jump back to kfree.
SOURCE = r"""
asm(".section .multiboot, \"a\"\n .long 0x1badb002, 0, -0x1badb002\n .text\n"
    ".globl _start\n_start: movl $stack + 8192, %esp\n xorl %ebp, %ebp\n call kmain\n hlt\n");
#define REAL __attribute__((noinline, noclone))
typedef unsigned u;
char stack[8192];
char memory[64 << 10] __attribute__((aligned(4096)));
static u taken, left;
static char *chunk;

void *kmalloc(u size);
void kfree(void *ptr);

REAL static void *page_alloc(u size)
{
    void *page = memory + taken;
    taken += (size + 4095) & -4096;
    return page;
}
REAL static void page_free(char *page) { page[0] = 0; }
REAL static char *refill(u size)
{
    volatile u room[9];
    room[size & 7] = 4096;
    chunk = kmalloc(room[size & 7]);
    left = 4096;
    return chunk;
}
REAL static void *carve(u size)
{
    if (left < size + 16 && !refill(size))
        return 0;
    char *block = chunk + 4096 - left + 16;
    left -= size + 16;
    return block;
}
REAL void *bl_malloc(u size) { return carve((size + 15) & -16); }
REAL void bl_free(char *p)
{
    if (((u)p & 4095) == 16)
        kfree((void *)((u)p & -4096));
    else
        *p = 0;
}
REAL void *kmalloc(u size) { return size >= 4096 ? page_alloc(size) : bl_malloc(size); }
REAL void kfree(void *ptr)
{
    if ((u)ptr & 4095)
        bl_free(ptr);
    else
        page_free(ptr);
}
REAL void *kzalloc(u size)
{
    volatile char *p = kmalloc(size);
    for (u i = 0; i < size; i++)
        p[i] = 0;
    return (void *)p;
}
REAL void *kcalloc(u count, u size) { return kzalloc(count * size); }
REAL void *krealloc(void *ptr, u size)
{
    if (!ptr)
        return kmalloc(size);
    volatile char *new = kmalloc(size);
    for (u i = 0; i < size; i++)
        new[i] = ((char *)ptr)[i];
    kfree(ptr);
    return (void *)new;
}
REAL void *kmemalign(u align, u size)
{
    char *p = kmalloc(size + align);
    char *q = (char *)(((u)p + align) & -align);
    ((void **)q)[-1] = p;
    return q;
}
REAL void kfree_aligned(void **ptr) { kfree(ptr[-1]); }
void kmain(void)
{
    void *a = kmalloc(24), *b = kzalloc(40), *c = kcalloc(3, 8), *d = krealloc(0, 100), *e = krealloc(d, 200);
    void *f = kmemalign(64, 70), *g = kmalloc(5000);
    kfree(b), kfree(c), kfree(e), kfree_aligned(f), kfree(g), kfree(a);
    a = kmemalign(256, 3000);
    kfree_aligned(a);
    asm volatile("outl %0, $0xf4" : : "a"(0));
}
"""
PROFILE = """
[heap]
alloc = ["kmalloc(size)", "kzalloc(size)", "kcalloc(count, size)", "kmemalign(align, size)"]
realloc = "krealloc(ptr, size)"
free = ["kfree(ptr)", "kfree_aligned(ptr)"]
"""
#: Function, parent and depth of each call.
CALLS = [
    *[("kmalloc", 0, 0), ("kmalloc", 1, 1)],
    *[("kzalloc", 0, 0), ("kmalloc", 3, 1)],
    *[("kcalloc", 0, 0), ("kzalloc", 5, 1), ("kmalloc", 6, 2)],
    *[("krealloc", 0, 0), ("kmalloc", 8, 1)],
    *[("krealloc", 0, 0), ("kmalloc", 10, 1), ("kfree", 10, 1)],
    *[("kmemalign", 0, 0), ("kmalloc", 13, 1)],
    *[("kmalloc", 0, 0), ("kfree", 0, 0), ("kfree", 0, 0), ("kfree", 0, 0)],
    *[("kfree_aligned", 0, 0), ("kfree", 19, 1)],
    *[("kfree", 0, 0), ("kfree", 0, 0), ("kfree", 22, 1)],
    *[("kmemalign", 0, 0), ("kmalloc", 24, 1)],
    *[("kfree_aligned", 0, 0), ("kfree", 26, 1)],
]
#: Offset in the kernel's memory, size, and the calls that made and freed each block.
BLOCKS = [
    *[(16, 24, 1, 22), (64, 40, 3, 16), (128, 24, 5, 17), (176, 100, 8, 10), (304, 200, 10, 18)],
    *[(576, 70, 13, 19), (4096, 5000, 15, 21), (768, 3000, 24, 26)],
]

STYLES = [
    *product(
        ["-O0", "-O1", "-O2", "-O3", "-Os"],
        ["-fomit-frame-pointer", "-fno-omit-frame-pointer"],
        ["-fasynchronous-unwind-tables", "-fno-asynchronous-unwind-tables"],
    ),
    *product(["-O1", "-O2"], ["-mfunction-return=thunk", "-mfunction-return=thunk-inline"]),
]


@pytest.mark.parametrize("style", STYLES, ids=" ".join)
def test_parts_of_an_allocation_are_known_as_such(style: tuple[str, ...], tmp_path: Path) -> None:
    image = KernelImage.read(compile_kernel(tmp_path, SOURCE, style))
    (tmp_path / "shapes.toml").write_text(PROFILE)
    machine = Machine(image)
    with record_trace(machine, tmp_path / "run.kmt", read_profile(tmp_path / "shapes.toml")):
        assert machine.run(timeout_s=10).exit_value == 0
    trace = Trace.read(tmp_path / "run.kmt")
    assert [(call.function, call.parent, call.depth) for call in trace] == CALLS
    assert all(call.left is not None for call in trace)

    memory = image.symbols["memory"].address
    blocks = trace.blocks("heap")
    facts = (blocks.address - memory, blocks.size, blocks.born_call, blocks.died_call)
    assert list(zip(*(fact.tolist() for fact in facts), strict=True)) == BLOCKS
    assert check_calls(trace, KnownMemory(((memory, memory + (64 << 10)),), ())) == []


# Each function hands its return address to a log, which leaves copies of it on the stack; four tasks are in kzalloc at a time.
CUSTOMERS = r"""
asm(".section .multiboot, \"a\"\n .long 0x1badb002, 0, -0x1badb002\n .text\n"
    ".globl _start\n_start: movl $stack + 8192, %esp\n xorl %ebp, %ebp\n call kmain\n hlt\n"
    ".type switch_to, @function\nswitch_to: movl 4(%esp), %eax\n movl 8(%esp), %edx\n"
    "pushl %ebp\n pushl %ebx\n pushl %esi\n pushl %edi\n movl %esp, (%eax)\n movl %edx, %esp\n"
    "popl %edi\n popl %esi\n popl %ebx\n popl %ebp\n ret\n.size switch_to, . - switch_to\n");
#define REAL __attribute__((noinline, noclone))
#define RETURNS __builtin_return_address(0)
typedef unsigned u;
char stack[8192];
static u stacks[4][1024], saved[4], task, done, taken, logged;
char memory[64 << 10] __attribute__((aligned(4096)));
static void *last;
void switch_to(u *from, u to);
REAL void note(u what, u a, u b, u c, void *from) { logged += what + a + b + c, last = from; }
REAL static void yield(void)
{
    u from = task;
    task = (task + 1) % 4;
    switch_to(&saved[from], saved[task]);
}
REAL void *page_get(void)
{
    note(1, 0, 0, 0, RETURNS);
    taken += 4096;
    return memory + taken - 4096;
}
REAL static char *grow(u size)
{
    volatile u room[30];
    room[size & 7] = 1;
    return (char *)page_get() + room[size & 7];
}
REAL void *kmalloc(u size)
{
    note(2, size, size, size, RETURNS);
    yield();
    char *block = grow(size);
    yield();
    return block + 15;
}
REAL void *kzalloc(u size)
{
    note(3, size, size, size, RETURNS);
    volatile char *block = kmalloc(size);
    block[0] = 0;
    return (void *)block;
}
REAL void customer(void)
{
    kzalloc(100 + task);
    done++;
    while (done < 4)
        yield();
    asm volatile("outl %0, $0xf4" : : "a"(0));
}
void kmain(void)
{
    for (u i = 1; i < 4; i++) {
        stacks[i][1022] = (u)customer;
        saved[i] = (u)&stacks[i][1018];
    }
    customer();
}
"""


@pytest.mark.parametrize("style", STYLES, ids=" ".join)
def test_tasks_in_an_allocator_that_logs_its_callers_are_not_confused(
    style: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "tasks.toml").write_text(
        '[heap]\nalloc = ["kmalloc(size)", "kzalloc(size)"]\n[pages]\nalloc = "page_get()"\n'
    )
    machine = Machine(KernelImage.read(compile_kernel(tmp_path, CUSTOMERS, style)))
    with record_trace(machine, tmp_path / "run.kmt", read_profile(tmp_path / "tasks.toml")):
        assert machine.run(timeout_s=10).exit_value == 0
    calls = [(call.function, call.parent, call.depth) for call in Trace.read(tmp_path / "run.kmt")]
    in_tasks = [call for task in range(4) for call in (("kzalloc", 0, 0), ("kmalloc", 2 * task + 1, 1))]
    assert calls == in_tasks + [("page_get", 2 * task + 2, 2) for task in range(4)]
