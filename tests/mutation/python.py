"""Mutation tests of the Python code: ``python -m tests.mutation.python [FILE...]``, a part of ``make mutants``.

Theory of operation. The functions of `ROOMS` are changed in many small ways, one at a time (`python_operators`). The tests are
collected once, and run once to see which test calls which function (`python_calls`). For each mutant a forked process gives the
function its changed code and runs the tests that call it, the quickest first, until one fails. Nothing is written to the sources.

The results are in `build/mutants-python.jsonl`, a line for each mutant. A run goes on after the last one, also after a change
of other functions; with ``--again`` it looks at what is alive once more, which is what one wants after writing a test. A mutant
that uses up its CPU time counts as killed.

Shortcomings. What is outside of functions is not mutated: constants, defaults of parameters, decorators. Tests that start processes
see no mutant. Of the tests that call a function only as many are run as take `TESTS_SECONDS` in all.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import signal
import sys
import zlib
from collections import defaultdict
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest
from hypothesis import Phase, settings

from tests.mutation.forks import FirstFailure, fork, silence_output
from tests.mutation.python_calls import CodeLocation, called_by, location_of
from tests.mutation.python_operators import Mutant, mutants
from tests.mutation.results import KILLED, SURVIVED, Results, Tried, add_options, to_run

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
CALLS: Final = ROOT / "build" / "mutants-calls.json"
RESULTS: Final = ROOT / "build" / "mutants-python.jsonl"
ROOMS: Final = {
    "kernel_model": (
        "tests/unit/kernel_model",
        "tests/unit/guest/memory_map",
        "tests/unit/check/structures",
        "tests/conformance",
    ),
    "emulator/check": ("tests/unit/check", "tests/unit/cli/commands/test_check.py"),
    "emulator/inject": ("tests/unit/inject", "tests/unit/cli/commands/test_check_injection.py"),
    "emulator/verdict": ("tests/unit/verdict", "tests/unit/cli/commands/test_check_output.py"),
    "emulator/hle": ("tests/unit/hle",),
}
TESTS_SECONDS: Final = 5.0
UNSEEN, INVALID = "no test", "invalid"
ALIVE: Final = (SURVIVED, UNSEEN)


class Case(NamedTuple):
    """A mutant of a file."""

    path: str
    mutant: Mutant

    @property
    def tried(self) -> Tried:
        """What it is known by; changes of other functions do not matter to that."""
        mutant = self.mutant
        key = self.path, mutant.function, mutant.digest, mutant.number
        return Tried(key, self.path, mutant.line, mutant.what)

    def of_sample(self, every: int) -> bool:
        """Return whether it is one of *every* so many."""
        return zlib.crc32(repr(self.tried.key).encode()) % every == 0

    def code(self) -> CodeType:
        """Return the changed code of the outermost function that it is in."""
        path = ROOT / self.path
        tree = next(tree for mutant, tree in mutants(path.read_text()) if mutant == self.mutant)
        found = [compile(tree, str(path), "exec", dont_inherit=True)]
        for name in self.mutant.function.split("."):
            inner = [each for outer in found for each in outer.co_consts if isinstance(each, CodeType)]
            found = [each for each in inner if each.co_name == name]
        return next(each for each in found if _has_line(each, self.mutant.line))


def _has_line(code: CodeType, line: int) -> bool:
    """Return which of the functions with the same name, such as a property's, it is."""
    lines = [each for *_, each in code.co_lines() if each is not None]
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return code.co_firstlineno <= line <= max(lines) or any(_has_line(each, line) for each in inner)


