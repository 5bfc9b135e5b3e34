"""Compiles the kernels in C++ and Rust. Each writes the calls of its allocator to port 0xE9: that is the truth."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.helpers.debian import package_file

if TYPE_CHECKING:
    from collections.abc import Iterable

_SOURCES = Path(__file__).parent
_C = (
    "gcc",
    "-m32",
    "-O1",
    "-ffreestanding",
    "-fno-builtin",
    "-fno-tree-loop-distribute-patterns",
    "-fno-pie",
)
_CPP = (
    *("-m32", "-std=c++17", "-ffreestanding", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"),
    *("-fno-pie", "-fno-stack-protector"),
)
_LINK = ("gcc", "-m32", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none,--gc-sections")
_RUST = (  # Debian's: only the compiler that made the libraries can read them
    *(
        "/usr/bin/rustc",
        "--target",
        "i686-unknown-linux-gnu",
        "--edition",
        "2021",
        "--crate-type",
        "staticlib",
    ),
    *("-C", "panic=abort", "-C", "relocation-model=static"),
)


def cpp_kernel(directory: Path, compiler: str, options: Iterable[str]) -> Path:
    """Compile the kernel in C++.

    Args:
        directory: Where to put it.
        compiler: ``g++`` or ``clang++``.
        options: For the compiler.
    """
    objects = [directory / f"{name}.o" for name in ("arena", "kernel")]
    for each in objects:
        _run(compiler, *_CPP, *options, "-c", "-o", each, _SOURCES / f"{each.stem}.cpp")
    return _linked(directory, objects)


def rust_kernel(directory: Path, options: Iterable[str], source: str = "kernel.rs") -> Path:
    """Compile a kernel in Rust, with the libraries of Debian's package for i386.

    Args:
        directory: Where to put it.
        options: For rustc.
        source: File beside this one.
    """
    core = package_file("libstd-rust-dev", "usr/lib/rustlib/i686-unknown-linux-gnu/lib/libcore-*.rlib")
    library = directory / "libkernel.a"
    sysroot = core.parents[4]
    _run(*_RUST, "--sysroot", sysroot, *options, "-o", library, _SOURCES / source)
    return _linked(directory, [library])


def _linked(directory: Path, parts: Iterable[Path]) -> Path:
    start, kernel = directory / "start.o", directory / "kernel.elf"
    _run(*_C, "-c", "-o", start, _SOURCES / "start.c")
    _run(*_LINK, f"-Wl,-T,{_SOURCES / 'kernel.ld'}", "-o", kernel, start, *parts)
    return kernel


def _run(*command: str | Path) -> None:
    # Debian's rustc is a stable one, and a kernel says what is done when there is no memory by a feature that is not.
    environment = os.environ | {"RUSTC_BOOTSTRAP": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
