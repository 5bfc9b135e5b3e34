"""The cells of the matrix: a compiler, and how it is told to compile; a kernel is built in each."""

from __future__ import annotations

import subprocess
from enum import Enum
from itertools import combinations, product
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.helpers.c_kernel import LINKER_SCRIPT
from tests.matrix.kernel import ALLOCATORS, sources

if TYPE_CHECKING:
    from pathlib import Path

_ALWAYS: Final = (
    *("-m32", "-march=i686", "-std=gnu11", "-ffreestanding", "-fno-pie", "-fno-stack-protector", "-w"),
    *("-fcf-protection=none",),
)
_LEFT_OUT_OF_LTO: Final = ("log.c", "main.c")  # which assembly enters

COMPILERS: Final = ("gcc", "clang")
LEVELS: Final = ("-O0", "-O1", "-O2", "-O3", "-Os")
FRAMES: Final = ("", "-fno-omit-frame-pointer", "-fomit-frame-pointer")
TABLES: Final = ("", "-fno-asynchronous-unwind-tables")
LTO: Final = ("", "-flto")
CONVENTIONS: Final = ("", "-mregparm=3")
DEBUG: Final = {
    "dwarf-4": ("-g", "-gdwarf-4"),
    "dwarf-5": ("-g", "-gdwarf-5"),
    "split": ("-g", "-gdwarf-5", "-gsplit-dwarf"),
    "compressed": ("-g", "-gz=zlib"),
    "stripped": ("-g",),
    "none": (),
}
"""What is left of debug information, and the options for it. Stripped: it is in a file of its own."""


_REMOVED: Final = {
    "from.request",
    "six.unused",
    "idle.zone",
    "idle.unused",
}  # or replaced, by compilers that optimize
_UNREAD: Final = {"six.unused", "idle.zone", "idle.unused"}
_SHIFTED: Final = {"wide.size"}  # after a parameter of two words, which only debug information tells of
_IN_REGISTERS: Final = {"in_registers.size", "in_registers.flags", "fast.size", "fast.flags", "fast.third"}
_EVERYTHING: Final = {f"{each.name}.{parameter}" for each in ALLOCATORS for parameter in each.parameters}


class Stacks(Enum):
    """What can be known of call stacks."""

    WHOLE = "all callers"
    WITHOUT_INLINED = "no debug information is read that tells of inlined ones"
    MAY_END_EARLY = "nothing but the code says how to find callers: only the innermost may be known"


class Cell(NamedTuple):
    """How a kernel is compiled: one of each of the above."""

    compiler: str
    level: str
    frame: str
    tables: str
    lto: str
    convention: str
    debug: str

    @property
    def stacks(self) -> Stacks:
        """What of its call stacks can be known."""
        has_unwind_tables = self.compiler == "gcc" and not self.tables  # clang makes them for debuggers only
        if self.debug == "none" and not has_unwind_tables:
            return Stacks.MAY_END_EARLY
        return Stacks.WITHOUT_INLINED if self.debug in ("none", "split") else Stacks.WHOLE

    @property
    def may_be_unknown(self) -> set[str]:
        """Parameters that kmemu may say it does not know, as ``function.parameter``."""
        if self._has_debug_information:
            return set() if self.level == "-O0" and not self.lto else _REMOVED
        if self.level == "-O0" and not self.convention and not self.lto:
            return _UNREAD | _SHIFTED | _IN_REGISTERS
        return _EVERYTHING | {"take.size"}  # of which file is not known

    @property
    def may_be_inlined_silently(self) -> set[str]:
        """Functions of which nothing in the file may say that they are inlined."""
        return set() if self._has_debug_information else {"part", "inlined"}

    @property
    def _has_debug_information(self) -> bool:
        is_lost = self.debug == "split" and self.lto  # the compilers leave nothing that could be read
        return self.debug != "none" and not is_lost

    def __str__(self) -> str:
        return " ".join(filter(None, self))


class Built(NamedTuple):
    """The kernel of a cell, and the file with its symbols; None: they are in the kernel itself."""

    kernel: Path
    symbols: Path | None


def all_cells() -> list[Cell]:
    """Return every cell."""
    return [Cell(*each) for each in product(COMPILERS, LEVELS, FRAMES, TABLES, LTO, CONVENTIONS, DEBUG)]


def sampled_cells() -> list[Cell]:
    """Return few cells in which each option of each dimension meets each of every other one."""
    cells = all_cells()
    missing = {pair for cell in cells for pair in _pairs(cell)}
    sample: list[Cell] = []
    while missing:
        best = max(cells, key=lambda cell: len(missing.intersection(_pairs(cell))))
        missing.difference_update(_pairs(best))
        sample.append(best)
    return sample


def build(cell: Cell, folder: Path, seed: int) -> Built:
    """Build the kernel of a cell.

    Args:
        cell: How.
        folder: Where.
        seed: Of its source.
    """
    files = sources(seed)
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "kernel.ld").write_text(LINKER_SCRIPT)
    options = [
        *_ALWAYS,
        cell.level,
        *filter(None, cell[2:4]),
        *filter(None, [cell.convention]),
        *DEBUG[cell.debug],
    ]
    for name in files:
        if name.endswith(".c"):
            lto = [cell.lto] if cell.lto and name not in _LEFT_OUT_OF_LTO else []
            _run(folder, cell.compiler, *options, *lto, "-c", name)
    linker = ["-fuse-ld=lld"] if cell.compiler == "clang" else ["-no-pie"]
    linked = ["-static", "-nostdlib", "-Wl,-T,kernel.ld,--build-id=none", *filter(None, [cell.lto])]
    objects = [name.replace(".c", ".o") for name in files if name.endswith(".c")]
    _run(folder, cell.compiler, *options, *linker, *linked, "-o", "kernel.elf", *objects)
    if cell.debug != "stripped":
        return Built(folder / "kernel.elf", None)
    _run(folder, "objcopy", "--only-keep-debug", "kernel.elf", "symbols.elf")
    _run(folder, "objcopy", "--strip-all", "kernel.elf", "stripped.elf")
    return Built(folder / "stripped.elf", folder / "symbols.elf")


def _pairs(cell: Cell) -> set[tuple[tuple[int, str], ...]]:
    return set(combinations(enumerate(cell), 2))


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
