from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.guest.symbolizer import Frame
from emulator.trace.queries.overview import overview
from tests.helpers import trace_examples
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path


def test_functions(tmp_path: Path) -> None:
    counts = {each.name: each for each in overview(trace_examples.small().trace(tmp_path / "t"), 5).functions}
    assert counts["kmalloc"] == ("kmalloc", "heap", 4, 1, 1)
    assert counts["kfree"] == ("kfree", "heap", 2, 0, 0)
    assert counts["alloc_frames"] == ("alloc_frames", "frames", 1, 0, 0)
    assert counts["tick"] == ("tick", "heap", 0, 0, 0)


def test_errors_are_failures(tmp_path: Path) -> None:
    builder = TraceBuilder().call("rel_blk", 1, 8, result=0xFFFF_FFDF).call("rel_blk", 1, 8)
    builder.call("alloc_frame", result=0xFFFF_FFFF).call("tick", 1, result=5)
    counts = {each.name: each.failed for each in overview(builder.trace(tmp_path / "t"), 5).functions}
    assert (counts["rel_blk"], counts["alloc_frame"], counts["tick"]) == (1, 1, 0)


def test_an_area(tmp_path: Path) -> None:
    trace = trace_examples.small().trace(tmp_path / "t")
    heap = overview(trace, 5).areas[0]
    assert (heap.name, heap.allocations, heap.failed, heap.stray_frees) == ("heap", 2, 1, 1)
    assert heap.peak == (6, 400, 2)
    assert heap.peak_call is not None
    assert heap.peak_call.number == 2
    assert heap.end == (300, 1)
    assert [(each.peak_bytes, trace.frames(each.stack)[0].function) for each in heap.callers] == [
        (300, "load"),
        (100, "kmain"),
    ]


def test_gaps_lie_within_what_the_area_ever_used(tmp_path: Path) -> None:
    heap = overview(trace_examples.small().trace(tmp_path / "t"), 5).areas[0]
    assert heap.peak_gaps == (0, 0)  # no block has lain between the two
    assert heap.end_gaps == (256, 256)


def test_fragmentation(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for address in (0x1000, 0x1064, 0x10C8, 0x112C):
        builder.call("kmalloc", 100, result=address)
    builder.call("kfree", 0x1000).call("kfree", 0x10C8).call("kfree", 0x112C)
    gaps = overview(builder.trace(tmp_path / "t"), 5).areas[0].end_gaps
    assert gaps == (300, 200)
    assert gaps.fragmentation == pytest.approx(1 / 3)


def test_blocks_that_overlap_have_no_gap(tmp_path: Path) -> None:
    builder = TraceBuilder().call("kmalloc", 100, result=0x1000).call("kmalloc", 10, result=0x1010)
    assert overview(builder.trace(tmp_path / "t"), 5).areas[0].end_gaps == (0, 0)


def test_an_area_without_blocks(tmp_path: Path) -> None:
    area = overview(TraceBuilder().trace(tmp_path / "t"), 5).areas[0]
    assert area.peak_call is None
    assert area.end_gaps.fragmentation == 0
    assert area.callers == ()


def test_top(tmp_path: Path) -> None:
    assert len(overview(trace_examples.small().trace(tmp_path / "t"), 1).areas[0].callers) == 1


def test_callers_without_blocks_at_the_peak_are_left_out(tmp_path: Path) -> None:
    builder = TraceBuilder().call("kmalloc", 8, result=0x1000).call("kfree", 0x1000)
    builder.call("kmalloc", 100, result=0x2000, stack=trace_examples.LOAD)
    trace = builder.trace(tmp_path / "t")
    callers = overview(trace, 5).areas[0].callers
    assert [trace.frames(each.stack) for each in callers] == [trace_examples.LOAD]


def test_what_the_trace_does_not_hold_is_counted(tmp_path: Path) -> None:
    deep = tuple(Frame(0x100000 + 16 * number, "f", 4, "f.c", number) for number in range(1, 66))
    calls = TraceBuilder()
    for stack in (deep[:63], deep[:64], deep[:64], deep[:1]):
        calls.call("kmalloc", 24, result=0x200000, stack=stack)
    calls.rows[-1].depth = 255
    facts = overview(calls.trace(tmp_path / "t"), 5)
    assert (facts.cut_stacks, facts.deepest_calls) == (1, 1)
