"""Recorded and checked runs, against QEMU running the same kernel bare."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from in_process import machine_of
from measure import Row, at_most, cpu_seconds, least, need_tool, qemu_command, seconds_of

from emulator.loader.builtin import resolve
from emulator.profile.known import matching_profile
from emulator.trace.checking import check_accesses
from emulator.trace.recording import CallLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.machine.machine import Machine

RUNS = 5
QEMU_EXIT, NOTHING = 1, "calls=0"
WORKLOAD, CALLS = Path(__file__).parent / "peers" / "heap_workload.c", "2500000"


def recorded_seconds(make: Callable[[], Machine], *, checked: bool, uninitialised: bool = False) -> float:
    """Return the CPU time of a machine's run with all calls and call stacks kept in memory.

    Args:
        make: Makes the machine.
        checked: Each access is looked up in the shadow, too.
        uninitialised: And what was never written is followed.

    Raises:
        RuntimeError: An access was found in a kernel that has no such mistake.
    """
    machine = make()
    profile = matching_profile(machine.image)
    log = CallLog(machine, profile)
    checks = check_accesses(machine, profile, uninitialised=uninitialised) if checked else None
    elapsed = seconds_of(machine.run)
    if checks is not None and checks.seen().accesses:
        raise RuntimeError(f"{machine.image.name}: {checks.seen().accesses[0]}")
    log.calls()
    return elapsed


def qemu_seconds(kernel: str) -> Callable[[], float]:
    """Return what measures QEMU's CPU time for a kernel, without what it takes to start and end."""
    path = Path(resolve(f"firmware:{kernel}"))
    return lambda: (
        cpu_seconds(qemu_command(path), QEMU_EXIT) - cpu_seconds(qemu_command(path, NOTHING), QEMU_EXIT)
    )


def row(name: str, kernel: str, limit: float, *, checked: bool) -> Row:
    """Compare one kernel."""
    ours_s, qemu_s = least(
        RUNS, lambda: recorded_seconds(lambda: machine_of(kernel), checked=checked), qemu_seconds(kernel)
    )
    ratio = ours_s / qemu_s
    return Row(
        name=name,
        what=f"{kernel} with all calls and stacks in memory{', each access checked' if checked else ''}",
        measured=f"{ours_s:.2f} s",
        peer=f"QEMU TCG bare {qemu_s:.2f} s",
        ratio=ratio,
        target=at_most(ratio, limit, f"ratio <= {limit:.2f}"),
    )


def recorded() -> Row:
    """Calls and stacks of stress in memory."""
    return row("recorded-vs-qemu", "stress", 0.80, checked=False)


def sanitized() -> Row:
    """The same with each access checked."""
    return row("sanitized", "stress", 1.00, checked=True)


def sanitized_tasks() -> Row:
    """Of a kernel with paging, ticks and tasks."""
    return row("sanitized-btron", "btron_stress", 1.10, checked=True)


def memcheck() -> Row:
    """What checking adds to stress, against what Valgrind's Memcheck adds to the same work with the host's malloc."""
    return memcheck_row("memcheck", "checked", 0.2, uninitialised=False)


def memcheck_uninitialised() -> Row:
    """The same with values that were never written followed, as Memcheck does."""
    return memcheck_row(
        "memcheck-uninitialised", "checked, and followed what was never written", 0.3, uninitialised=True
    )


def memcheck_row(name: str, how: str, limit: float, *, uninitialised: bool) -> Row:
    """Compare with Memcheck."""
    need_tool("valgrind", "valgrind")
    with tempfile.TemporaryDirectory(prefix="kmemu-") as folder:
        program = str(Path(folder) / "workload")
        subprocess.run(["gcc", "-O2", "-o", program, str(WORKLOAD)], check=True)  # noqa: S607 - the one that the path has
        native = [program, CALLS]
        checked = ["valgrind", "--quiet", "--error-exitcode=9", *native]
        ours_s, plain_s, native_s, memcheck_s = least(
            RUNS,
            lambda: recorded_seconds(lambda: machine_of("stress"), checked=True, uninitialised=uninitialised),
            lambda: seconds_of(machine_of("stress").run),
            lambda: cpu_seconds(native, 0),
            lambda: cpu_seconds(checked, 0),
        )
    ours, theirs = ours_s / plain_s, memcheck_s / native_s
    return Row(
        name=name,
        what=f"stress recorded and {how}, against not",
        measured=f"{ours:.2f} x",
        peer=f"Memcheck {theirs:.0f} x",
        ratio=ours / theirs,
        target=at_most(ours / theirs, limit, f"ratio <= {limit}"),
        notes=("published: KASAN about 3 x (its Kconfig), for a kernel that is compiled for it",),
    )
