"""Random page tables and accesses through them (firmware/devices/paging_random.c), on both MMUs, on QEMU, and read from Python."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from emulator.loader.image import KernelImage
from emulator.machine.consoles import Console
from emulator.machine.machine import Machine
from emulator.machine.memory import RamWindow
from tests.fuzz.harness.target import Case, Target
from tests.helpers import qemu

if TYPE_CHECKING:
    from random import Random

    from tests.fuzz.harness.limits import Meter

_FIRMWARE = Path(__file__).parents[3] / "firmware"
_NAME = "paging_random.elf"
_CASES, _TIMEOUT_S = 200, 60.0
_MIB, _PAGE = 1 << 20, 1 << 12
_WINDOW, _PAGES = 0x40000000, 8


class Pages(Target):
    """Each case is a run of the kernel with another seed, which makes 200 address spaces of 12 accesses each."""

    name = "pages"
    suffix = ".elf"
    count = 100
    cases_a_process = 50

    @cached_property
    def _kernel(self) -> bytes:
        with tempfile.TemporaryDirectory(prefix="kmemu-pages-") as build:
            make = shutil.which("make") or "make"
            target = f"{build}/devices/{_NAME}"
            subprocess.run([make, "-s", "-C", str(_FIRMWARE), f"BUILD={build}", target], check=True)
            return Path(target).read_bytes()

    def prepare(self) -> None:
        self._kernel  # noqa: B018 - built before the workers are made

    def make(self, random: Random) -> Case:
        words = f"seed={random.randrange(1, 1 << 32)} cases={_CASES}"
        command = ("boot", "{}", "--cmdline", words, "--ram", "15M", "--timeout", str(_TIMEOUT_S))
        return Case(self._kernel, (command,), _TIMEOUT_S, qemu.RAM_MIB * _MIB, words)

    def run(self, case: Case, meter: Meter, _number: int) -> str:
        path = Path(_NAME).absolute()
        path.write_bytes(case.data)
        theirs = qemu.run_to_exit(path, case.note).serial.decode().splitlines()
        with meter.watch(case.timeout_s, case.ram):
            for mmu in ("fast", "reference"):
                _compare(_lines(case, mmu), theirs, mmu)
        return "the same"


def _lines(case: Case, mmu: Literal["fast", "reference"]) -> list[str]:
    machine = Machine(
        KernelImage(case.data, _NAME),
        ram=RamWindow(_MIB, qemu.RAM_MIB * _MIB),
        command_line=case.note,
        mmu=mmu,
    )
    machine.run(timeout_s=case.timeout_s)
    _compare_with_python(machine)
    return bytes(machine.output[Console.SERIAL]).decode().splitlines()


def _compare_with_python(machine: Machine) -> None:
    """What Python reads from the tables at the end is what the CPU reads."""
    space = machine.address_space()
    addresses = [_WINDOW + page * _PAGE + 5 for page in range(-1, _PAGES)]
    assert space.translate_all(addresses) == [machine.cpu.translate(each) for each in addresses]


def _compare(ours: list[str], theirs: list[str], mmu: str) -> None:
    assert ours[-1:] == ["done"], f"{mmu}: {ours[-1:]}"
    assert len(ours) == len(theirs), f"{mmu}: {len(ours)} lines, QEMU {len(theirs)}"
    for mine, other in zip(ours, theirs, strict=True):
        pairs = zip(mine.split(), other.split(), strict=True)
        assert mine == other, f"{mmu}: {next(pair for pair in pairs if pair[0] != pair[1])} in {mine}"
