"""Kernels that are compiled with -fsanitize=kernel-address and linked with kmemu's stubs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import emulator
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from collections.abc import Iterable

STUBS: Final = Path(emulator.__file__).parent / "_firmware" / "libkasan_stubs.a"
OFFSET: Final = 0xD000_0000
"""Of the shadow, as the stubs have it."""


class Build(NamedTuple):
    """A way to compile with KASAN.

    Attributes:
        compiler: ``gcc`` or ``clang``.
        is_inline: Checks are part of the code; else functions are called for them.
    """

    compiler: str
    is_inline: bool

    def options(self, offset: int = OFFSET) -> tuple[str, ...]:
        """Return the options that docs/check.md names."""
        threshold = f"asan-instrumentation-with-call-threshold={10000 if self.is_inline else 0}"
        if self.compiler == "gcc":
            where = f"-fasan-shadow-offset={offset:#x}"
            scope = "-fsanitize-address-use-after-scope"
            parameters = ("--param=asan-stack=1", "--param=asan-globals=1", f"--param={threshold}")
            return ("-fsanitize=kernel-address", where, scope, *parameters)
        parts = (
            *(f"-asan-mapping-offset={offset:#x}", "-asan-stack=1", "-asan-globals=1"),
            *("-asan-use-after-scope=1", f"-{threshold}"),
        )
        return ("-fsanitize=kernel-address", *(word for each in parts for word in ("-mllvm", each)))


BUILDS: Final = {
    "gcc-inline": Build("gcc", is_inline=True),
    "gcc-outline": Build("gcc", is_inline=False),
    "clang-inline": Build("clang", is_inline=True),
    "clang-outline": Build("clang", is_inline=False),
}

START: Final = r"""
typedef unsigned int u32; typedef unsigned short u16; typedef unsigned char u8;
#define apart __attribute__((noinline))
apart void use(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }
__attribute__((noreturn)) void leave(u32 value)
{
    __asm__ volatile("outl %0, %w1" : : "a"(value), "d"(0xf4));
    for (;;) __asm__ volatile("cli; hlt");
}
u8 stack[16384];
__asm__(".section .multiboot, \"a\"; .align 4; .long 0x1BADB002, 3, -(0x1BADB002 + 3); .text\n"
        ".global _start; .type _start, @function; _start: mov $stack + 16384, %esp; call kmain; .size _start, . - _start");
"""
"""The beginning of a kernel in C, whose ``kmain`` is called, and may call ``leave``."""


def stubs_at(offset: int) -> str:
    """Return the option that links the stubs for a shadow at another offset."""
    return ",".join(("-Wl", "--defsym", f"kmemu_kasan_offset={offset:#x}"))


def compile_kasan(
    directory: Path,
    source: str,
    build: Build,
    options: Iterable[str] = (),
    *,
    offset: int = OFFSET,
    libraries: Iterable[object] = (STUBS,),
) -> Path:
    """Compile a kernel with KASAN and return its file.

    Args:
        directory: Where to put it.
        source: In C; `START` is put before it.
        build: How.
        options: For the compiler, besides.
        offset: Of the shadow, as the code has it.
        libraries: That it is linked with.
    """
    given = ("-mgeneral-regs-only", "-g", "-fno-omit-frame-pointer", *build.options(offset), *options)
    return compile_kernel(directory, START + source, given, build.compiler, libraries=libraries)
