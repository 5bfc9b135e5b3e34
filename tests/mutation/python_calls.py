"""Which test calls which function, and how long it takes: found out once, and kept until the test's file changes."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections import defaultdict
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from tests.mutation.forks import fork, silence_output

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path
    from types import CodeType, FrameType

CodeLocation = tuple[str, str]
"""File and dotted name of a function."""


class Called(NamedTuple):
    """What a test does: seconds of CPU time, and functions."""

    seconds: float
    locations: list[CodeLocation]


class _Watch:
    """A plugin of pytest.

    Args:
        folders: Whose functions are searched for.
    """

    def __init__(self, folders: tuple[str, ...]) -> None:
        self._folders: Final = folders
        self._tests: dict[str, tuple[float, set[CodeLocation]]] = {}
        self._shared: dict[str, set[CodeLocation]] = defaultdict(set)  # of fixtures of a module or more
        self.failed: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Watch one test."""
        executed: set[CodeType] = set()

        def note(frame: FrameType, _event: str, _argument: object) -> None:
            executed.add(frame.f_code)

        started = time.process_time()
        sys.settrace(note)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self._tests[item.nodeid] = time.process_time() - started, self._locations(executed)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Watch what is done for several tests at once."""
        if fixturedef.scope == "function":
            return (yield)
        executed: set[CodeType] = set()
        outer = sys.gettrace()

        def note(frame: FrameType, event: Any, argument: object) -> None:  # noqa: ANN401 - as sys.settrace has it
            executed.add(frame.f_code)
            if outer is not None:
                outer(frame, event, argument)

        sys.settrace(note)
        try:
            return (yield)
        finally:
            sys.settrace(outer)
            self._shared[request.node.nodeid] |= self._locations(executed)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note failures: the tests must pass."""
        if report.failed:
            self.failed.append(report.nodeid)

    def found(self) -> dict[str, Called]:
        """Return what each test does."""
        return {
            name: Called(
                seconds,
                sorted(
                    locations.union(*(each for node, each in self._shared.items() if name.startswith(node)))
                ),
            )
            for name, (seconds, locations) in self._tests.items()
        }

    def _locations(self, executed: set[CodeType]) -> set[CodeLocation]:
        return {location_of(code) for code in executed if code.co_filename.startswith(self._folders)}


def location_of(code: CodeType) -> CodeLocation:
    """Return what a function is known by."""
    return code.co_filename, code.co_qualname


def called_by(items: Iterable[pytest.Item], folders: tuple[str, ...], cache: Path) -> dict[str, Called]:
    """Return what each test does.

    Args:
        items: The tests, those of a file one after the other.
        folders: Whose functions are searched for.
        cache: File for what is found out. A test is run again when its own file has changed.

    Raises:
        UsageError: A test fails.
    """
    known: dict[str, Any] = json.loads(cache.read_text()) if cache.exists() else {}
    answer: dict[str, Called] = {}
    for path, tests in groupby(items, lambda item: item.path):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        here = list(tests)
        if any(known.get(item.nodeid, [""])[0] != digest for item in here):
            print(f"\r{path.name}\033[K", end="", file=sys.stderr)
            known |= {name: (digest, *called) for name, called in _run(here, folders).items()}
            cache.parent.mkdir(exist_ok=True)
            cache.write_text(json.dumps(known))
        for item in here:
            _, seconds, locations = known[item.nodeid]
            answer[item.nodeid] = Called(seconds, [(file, name) for file, name in locations])
    return answer


def _run(items: list[pytest.Item], folders: tuple[str, ...]) -> dict[str, Called]:
    """Run some tests in a process of its own, so that nothing of them is left in this one."""
    reading, writing = os.pipe()
    if not fork():
        os.close(reading)
        silence_output()
        watch = _Watch(folders)
        items[0].config.pluginmanager.register(watch)
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        with os.fdopen(writing, "w") as pipe:
            json.dump([watch.failed, watch.found()], pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        failed, found = json.load(pipe)
    os.wait()
    if failed:
        raise pytest.UsageError(f"the tests fail without a mutant, {failed[0]} first")
    return {name: Called(*called) for name, called in found.items()}
