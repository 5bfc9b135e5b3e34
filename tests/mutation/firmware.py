"""Mutation tests of the guest kernels: ``make mutants``, or ``python -m tests.mutation.firmware [FILE...]``.

Theory of operation. Each file of `firmware/{litecore,btron,common}` is changed in many small ways, one at a time
(`firmware_operators`). For each the kernels are built in a copy of the tree, and the conformance tests run on the C code until one fails. A
mutant whose kernels are the same bytes as the original's, or as an earlier mutant's, is not run. The tests are collected
once; for each mutant a forked process builds and runs them.

The results are in `build/mutants.jsonl`, a line for each mutant. A run goes on after the last one; with ``--again`` it
looks at the survivors once more, which is what one wants after writing a test. The order is always the same, and a mutant's
verdict depends on nothing but sources and tests; a mutant that uses up its CPU time counts as killed.

Shortcomings. Assembly and linker scripts are not mutated. Tests outside `TESTS` may well kill what survives here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from unittest import mock

import pytest

from emulator.loader import builtin
from emulator.loader.image import KernelImage
from tests.helpers.kernels import is_btron
from tests.mutation.firmware_operators import Mutant, mutants
from tests.mutation.forks import FirstFailure, fork, silence_output
from tests.mutation.results import KILLED, SURVIVED, Results, Tried, add_options, to_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT: Final = Path(__file__).parents[2]
FIRMWARE: Final = ROOT / "firmware"
ROOMS: Final = ("litecore", "btron", "common")
RESULTS: Final = ROOT / "build" / "mutants.jsonl"
TESTS: Final = (
    "tests/conformance/test_heap.py",
    "tests/conformance/test_memmap.py",
    "tests/conformance/test_boot.py",
    "tests/conformance/btron",
    "tests/conformance/test_common.py",
    "tests/conformance/test_start.py",
    "tests/conformance/test_exclusion.py",
    "tests/conformance/test_interrupted.py",
    "tests/unit/hle/test_layers.py",
)
#: What most tests run, and those that run all others, which come last.
FIRST: Final = ("demo", "btron_demo", "btron_stress")
EVERY_KERNEL: Final = "tests/unit/hle/test_layers.py"
CPU_SECONDS: Final = 40  # of one mutant's tests; those of the original need a quarter
BOOT_SECONDS: Final = 1  # of CPU time as well; the original needs a tenth
SAME, DUPLICATE, INVALID = "same code", "duplicate", "no valid C"

#: Where the tests of a file are, if not in the one of its name: these are run first.
NEAREST: Final = {
    "memory": "test_boot",
    "boot": "test_start",
    "spinlock": "test_heap",
    "ready": "test_waiting",
    "wait": "test_waiting",
    "pools": "test_mpl",
    "task": "test_tasks",
    "calls": "test_tasks",
    **dict.fromkeys(("string", "console", "multiboot", "vga_text", "physical"), "test_common"),
}


class Case(NamedTuple):
    """A mutant of a file with the text `source`."""

    path: Path
    mutant: Mutant
    source: str

    @property
    def tried(self) -> Tried:
        """What it is known by."""
        digest = hashlib.sha256(self.source.encode()).hexdigest()[:16]
        mutant = self.mutant
        key = str(self.path), digest, *mutant
        return Tried(key, f"firmware/{self.path}", mutant.line(self.source), mutant.what(self.source))


class Verdict(NamedTuple):
    """What became of a mutant: `by` is the test that killed it; `code` a digest of the kernels' bytes."""

    verdict: str
    by: str = ""
    code: str = ""


class Workshop:
    """A copy of the firmware's sources, with what was built of them.

    Args:
        directory: An empty one, for it.
    """

    def __init__(self, directory: Path) -> None:
        self._sources = directory / "firmware"
        self.kernels = directory / "kernels"
        self.verdict = directory / "verdict.json"
        shutil.copytree(FIRMWARE, self._sources, ignore=shutil.ignore_patterns("build"))

    def change(self, case: Case) -> None:
        """Put a mutant into the sources."""
        (self._sources / case.path).write_text(case.mutant.applied(case.source))

    def build(self, names: Iterable[str]) -> bool:
        """Build kernels. Return whether that is possible."""
        command = ["make", "-s", "-C", str(self._sources), f"OUT={self.kernels}", "I386_CC=gcc -w"]
        targets = [str(self.kernels / f"{name}.elf") for name in names]
        done = subprocess.run([*command, *targets], capture_output=True, check=False)
        return done.returncode == 0

    def restore(self, case: Case) -> None:
        """Take the mutant out again."""
        (self._sources / case.path).write_text(case.source)

    def code(self, room: str) -> str:
        """Return a digest of what a room's kernels load."""
        digest = hashlib.sha256()
        for name in _of_room(room, FIRST):
            for segment in KernelImage.read(self.kernels / f"{name}.elf").segments:
                digest.update(segment.data)
        return digest.hexdigest()


def _of_room(room: str, kernels: Iterable[str]) -> list[str]:
    return [name for name in kernels if room == "common" or (room == "btron") == is_btron(name)]


