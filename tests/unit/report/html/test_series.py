from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.report.html.frames import frame_tables
from emulator.report.html.series import event_times, page_columns
from tests.helpers.traces import WHO, TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.trace.trace import Trace


def two_blocks(path: Path) -> Trace:
    """Return a trace in which one of two blocks is freed: events 1 to 6."""
    builder = TraceBuilder()
    builder.call("kmalloc", 100, result=0x140000).call("kmalloc", 28, result=0x150000, stack=())
    return builder.call("kfree", 0x140000).trace(path)


def columns_of(trace: Trace) -> dict[str, list[int]]:
    return {
        column.name: column.values.tolist() for column in page_columns(trace, ["heap"], frame_tables(trace))
    }


def test_the_columns_of_an_area(tmp_path: Path) -> None:
    columns = columns_of(two_blocks(tmp_path / "t.kmt"))
    assert columns["0.address"] == [0x140000, 0x150000]
    assert columns["0.size"] == [100, 28]
    assert columns["0.born"] == [2, 4]
    assert columns["0.life"] == [5 - 2, 0xFFFF_FFFF - 4]
    assert columns["0.call"] == [1, 2]
    assert columns["0.stack"] == [1, 0]


def test_the_totals_of_call_stacks(tmp_path: Path) -> None:
    columns = columns_of(two_blocks(tmp_path / "t.kmt"))
    totals = {name: values for name, values in columns.items() if name.startswith("0.totals.")}
    assert totals == {
        "0.totals.stack": [1, 0],
        "0.totals.calls": [1, 1],
        "0.totals.bytes_allocated": [100, 28],
        "0.totals.peak_bytes": [100, 28],
        "0.totals.peak_blocks": [1, 1],
        "0.totals.end_bytes": [0, 28],
        "0.totals.end_blocks": [0, 1],
    }


def test_stacks_are_one_after_the_other(tmp_path: Path) -> None:
    columns = columns_of(two_blocks(tmp_path / "t.kmt"))
    assert columns["stack_ends"] == [0, 0, len(WHO)]
    assert columns["stack_frames"] == [0, 1]


def test_every_event_has_its_time(tmp_path: Path) -> None:
    assert event_times(two_blocks(tmp_path / "t.kmt")).tolist() == [0, 100, 200, 300, 400, 500, 600]


def test_an_event_without_a_call_has_the_time_of_the_one_before(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.enter("kmalloc", 8)
    builder.stay()
    builder.events += 3  # calls that a cut recording lost
    builder.call("kmalloc", 8, result=0x140000)
    assert event_times(builder.trace(tmp_path / "t.kmt")).tolist() == [0, 100, 100, 100, 100, 500, 600]
