"""What is done with a large trace, as whole processes: open and sum up, make a page."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from in_process import machine_of
from measure import PeerMissingError, Row, Target, Used, kmemu, medians, process_use
from tracing import DISK, SCRIPTS

from emulator.run.recorded import record_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
OPEN_S, OPEN_MEMORY = 3, 1024 * MIB
REPORT_S, REPORT_SIZE = 10, 20_000_000


@contextmanager
def trace_of(command_line: str) -> Iterator[tuple[Path, int]]:
    """Record stress; yield the trace, which is deleted afterwards, and how many events it has."""
    machine = machine_of("stress", command_line)
    with tempfile.TemporaryDirectory(prefix="kmemu-", dir=DISK) as folder:
        path = Path(folder) / "run.kmt"
        with record_trace(machine, path) as recorder:
            machine.run()
        yield path, recorder.recording.event_count


def trace_open() -> Row:
    """Sum up 10 M events, against what pandas takes to read and group the same file."""
    if importlib.util.find_spec("pandas") is None:
        raise PeerMissingError("pandas is not installed: pip install pandas")
    with trace_of("calls=5000000") as (path, events):
        ours: list[Used] = []
        pandas: list[Used] = []
        commands = (
            (kmemu("trace", str(path), "--summary"), ours),
            ([sys.executable, str(SCRIPTS / "pandas_script.py"), str(path)], pandas),
        )

        def run(number: int) -> float:
            command, uses = commands[number]
            uses.append(process_use(command))
            return uses[-1].seconds

        ours_s, pandas_s = medians(5, lambda: run(0), lambda: run(1))
    memory, pandas_memory = (max(each.memory for each in uses) for uses in (ours, pandas))
    return Row(
        name="trace-open",
        what=f"kmemu trace --summary of {events / 1e6:.1f} M events",
        measured=f"{ours_s:.2f} s, {memory / MIB:.0f} MiB",
        peer=f"pandas: read, group {pandas_s:.2f} s, {pandas_memory / MIB:.0f} MiB",
        ratio=ours_s / pandas_s,
        target=Target("<= 3 s, <= 1 GiB", reached=ours_s <= OPEN_S and memory <= OPEN_MEMORY),
    )


def report() -> Row:
    """Make a page of 1 M events; its peer is the trace, which it must not copy."""
    with trace_of("calls=500000") as (path, events):
        page = path.with_suffix(".html")
        command = kmemu("report", str(path), "-o", str(page))
        (seconds,) = medians(5, lambda: process_use(command).seconds)
        size, trace_size = page.stat().st_size, path.stat().st_size
    return Row(
        name="report",
        what=f"kmemu report of {events / 1e6:.1f} M events",
        measured=f"{seconds:.1f} s, {size / 1e6:.1f} MB",
        peer=f"the trace {trace_size / 1e6:.1f} MB",
        ratio=size / trace_size,
        target=Target("<= 10 s, <= 20 MB", reached=seconds <= REPORT_S and size <= REPORT_SIZE),
    )