class Campaign(FirstFailure):
    """A plugin of pytest that runs the collected tests once for each mutant.

    Args:
        cases: The mutants.
        results: Where to write down what becomes of them.
        workshops: One for each process.
        codes: Digests of kernels that need not be run, and what they are.
    """

    def __init__(
        self,
        cases: list[Case],
        results: Results,
        workshops: list[Workshop],
        codes: dict[tuple[str, str], str],
    ) -> None:
        self._cases = cases
        self._results = results
        self._free = workshops
        self._running: dict[int, tuple[Case, Workshop]] = {}
        self._codes = codes

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep what runs the C code."""
        items[:] = [item for item in items if _runs_c(item.nodeid)]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests for one mutant after the other, in processes of their own."""
        for number, case in enumerate(self._cases, 1):
            if not self._free:
                self._wait()
            workshop = self._free.pop()
            pid = fork()
            if not pid:
                self._try(case, workshop, session)
            self._running[pid] = case, workshop
            print(f"{number} of {len(self._cases)}: firmware/{case.path}", file=sys.stderr)
        while self._running:
            self._wait()
        return True

    def _try(self, case: Case, workshop: Workshop, session: pytest.Session) -> None:
        """Decide about a mutant; this process ends."""
        silence_output()
        verdict = self._verdict(case, workshop, session)
        workshop.verdict.write_text(json.dumps(verdict))
        os._exit(0)

    def _verdict(self, case: Case, workshop: Workshop, session: pytest.Session) -> Verdict:
        room = case.path.parts[0]
        workshop.change(case)
        if not workshop.build(_of_room(room, FIRST)):
            return Verdict(INVALID)
        code = workshop.code(room)
        if (room, code) in self._codes:
            return Verdict(self._codes[room, code])
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        mock.patch(
            "time.monotonic", time.process_time
        ).start()  # for the plugin's deadlines: the machine may be busy
        builtin._DIRECTORY = str(workshop.kernels)  # noqa: SLF001 - the tests shall find the mutants there
        items = _in_order(session.items, case.path)
        for index, item in enumerate(items):
            if item.nodeid.startswith(EVERY_KERNEL):
                workshop.build(_of_room(room, builtin.KERNELS))
            following = items[index + 1] if index + 1 < len(items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                return Verdict(KILLED, self.failed, code)
        return Verdict(SURVIVED, "", code)

    def _wait(self) -> None:
        """Wait for a process to end, and write down what it found."""
        pid, status = os.wait()
        case, workshop = self._running.pop(pid)
        if os.WIFSIGNALED(status):
            verdict = Verdict(KILLED, f"signal {os.WTERMSIG(status)}")
        else:
            verdict = Verdict(*json.loads(workshop.verdict.read_text()))
        if verdict.code:
            self._codes.setdefault((case.path.parts[0], verdict.code), DUPLICATE)
        workshop.verdict.unlink(missing_ok=True)
        workshop.restore(case)
        self._free.append(workshop)
        self._results.add(case.tried, **verdict._asdict())


def _runs_c(nodeid: str) -> bool:
    if "test_layers" in nodeid:
        return "alike" in nodeid and "MODEL" not in nodeid and "NATIVE" not in nodeid
    return "[model" not in nodeid and "-model" not in nodeid and "MODEL" not in nodeid


def _in_order(items: list[pytest.Item], path: Path) -> list[pytest.Item]:
    """Return the tests of a file's room, the nearest ones first."""
    room = path.parts[0]
    nearest = NEAREST.get(path.stem, f"test_{path.stem}")
    own = [item for item in items if room == "common" or "interrupted" in item.nodeid or _room(item) == room]
    return sorted(own, key=lambda item: nearest not in item.nodeid)


def _room(item: pytest.Item) -> str:
    return "btron" if "btron" in item.nodeid else "litecore"


def _all_cases(files: list[str]) -> Iterator[Case]:
    for room in ROOMS:
        for path in sorted((FIRMWARE / room).glob("*.[ch]")):
            relative = path.relative_to(FIRMWARE)
            if files and str(relative) not in files:
                continue
            source = path.read_text()
            for mutant in mutants(source):
                yield Case(relative, mutant, source)


def main() -> int:
    """Run what has not been run yet, and print the table."""
    parser = argparse.ArgumentParser(description="Mutation tests of the guest kernels.")
    add_options(parser, "litecore/heap.c")
    options = parser.parse_args()
    results = Results(RESULTS)
    cases = list(_all_cases(options.files))[:: options.every]
    unknown = [case for case in cases if to_run(options, results.of(case.tried), (SURVIVED,))]
    if unknown:
        with tempfile.TemporaryDirectory(prefix="kmemu-mutants-") as directory:
            _run(unknown, results, Path(directory), options.jobs)
    verdicts = (KILLED, SURVIVED, SAME, DUPLICATE, INVALID)
    results.print_table((case.tried for case in cases), verdicts, (SURVIVED,))
    return 0


def _run(cases: list[Case], results: Results, directory: Path, jobs: int) -> None:
    workshops = []
    codes = {}
    for number in range(jobs):
        folder = directory / str(number)
        folder.mkdir()
        workshops.append(Workshop(folder))
        if not workshops[-1].build(builtin.KERNELS):
            raise SystemExit("the kernels cannot be built; see: make firmware")
        codes = {(room, workshops[-1].code(room)): SAME for room in ROOMS}
    options = [
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
        "-s",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "-o",
        f"kmemu_timeout={BOOT_SECONDS}",
    ]
    status = pytest.main([*options, *TESTS], plugins=[Campaign(cases, results, workshops, codes)])
    if status not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        raise SystemExit(f"the tests cannot be run: {status!r}")


if __name__ == "__main__":
    sys.exit(main())
