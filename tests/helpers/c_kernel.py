"""Kernels for tests that are compiled from C, with the options that are to be tested."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LINKER_SCRIPT = """
ENTRY(_start)
SECTIONS
{
    . = 0x00100000;
    .text : { KEEP(*(.multiboot)) *(.text .text.*) }
    .rodata : { *(.rodata .rodata.*) }
    .eh_frame : { KEEP(*(.eh_frame)) }
    .data : { *(.data .data.*) }
    .bss : { *(.bss .bss.* COMMON) }
    /DISCARD/ : { *(.note*) *(.comment) }
}
"""
"""A kernel at 1 MiB that begins at ``_start``."""

_COMMAND = (
    *("-m32", "-march=i686", "-O2", "-std=gnu11", "-ffreestanding", "-nostdlib", "-static"),
    *("-fno-pie", "-no-pie", "-fno-stack-protector", "-fcf-protection=none"),
    "-Wl,--build-id=none,--no-warnings,-T,kernel.ld",
)


def compile_kernel(
    directory: Path,
    source: str,
    options: Iterable[str] = (),
    compiler: str = "gcc",
    *,
    entry: str = "",
    libraries: Iterable[object] = (),
) -> Path:
    """Compile a kernel that begins at ``_start`` and return its file.

    Args:
        directory: Where to put it.
        source: In C.
        options: For the compiler, after ``-O2`` for i686.
        compiler: ``gcc`` or ``clang``.
        entry: In assembly; "": the source has all.
        libraries: Files that it is linked with.
    """
    files = {"kernel.c": source, **({"entry.S": entry} if entry else {})}
    for name, text in {**files, "kernel.ld": LINKER_SCRIPT}.items():
        (directory / name).write_text(text)
    command = [compiler, *_COMMAND, *options, "-o", "kernel.elf", *files, *map(str, libraries)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return directory / "kernel.elf"