class Campaign(FirstFailure):
    """A plugin of pytest that runs the collected tests for each mutant.

    Args:
        cases: The mutants.
        results: Where to write down what becomes of them.
        jobs: How many processes.
    """

    def __init__(self, cases: list[Case], results: Results, jobs: int) -> None:
        self._cases = cases
        self._results = results
        self._jobs = jobs
        self._running: dict[int, tuple[Case, int]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep what runs a model, where the same test runs the C code, too."""
        items[:] = [item for item in items if "conformance" not in item.nodeid or "model" in item.name]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests for one mutant after the other, in processes of their own."""
        callers = _callers(session)
        functions = _functions({case.path for case in self._cases})
        for number, case in enumerate(self._cases, 1):
            print(f"\r{number} of {len(self._cases)}: {case.path}\033[K", end="", file=sys.stderr)
            code = case.code()
            location = location_of(code)
            if not callers[location] or not functions[location]:
                self._results.add(case.tried, UNSEEN)
                continue
            if len(self._running) == self._jobs:
                self._wait()
            reading, writing = os.pipe()
            pid = fork()
            if not pid:
                verdict = self._verdict(code, functions[location], callers[location])
                os.write(writing, json.dumps(verdict).encode())
                os._exit(0)
            os.close(writing)
            self._running[pid] = case, reading
        while self._running:
            self._wait()
        return True

    def _verdict(
        self, code: CodeType, functions: list[FunctionType], tests: list[tuple[float, pytest.Item]]
    ) -> tuple[str, str]:
        """Return what becomes of a mutant, and which test killed it. This process is of no use afterwards."""
        silence_output()
        try:
            for function in functions:
                function.__code__ = code
        except ValueError:  # the change took a variable away that the function has from outside
            return INVALID, ""
        chosen = _affordable(tests)
        signal.setitimer(signal.ITIMER_PROF, 5 + 3 * sum(seconds for seconds, _ in chosen))
        items = [item for _, item in chosen]
        for item, following in zip(items, [*items[1:], None], strict=True):
            try:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            except BaseException as error:  # noqa: BLE001 - pytest itself is to stop, or stumbles
                return KILLED, f"{item.nodeid}: {error!r}"
            if self.failed:
                return KILLED, self.failed
        return SURVIVED, ""

    def _wait(self) -> None:
        """Wait for a process to end, and write down what it found."""
        pid, status = os.wait()
        case, reading = self._running.pop(pid)
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        verdict, by = json.loads(text) if text else (KILLED, f"status {status}")
        self._results.add(case.tried, verdict, by=by)


def _callers(session: pytest.Session) -> dict[CodeLocation, list[tuple[float, pytest.Item]]]:
    """Return the tests of each function, with their seconds, the quickest first."""
    items = {item.nodeid: item for item in session.items}
    called = called_by(session.items, tuple(f"{ROOT / room}/" for room in ROOMS), CALLS)
    callers: dict[CodeLocation, list[tuple[float, pytest.Item]]] = defaultdict(list)
    for name, (seconds, locations) in sorted(called.items(), key=lambda each: (each[1].seconds, each[0])):
        for location in locations:
            callers[location].append((seconds, items[name]))
    return callers


def _affordable(tests: list[tuple[float, pytest.Item]]) -> list[tuple[float, pytest.Item]]:
    """Return the first tests, at least one."""
    left = TESTS_SECONDS
    for count, (seconds, _) in enumerate(tests):
        left -= seconds
        if count and left < 0:
            return tests[:count]
    return tests


def _functions(paths: set[str]) -> dict[CodeLocation, list[FunctionType]]:
    """Return all functions that there are, by where they are written; some files may not be imported yet."""
    for path in paths:
        importlib.import_module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    found: dict[CodeLocation, list[FunctionType]] = defaultdict(list)
    gc.unfreeze()  # what pytest has collected is left out of those of the garbage collector else
    for each in gc.get_objects():
        if isinstance(each, FunctionType):
            found[location_of(each.__code__)].append(each)
    return found


def _cases(room: str, options: argparse.Namespace) -> Iterator[Case]:
    for path in sorted((ROOT / room).rglob("*.py")):
        relative = str(path.relative_to(ROOT))
        if not options.files or relative in options.files:
            for mutant, _ in mutants(path.read_text()):
                case = Case(relative, mutant)
                if case.of_sample(options.every):
                    yield case


def main() -> int:
    """Run what has not been run yet, and print the table."""
    parser = argparse.ArgumentParser(description="Mutation tests of the Python code.")
    add_options(parser, "emulator/check/structures/corruption.py")
    options = parser.parse_args()
    results = Results(RESULTS)
    everything: list[Tried] = []
    for room, tests in ROOMS.items():
        cases = list(_cases(room, options))
        unknown = [case for case in cases if to_run(options, results.of(case.tried), ALIVE)]
        if unknown:
            _run(Campaign(unknown, results, options.jobs), tests)
        everything += [case.tried for case in cases]
    results.print_table(everything, (KILLED, SURVIVED, UNSEEN, INVALID), ALIVE)
    return 0


def _run(campaign: Campaign, tests: tuple[str, ...]) -> None:
    settings.register_profile(  # a failure is enough, it need not be small
        "mutants", derandomize=True, database=None, deadline=None, phases=(Phase.explicit, Phase.generate)
    )
    settings.load_profile("mutants")
    options = ["-q", "-s", "--no-header", "-p", "no:cacheprovider"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options += ["--ignore=tests/unit/inject/test_campaign.py"]  # works in processes of its own
    os.chdir(ROOT)
    if pytest.main([*options, *tests], plugins=[campaign]):
        raise SystemExit("the tests cannot be run")


if __name__ == "__main__":
    sys.exit(main())
