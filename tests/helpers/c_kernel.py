"""Kernels for tests that are compiled from C, with the options that are to be tested."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_LINKER_SCRIPT = """
ENTRY(_start)
SECTIONS
{
    . = 0x00100000;
    .text : { *(.text .text.*) }
    .rodata : { *(.rodata .rodata.*) }
    .eh_frame : { KEEP(*(.eh_frame)) }
    .data : { *(.data) }
    .bss : { *(.bss) }
    /DISCARD/ : { *(.note*) *(.comment) }
}
"""
_COMMAND = (
    *("-m32", "-march=i686", "-O2", "-std=gnu11", "-ffreestanding", "-nostdlib", "-static"),
    *(
        "-fno-pie",
        "-no-pie",
        "-fno-stack-protector",
        "-fcf-protection=none",
        "-Wl,--build-id=none,--no-warnings",
    ),
)


def compile_kernel(directory: Path, source: str, options: Iterable[str] = (), compiler: str = "gcc") -> Path:
    """Compile a kernel that begins at ``_start`` and return its file.

    Args:
        directory: Where to put it.
        source: In C.
        options: For the compiler, after ``-O2`` for i686.
        compiler: ``gcc`` or ``clang``.
    """
    code, script, output = (directory / name for name in ("kernel.c", "kernel.ld", "kernel.elf"))
    code.write_text(source)
    script.write_text(_LINKER_SCRIPT)
    command = [compiler, *_COMMAND, f"-Wl,-T,{script}", *options, "-o", str(output), str(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output
