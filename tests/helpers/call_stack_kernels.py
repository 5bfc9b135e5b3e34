"""Kernels with known call stacks, made by gcc with and without frame pointers and call frame information."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.loader.image import KernelImage
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

_SOURCE = """
#define REAL __attribute__((noinline, noclone))
static volatile unsigned seen;
REAL unsigned allocate(unsigned size) { seen += size; return seen; }
REAL unsigned outer_allocate(unsigned size)
{
    volatile unsigned room[20];
    room[size & 15] = size;
    return allocate(size) + room[size & 7];
}
REAL unsigned third(unsigned n) { volatile unsigned a[7]; a[n & 3] = n; return outer_allocate(n) + a[n & 1]; }
REAL unsigned second(unsigned n, unsigned m) { return third(n * m) + third(m) + seen; }
REAL unsigned first(unsigned n) { unsigned sum = 0; for (unsigned i = 1; i < n; i++) sum += second(n, i); return sum; }
void kmain(void) { seen = first(4); __asm__ volatile("outl %0, $0xf4" : : "a"(0)); for (;;) ; }
"""
ENTRY = """
        .section .multiboot, "a"
        .long   0x1badb002, 3, -(0x1badb002 + 3)
        .text
        .globl  _start
        .type   _start, @function
_start: movl    $0x180000, %esp
        xorl    %ebp, %ebp
        call    kmain
        .size   _start, . - _start
"""
WAYS = {
    "frame pointers alone": ["-fno-omit-frame-pointer", "-fno-asynchronous-unwind-tables"],
    ".debug_frame": ["-fomit-frame-pointer", "-g", "-fno-asynchronous-unwind-tables"],
    ".eh_frame": ["-fomit-frame-pointer", "-fasynchronous-unwind-tables"],
    ".eh_frame, small": ["-fomit-frame-pointer", "-fasynchronous-unwind-tables", "-Os"],
    "both": ["-fno-omit-frame-pointer", "-g", "-fasynchronous-unwind-tables"],
}


def compile_with(way: str, directory: Path) -> KernelImage:
    """Compile the kernel in one of `WAYS`."""
    options = ["-fno-optimize-sibling-calls", *WAYS[way]]
    return KernelImage.read(compile_kernel(directory, _SOURCE, options, entry=ENTRY))
