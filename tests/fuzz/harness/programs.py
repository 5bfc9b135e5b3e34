"""Random programs on kernels with an allocator each (`tests/property/kernels`): correct ones, and ones with one mistake."""

from __future__ import annotations

import tempfile
from functools import cached_property
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.fuzz.harness.target import Case, Target
from tests.helpers.random_programs import BUILDS, KINDS, compiled, correct, faulty, problems

if TYPE_CHECKING:
    from tests.fuzz.harness.limits import Meter
    from tests.helpers.random_programs import Kernel, Program

_RAM: Final = 4 << 20
_TIMEOUT_S: Final = 60.0
_LONGEST: Final = 200  # choices
_FAULTY: Final = 1 / 2


class _Made(NamedTuple):
    """A program for a kernel, and the mistake in it; "" for none."""

    kernel: Kernel
    program: Program
    mistake: str


class Programs(Target):
    """Each case is a program: a check has to find nothing in it, or the mistake that was planted."""

    name = "programs"
    suffix = ".elf"
    count = 1000 * 2 * len(KINDS)
    cases_a_process = 100

    @cached_property
    def _kernels(self) -> list[Kernel]:
        with tempfile.TemporaryDirectory(prefix="kmemu-programs-") as folder:
            return [compiled(kind, Path(folder), build) for kind in KINDS for build in BUILDS]

    def prepare(self) -> None:
        self._kernels  # noqa: B018 - built before the workers are made

    def make(self, random: Random) -> Case:
        seed = random.getrandbits(32)
        made = self._made(seed)
        profile = f"tests/property/kernels/{made.kernel.kind.name}.toml"
        note = f"{made.kernel.kind.name}, {made.mistake or 'correct'}, {seed}"
        data = made.kernel.image(made.program).data
        return Case(data, (("check", "{}", "--profile", profile),), _TIMEOUT_S, _RAM, note)

    def run(self, case: Case, meter: Meter, _number: int) -> str:
        kernel, program, mistake = self._made(int(case.note.split()[-1]))
        with meter.watch(case.timeout_s, case.ram):
            report = kernel.run(program)
        wrong = "; ".join(problems(program, report, mistake))
        assert not wrong, wrong
        return f"{kernel.kind.name}: {mistake or 'correct'}"

    def _made(self, seed: int) -> _Made:
        random = Random(seed)
        kernel = random.choice(self._kernels)
        numbers = iter(lambda: random.randrange(1 << 16), None)
        choices = list(
            islice(zip(numbers, numbers, numbers, numbers, strict=False), random.randint(1, _LONGEST))
        )
        mistake = random.choice(kernel.kind.mistakes) if random.random() < _FAULTY else ""
        program = faulty(kernel.kind, choices, mistake, random.randrange(len(choices))) if mistake else None
        if program is None:
            return _Made(kernel, correct(kernel.kind, choices), "")
        return _Made(kernel, program, mistake)
