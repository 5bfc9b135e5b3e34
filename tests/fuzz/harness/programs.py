"""Random programs on kernels with an allocator each (`tests/property/kernels`): correct ones, and ones with one mistake."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
import weakref
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.fuzz.harness.target import Case, Target
from tests.helpers.random_programs import KINDS, Kernel, compiled, correct, faulty, problems

if TYPE_CHECKING:
    from tests.fuzz.harness.limits import Meter
    from tests.helpers.random_programs import Kind, Program

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
    cases_a_process = 25

    def prepare(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="kmemu-programs-")
        weakref.finalize(self, shutil.rmtree, self._folder)

    def _kernel(self, kind: Kind, build: tuple[str, ...]) -> Kernel:
        """Return a kernel, which the first process that needs it compiles."""
        file = Path(self._folder, f"{kind.name} {' '.join(build)}")
        if not file.exists():
            with tempfile.TemporaryDirectory(prefix="kmemu-programs-") as folder:
                kernel = compiled(kind, Path(folder), build)
            new = file.with_suffix(f".{os.getpid()}")
            new.write_bytes(pickle.dumps((kernel.data, kernel.profile)))
            new.rename(file)
        data, profile = pickle.loads(file.read_bytes())  # noqa: S301 - our own file
        return Kernel(kind, build, data, profile)

    def make(self, random: Random) -> Case:
        seed = random.getrandbits(32)
        made = self._made(seed)
        profile = f"tests/property/kernels/{made.kernel.kind.name}.toml"
        note = f"{made.kernel.kind.name}, {' '.join(made.kernel.build)}, {made.mistake or 'correct'}, {seed}"
        data = made.kernel.file(made.program)
        return Case(data, (("check", "{}", "--profile", profile),), _TIMEOUT_S, _RAM, note)

    def run(self, case: Case, meter: Meter, _number: int) -> str:
        kernel, program, mistake = self._made(int(case.note.split()[-1]))
        with meter.watch(case.timeout_s, case.ram):
            run = kernel.run(program)
        wrong = "; ".join(problems(program, run, kernel.build, mistake))
        assert not wrong, wrong
        return f"{kernel.kind.name}: {mistake or 'correct'}"

    def _made(self, seed: int) -> _Made:
        random = Random(seed)
        kind = random.choice(KINDS)
        kernel = self._kernel(kind, random.choice(kind.builds))
        numbers = iter(lambda: random.randrange(1 << 16), None)
        choices = list(
            islice(zip(numbers, numbers, numbers, numbers, strict=False), random.randint(1, _LONGEST))
        )
        mistake = random.choice(kind.mistakes) if random.random() < _FAULTY else ""
        program = faulty(kind, choices, mistake, random.randrange(len(choices))) if mistake else None
        if program is None:
            return _Made(kernel, correct(kind, choices), "")
        return _Made(kernel, program, mistake)
