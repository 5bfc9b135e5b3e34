"""Machines that are made, run and thrown away in one process, whose memory must not grow."""

from __future__ import annotations

import gc
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import EmulatorError
from emulator.hle.layers import Mode, attach_layers
from emulator.loader import builtin
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.machine.memory import DEFAULT_RAM
from emulator.profile.known import matching_profile
from emulator.trace.recording import record_calls
from tests.fuzz.harness.commands import import_all
from tests.fuzz.harness.limits import resident
from tests.fuzz.harness.target import Case, Target

if TYPE_CHECKING:
    from random import Random

    from tests.fuzz.harness.limits import Meter

_KERNELS = ("demo", "overflow", "use_after_free", "btron_demo", "bad_divide")
_FIRST, _EVERY = 1_000, 1_000
_MAY_GROW = 4 << 20  # bytes: less than one machine's RAM from the 1,000th to the last
_BUDGETS = (1, 1_000, 20_000, 200_000)
_TIMEOUT_S = 5.0


class Machines(Target):
    """Each case makes one machine. All run in one process."""

    name = "machines"
    suffix = ".elf"
    count = 10_000
    cases_a_process = 1 << 40

    def __init__(self) -> None:
        self._made = 0
        self._size = 0

    def prepare(self) -> None:
        import_all()

    def make(self, random: Random) -> Case:
        kernel = random.choice(_KERNELS)
        command = (
            "boot",
            "{}",
            "--max-instructions",
            str(random.choice(_BUDGETS)),
            "--mmu",
            random.choice(("fast", "reference")),
        )
        data = Path(builtin.resolve(f"firmware:{kernel}")).read_bytes()
        return Case(data, (command,), _TIMEOUT_S, DEFAULT_RAM.end, kernel)

    def run(self, case: Case, meter: Meter, number: int) -> str:
        (_boot, _file, _option, budget, _mmu, mmu) = case.commands[0]
        with meter.watch(case.timeout_s, case.ram):
            _use(KernelImage(case.data, "kernel.elf"), int(budget), mmu, number)
        self._made += 1
        return self._measured()

    def _measured(self) -> str:
        """Compare what this process has with what it had after the first machines."""
        if self._made != _FIRST and self._made % _EVERY:
            return "ended"
        gc.collect()
        size = resident()
        if self._made >= _FIRST:
            self._size = self._size or size
            assert size <= self._size + _MAY_GROW, (
                f"{size} bytes after {self._made} machines, {self._size} after {_FIRST}"
            )
        return f"ended; then the process had {size / (1 << 20):.1f} MiB, after {self._made} machines"


def _use(image: KernelImage, budget: int, mmu: str, number: int) -> None:
    """Do something else with each of a few machines."""
    machine = Machine(image, mmu="reference" if mmu == "reference" else "fast")
    with suppress(EmulatorError):
        match number % 4:
            case 0:
                machine.run(max_instructions=budget, timeout_s=_TIMEOUT_S)
            case 1:
                with machine.snapshot():
                    machine.run(max_instructions=budget, timeout_s=_TIMEOUT_S)
                machine.snapshot()
                machine.run(max_instructions=budget)
                machine.snapshot()
            case 2:
                record_calls(machine, matching_profile(image))
                machine.run(max_instructions=budget, timeout_s=_TIMEOUT_S)
            case _ if mmu == "fast":
                layers = {"kmem": Mode.LOCKSTEP} if "btron" in image.symbols else {"heap": Mode.LOCKSTEP}
                attach_layers(machine, layers)
                machine.run(max_instructions=budget, timeout_s=_TIMEOUT_S)
