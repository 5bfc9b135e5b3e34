"""The i386's rules of paging, one by one: the self-tests print the same on both MMUs and on QEMU."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

import pytest

from emulator.loader.image import KernelImage
from emulator.machine.consoles import Console
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine
from emulator.machine.memory import RamWindow
from tests.helpers import qemu

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
OPTIONS: dict[str, tuple[str, ...]] = {
    "paging": (),
    "paging_pae": ("-cpu", "qemu32,+nx"),
    "paging_restarts": (),
    "paging_stacks": (),
    "paging_descriptors": (),
    "paging_tables": (),
}
"""For QEMU, by the name of a self-test in firmware/devices."""
READS_NOTHING = "paging_tables"  # where Unicorn's own MMU ends the run
CASES = [
    (area, mmu)
    for area in OPTIONS
    for mmu in ("fast", "reference")
    if (area, mmu) != (READS_NOTHING, "reference")
]


@cache
def on_qemu(kernel: Path) -> qemu.Ended:
    return qemu.run_to_exit(kernel, options=OPTIONS[kernel.stem])


@pytest.mark.parametrize(("area", "mmu"), CASES)
def test_a_self_test_prints_what_it_prints_in_qemu(
    area: str, mmu: Literal["fast", "reference"], built: Path
) -> None:
    kernel = built / f"{area}.elf"
    theirs = on_qemu(kernel)
    machine = Machine(KernelImage.read(kernel), ram=RamWindow(MIB, qemu.RAM_MIB * MIB), mmu=mmu)
    outcome = machine.run(timeout_s=60)
    lines = bytes(machine.output[Console.SERIAL]).decode().splitlines()
    differences = [
        pair for pair in zip(lines, theirs.serial.decode().splitlines(), strict=True) if pair[0] != pair[1]
    ]
    assert not differences
    assert lines[-1] == "done"
    assert (outcome.ending, outcome.exit_code) == (Returned.EXIT, theirs.exit_code)
