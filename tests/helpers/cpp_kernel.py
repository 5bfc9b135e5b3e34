"""Kernels in C++ with namespaces and classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

SCOPED = """
namespace sched {
    struct Queue { int head; static int made; void push(int n); };
    int Queue::made = 7;
    __attribute__((noinline)) void Queue::push(int n) { head = n; made++; }
    Queue queue = {5};
    namespace inner { Queue queue = {6}; int only = 9; struct Only { char a[10]; } alone; }
}
namespace other { int queue = 1; struct Queue { short a; } small; namespace { int hidden = 3; } }
int queue = 2;
extern "C" void kmain(void)
{
    sched::queue.push(other::queue + queue + other::hidden + sched::inner::only + sched::inner::queue.head);
    __asm__ volatile("outl %0, $0xf4" : : "a"(sizeof(sched::inner::Only) + sizeof(other::Queue))); for (;;) ;
}
"""
_START = r"""
asm(".section .multiboot, \"a\"\n.long 0x1badb002, 3, -(0x1badb002 + 3)\n.text\n.globl _start\n.type _start, @function\n"
    "_start: movl $stack + 4096, %esp\ncall kmain\n.size _start, . - _start\n.lcomm stack, 4096\n");
"""


def compile_cpp(directory: Path, source: str, compiler: str = "g++") -> Path:
    """Compile a kernel in C++, whose ``kmain`` is called, and return its file.

    Args:
        directory: Where to put it.
        source: In C++.
        compiler: ``g++`` or ``clang++``.
    """
    return compile_kernel(directory, source + _START, ["-g", "-O0", "-std=gnu++17"], compiler)
