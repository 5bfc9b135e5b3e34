"""Running the command inside this process, and what must hold for it whatever its input is."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import emulator
import kernel_model
from emulator.cli.main import main
from emulator.cli.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fuzz.harness.limits import Meter
    from tests.fuzz.harness.target import Case

OUT, ERR = 1, 2
_ALLOWED = (Status.GOOD, Status.FINDINGS, Status.NOT_RUN, Status.BUDGET)
_NO_SUCH_EVENT = "kmemu: there is no event "  # the damaged kernel has fewer, so the command line was wrong
_FEW_LINES = (
    5  # of complaints: about two functions that are inlined, calls that never came, memory, and the run
)


class Done(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str


def import_all() -> None:
    """Import what the commands need, so that no case has to wait for it."""
    for package in (emulator, kernel_model):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "pytest" not in module.name and module.name != "emulator.testing":
                importlib.import_module(module.name)


def run_commands(case: Case, suffix: str, meter: Meter) -> str:
    """Run the commands of a case and return how they ended."""
    Path(f"case{suffix}").write_bytes(case.data)
    for name, data in case.beside.items():
        Path(name).write_bytes(data)
    endings = []
    for command in case.commands:
        words = [f"case{suffix}" if word == "{}" else word for word in command]
        with meter.watch(case.timeout_s, case.ram):
            status = main(words)
        check(Done(status, taken(OUT), taken(ERR)), words)
        endings.append(f"{command[0]}: {status}")
    return ", ".join(sorted(set(endings)))


def check(done: Done, words: Sequence[str]) -> None:
    """Make sure that a command ended as the documentation says."""
    lines = done.err.splitlines()
    assert done.status in _ALLOWED or any(line.startswith(_NO_SUCH_EVENT) for line in lines), (
        f"status {done.status} of {words}: {done.err}"
    )
    assert "Traceback" not in done.err, done.err
    if done.status == Status.FINDINGS and "--layer" in words:
        return  # a difference of several lines
    assert len(lines) <= _FEW_LINES, f"{words}: {done.err}"
    assert all(line.startswith("kmemu: ") and line.isprintable() for line in lines), f"{words}: {done.err}"
    assert lines or done.status in (Status.GOOD, Status.FINDINGS), (
        f"status {done.status} of {words} without a word"
    )
    if "--json" in words and (done.out or done.status == Status.GOOD):
        _check_json(done.out, words)


def _check_json(text: str, words: Sequence[str]) -> None:
    as_lines = words[0] == "trace" and "--summary" not in words and "-o" not in words
    for document in text.splitlines() if as_lines else [text]:
        json.loads(document)


def taken(descriptor: int) -> str:
    """Return what was written to one of this process's streams, which is a file, since the last call."""
    (sys.stdout if descriptor == OUT else sys.stderr).flush()
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, size, 0) if size else b""
    if size:
        os.ftruncate(descriptor, 0)
    return text.decode("utf-8", "replace")
