"""What all benchmarks share: interleaved measuring, medians, and the rows of the table.

Two things are compared by taking turns, A B A B, so that a host that becomes slower does so for both; and by medians,
so that a single disturbed run does not count. What computes only is compared by CPU time, which is the process's own, whatever
else runs on the host.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

QEMU = "qemu-system-i386"


class PeerMissingError(Exception):
    """What we are compared with is not installed."""


class Target(NamedTuple):
    """What must be reached, for people, and whether it is."""

    text: str
    reached: bool


def at_most(value: float, limit: float, text: str) -> Target:
    """Say that *value* must not be above *limit*."""
    return Target(text, reached=value <= limit)


def at_least(value: float, limit: float, text: str) -> Target:
    """Say that *value* must not be below *limit*."""
    return Target(text, reached=value >= limit)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: For ``--only``.
        what: What is measured.
        measured: Our result, with its unit.
        peer: What it is compared with, and that one's result.
        ratio: Ours / the peer's.
        target: What must be reached.
        notes: Facts beside the table.
    """

    name: str
    what: str
    measured: str
    peer: str
    ratio: float
    target: Target
    notes: tuple[str, ...] = ()


class Benchmark(NamedTuple):
    """A row to be measured."""

    name: str
    measure: Callable[[], Row]


def medians(runs: int, *measured: Callable[[], float]) -> list[float]:
    """Call each in turn, *runs* times over; return the median of what each returned."""
    return [statistics.median(result) for result in _in_turn(runs, measured)]


def least(runs: int, *measured: Callable[[], float]) -> list[float]:
    """Call each in turn, *runs* times over; return the least of what each returned: CPU time that others do not add to."""
    return [min(result) for result in _in_turn(runs, measured)]


def _in_turn(runs: int, measured: Sequence[Callable[[], float]]) -> list[list[float]]:
    results: list[list[float]] = [[] for _ in measured]
    for number in range(runs):
        progress(f"  {number + 1} of {runs}")
        for result, measure in zip(results, measured, strict=True):
            result.append(measure())
    return results


def seconds_of(action: Callable[[], object]) -> float:
    """Return the CPU time of one call."""
    started = time.process_time()
    action()
    return time.process_time() - started


def process_seconds(command: Sequence[str], exit_code: int) -> float:
    """Time a whole process; its output goes nowhere.

    Raises:
        RuntimeError: It ended with another exit code.
    """
    started = time.perf_counter()
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    elapsed = time.perf_counter() - started
    if done.returncode != exit_code:
        raise RuntimeError(
            f"{' '.join(command)} ended with {done.returncode}: {done.stderr.decode().strip()}"
        )
    return elapsed


def cpu_seconds(command: Sequence[str], exit_code: int) -> float:
    """Return the CPU time of a whole process, which does not depend on what else the host does; its output goes nowhere.

    Raises:
        RuntimeError: It ended with another exit code.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != exit_code:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


class Used(NamedTuple):
    """What a whole process took: seconds, and bytes of memory at its peak."""

    seconds: float
    memory: int


def process_use(command: Sequence[str]) -> Used:
    """Run a whole process, which must succeed; its output goes nowhere.

    The memory of this process is a lower limit of what is returned: Linux counts what a process was before `exec`, too.

    Raises:
        RuntimeError: It failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return Used(elapsed, usage.ru_maxrss * 1024)


def output_of(command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    """Run a command with some environment variables more; return what it prints.

    Raises:
        RuntimeError: It failed.
    """
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        env=os.environ | (variables or {}),
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def kmemu(*words: str) -> list[str]:
    """Return the command that runs this program here."""
    script = Path(sys.executable).with_name("kmemu")
    program = [str(script)] if script.exists() else [sys.executable, "-m", "emulator.cli.main"]
    return [*program, *words]


def kmemu_command(kernel: str, command_line: str = "") -> list[str]:
    """Return the command that boots a built-in kernel here."""
    return kmemu("boot", f"firmware:{kernel}", *(["--cmdline", command_line] if command_line else []))


def need_tool(name: str, package: str) -> None:
    """Make sure that a program is installed.

    Raises:
        PeerMissingError: It is not.
    """
    if shutil.which(name) is None:
        raise PeerMissingError(f"{name} is not installed: apt-get install {package}")


def qemu_command(kernel: Path, command_line: str = "", serial: str = "stdio") -> list[str]:
    """Return the command that boots the same file in QEMU.

    Raises:
        PeerMissingError: There is no QEMU.
    """
    need_tool(QEMU, "qemu-system-x86")
    machine = ["-display", "none", "-serial", serial, "-no-reboot", "-accel", "tcg", "-m", "16"]
    device = ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    return [
        QEMU,
        "-kernel",
        str(kernel),
        *machine,
        *device,
        *(["-append", command_line] if command_line else []),
    ]


def progress(text: str) -> None:
    """Report that something happens."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
