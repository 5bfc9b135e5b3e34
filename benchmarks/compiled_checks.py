"""A kernel that is compiled with KASAN, against itself without; both in kmemu."""

from __future__ import annotations

import gc
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from measure import Row, at_most, least, need_tool, seconds_of
from sanitizing import recorded_seconds

from emulator import boot
from emulator.loader.builtin import kasan_stubs

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNS: Final = 5
FIRMWARE: Final = Path(__file__).parents[1] / "firmware"
_VIRTUAL: Final = {"paging", "vspace", "vmalloc"}  # not in stress
_COMMON: Final = (
    *(
        "-std=gnu11",
        "-m32",
        "-march=i686",
        "-mgeneral-regs-only",
        "-ffreestanding",
        "-fno-builtin",
        "-O2",
        "-g",
    ),
    *("-gdwarf-4", "-fno-pie", "-fno-stack-protector", "-fcf-protection=none", "-fno-omit-frame-pointer"),
    *("-fno-asynchronous-unwind-tables", "-fno-optimize-sibling-calls", "-fno-strict-aliasing"),
    *("-fno-delete-null-pointer-checks", "-fno-inline-functions", "-w", "-I."),
)
_OFFSET: Final = "0xd0000000"
_KASAN: Final = {
    "gcc": (
        *("-fsanitize=kernel-address", f"-fasan-shadow-offset={_OFFSET}", "--param=asan-stack=1"),
        *("--param=asan-globals=1", "--param=asan-instrumentation-with-call-threshold=10000"),
    ),
    "clang": (
        *("-fsanitize=kernel-address", "-mllvm", f"-asan-mapping-offset={_OFFSET}"),
        *("-mllvm", "-asan-stack=1", "-mllvm", "-asan-globals=1"),
    ),
}
_OF_GCC: Final = (
    *("-fno-inline-small-functions", "-fno-inline-functions-called-once", "-fno-partial-inlining"),
    *("-fno-ipa-sra", "-fno-ipa-cp", "-fno-ipa-icf", "-fno-ipa-ra", "-fno-reorder-blocks-and-partition"),
    "-fno-tree-loop-distribute-patterns",
)


def build_stress(folder: Path, compiler: Sequence[str], name: str) -> str:
    """Compile firmware:stress and return its file.

    Args:
        folder: Where to put it.
        compiler: With its options.
        name: Of the file.
    """
    sources = [
        *sorted((FIRMWARE / "common").glob("*.[cS]")),
        *(each for each in sorted((FIRMWARE / "litecore").glob("*.c")) if each.stem not in _VIRTUAL),
        *(FIRMWARE / "scenarios" / f"{each}.c" for each in ("scenario", "litecore", "stress")),
    ]
    objects = [str(folder / f"{name}.{each.stem}.o") for each in sources]
    for source, each in zip(sources, objects, strict=True):
        subprocess.run([*compiler, *_COMMON, "-c", "-o", each, str(source)], check=True, cwd=FIRMWARE)
    stubs, kernel = folder / "libkasan_stubs.a", folder / f"{name}.elf"
    stubs.write_bytes(kasan_stubs())
    link = ("ld", "-m", "elf_i386", "-static", "-nostdlib", "--build-id=none", "-z", "max-page-size=4096")
    script = FIRMWARE / "litecore" / "kernel.ld"
    subprocess.run([*link, "-T", str(script), "-o", str(kernel), *objects, str(stubs)], check=True)
    return str(kernel)


def boot_seconds(kernel: str) -> float:
    """Return the CPU time of a run that nobody looks at."""
    gc.collect()  # only one machine of a process has the window that makes accesses fast
    return seconds_of(boot(kernel).run)


def row(compiler: str) -> Row:
    """Compare stress by one compiler: each access checked, and the calls recorded for that."""
    need_tool(compiler, compiler)
    command = (compiler, *(_OF_GCC if compiler == "gcc" else ("--target=i386-linux-gnu",)))
    with tempfile.TemporaryDirectory(prefix="kmemu-") as directory:
        folder = Path(directory)
        kasan = build_stress(folder, (*command, *_KASAN[compiler]), "kasan")
        plain = build_stress(folder, command, "plain")
        kasan_s, plain_s, kasan_boot_s, plain_boot_s = least(
            RUNS,
            lambda: recorded_seconds(lambda: boot(kasan), checked=True),
            lambda: recorded_seconds(lambda: boot(plain), checked=True),
            lambda: boot_seconds(kasan),
            lambda: boot_seconds(plain),
        )
    ratio = kasan_s / plain_s
    return Row(
        name=f"kasan-{compiler}",
        what=f"stress compiled by {compiler} with KASAN, calls recorded, each access checked",
        measured=f"{kasan_s:.2f} s",
        peer=f"without KASAN {plain_s:.2f} s",
        ratio=ratio,
        target=at_most(ratio, 2.0, "ratio <= 2.0"),
        notes=(f"kasan-{compiler}: neither recorded nor checked {kasan_boot_s / plain_boot_s:.2f}",),
    )


def of_gcc() -> Row:
    """Inline checks of GCC."""
    return row("gcc")


def of_clang() -> Row:
    """Inline checks of Clang."""
    return row("clang")
