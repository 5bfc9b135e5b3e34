"""Runs cases in QEMU and here, and says where they differ."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from emulator.loader.image import KernelImage
from emulator.machine.address_map import MIB
from emulator.machine.machine import Machine
from emulator.machine.memory import RamWindow
from tests.helpers import qemu
from tests.oracle.instructions.cases import RESULT_SIZE, RESULTS, WINDOW, Case, result_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_RUNNER = Path(__file__).parent / "runner.S"
_LINKER_SCRIPT = """
ENTRY(_start)
SECTIONS
{
    . = 0x00100000;
    .text : { KEEP(*(.multiboot)) *(.text) }
    .data : ALIGN(4096) { *(.data) }
    .bss : ALIGN(4096) { *(.bss) }
    . = 0x00200000;
    .cases : { *(.cases) }
    /DISCARD/ : { *(.note*) *(.comment) *(.eh_frame) }
}
"""
FOLLOWS = {"stack", "sum_stack", "handler_esp"}
_NAMES = ("runner.S", "cases.bin", "cases.ld", "cases.elf")


class Difference(NamedTuple):
    """A case that does not end as in QEMU.

    Attributes:
        fields: What differs -> the value here, the value in QEMU.
    """

    case: Case
    fields: dict[str, tuple[int | bytes, int | bytes]]

    @property
    def causes(self) -> set[str]:
        """The fields without those that another one's value got into, by way of the stack."""
        return self.fields.keys() - FOLLOWS or set(self.fields)

    def __str__(self) -> str:
        lines = [str(self.case)]
        for name, (ours, theirs) in self.fields.items():
            if name not in FOLLOWS or not self.causes:
                shown = [f"0x{each:x}" if isinstance(each, int) else each.hex() for each in (ours, theirs)]
                lines.append(f"    {name}: here {shown[0]}, QEMU {shown[1]}")
        return "\n".join(lines)


def image_of(cases: Sequence[Case], directory: Path) -> KernelImage:
    """Link the kernel that runs *cases*, at most `CASES_MAX` of them, into *directory*."""
    source, table, script, kernel = (directory / name for name in _NAMES)
    source.write_text(_RUNNER.read_text())
    table.write_bytes(b"".join(case.pack() for case in cases))
    script.write_text(_LINKER_SCRIPT)
    command = ["gcc", "-m32", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none,-z,max-page-size=4096"]
    command += [f"-DWINDOW={WINDOW:#x}", f"-DRESULTS={RESULTS:#x}", f"-Wa,-I{directory}"]
    subprocess.run([*command, f"-Wl,-T,{script}", "-o", kernel, source], check=True, cwd=directory)
    return KernelImage.read(str(kernel))


def differences(cases: Sequence[Case], mmu: Literal["fast", "reference"] = "fast") -> list[Difference]:
    """Run *cases* in QEMU and here.

    Args:
        cases: At most `CASES_MAX`.
        mmu: Which one runs them here.
    """
    with tempfile.TemporaryDirectory(prefix="kmemu-instructions-") as name:
        image = image_of(cases, Path(name))
        size = len(cases) * RESULT_SIZE
        theirs = qemu.inspect(Path(image.path), image.physical_entry, RESULTS + size).at_end.ram[RESULTS:]
        machine = Machine(image, ram=RamWindow(MIB, qemu.RAM_MIB * MIB), mmu=mmu)
        machine.run(timeout_s=60)
        ours = machine.memory.read(RESULTS, size)
    found = []
    for number, case in enumerate(cases):
        row = slice(number * RESULT_SIZE, (number + 1) * RESULT_SIZE)
        if ours[row] == theirs[row]:
            continue
        here, there = result_of(ours[row]), result_of(theirs[row])
        fields = {name: (here[name], there[name]) for name in here if here[name] != there[name]}
        if fields:
            found.append(Difference(case, fields))
    return found
