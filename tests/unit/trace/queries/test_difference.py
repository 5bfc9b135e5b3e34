from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.guest.symbolizer import Frame
from emulator.trace.queries.difference import Growth, compare
from emulator.trace.queries.totals import Measure
from tests.helpers.trace_examples import LOAD
from tests.helpers.traces import PROFILE, WHO, TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

KMAIN = (Frame(0, "kmain", 0, "firmware/scenarios/demo.c", 31), Frame(0, "start"))


def test_stacks_that_differ_in_addresses_only_are_added_up(tmp_path: Path) -> None:
    moved = tuple(frame._replace(address=frame.address + 8, offset=frame.offset + 8) for frame in WHO)
    before = TraceBuilder().call("kmalloc", 8, result=0x1000).call("kmalloc", 4, result=0x2000, stack=moved)
    after = TraceBuilder().call("kmalloc", 20, result=0x1000, stack=moved)
    found = compare(before.trace(tmp_path / "a"), after.trace(tmp_path / "b"), Measure.END, ["heap"])
    assert found.totals == (Growth("heap", (), 12, 20),)
    assert found.changes == (Growth("heap", KMAIN, 12, 20),)
    assert found.changes[0].difference == 8
    assert found.is_more


def test_lines_distinguish_stacks(tmp_path: Path) -> None:
    other = (WHO[0]._replace(line=32), *WHO[1:])
    before = TraceBuilder().call("kmalloc", 8, result=0x1000)
    after = TraceBuilder().call("kmalloc", 8, result=0x1000, stack=other)
    found = compare(before.trace(tmp_path / "a"), after.trace(tmp_path / "b"), Measure.END, ["heap"])
    assert sorted(change.difference for change in found.changes) == [-8, 8]
    assert not found.is_more


def test_order_is_by_the_size_of_the_difference(tmp_path: Path) -> None:
    before = TraceBuilder().call("kmalloc", 100, result=0x1000, stack=LOAD).call("kmalloc", 1, result=0x2000)
    after = TraceBuilder().call("kmalloc", 50, result=0x1000).call("alloc_frame", result=0x300)
    found = compare(before.trace(tmp_path / "a"), after.trace(tmp_path / "b"), Measure.END)
    assert [(change.area, change.difference) for change in found.changes] == [
        ("frames", 4096),
        ("heap", -100),
        ("heap", 49),
    ]
    assert [total.area for total in found.totals] == ["heap", "frames", "pools"]


def test_more_stands_before_as_much_less(tmp_path: Path) -> None:
    before = TraceBuilder().call("kmalloc", 8, result=0x1000)
    after = TraceBuilder().call("kmalloc", 8, result=0x1000, stack=LOAD)
    found = compare(before.trace(tmp_path / "a"), after.trace(tmp_path / "b"), Measure.PEAK)
    assert [change.difference for change in found.changes] == [8, -8]


def test_an_area_that_one_trace_does_not_have_is_empty_there(tmp_path: Path) -> None:
    heap_only = type(PROFILE)("heap", tuple(each for each in PROFILE.functions if each.area == "heap"))
    before = TraceBuilder(heap_only)
    after = TraceBuilder().call("alloc_frame", result=0x300)
    found = compare(before.trace(tmp_path / "a"), after.trace(tmp_path / "b"), Measure.CALLS)
    assert [(total.area, total.before, total.after) for total in found.totals] == [
        ("heap", 0, 0),
        ("frames", 0, 1),
        ("pools", 0, 0),
    ]
