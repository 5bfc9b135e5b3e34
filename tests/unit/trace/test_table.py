"""The table of calls, whose rows are in memory or in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from emulator.trace.table import CallTable
from tests.helpers.timelines import timeline_of
from tests.helpers.traces import PROFILE, TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

NOT_RETURNED = (None, None, None, None)


def several() -> TraceBuilder:
    builder = TraceBuilder().call("kmalloc", 64, result=0x1008)
    builder.enter("get_blk", 0x9000, 1, 16)
    builder.call("kmemalign", 16, 32, result=0x2000)
    builder.leave(0, out=0x3000)
    builder.enter("kfree", 0x1008)
    return builder.stay().call("kcalloc", 4, 8, result=0x4000)


def in_memory(builder: TraceBuilder, size: int) -> CallTable:
    return CallTable([chunk for chunk, _ in builder.chunks(size)], PROFILE)


@pytest.fixture(params=["memory", "file"])
def calls(request: pytest.FixtureRequest, tmp_path: Path) -> CallTable:
    """Three chunks: the calls with the numbers 1 and 2, 3 and 4, and 5."""
    if request.param == "memory":
        return in_memory(several(), 2)
    return several().trace(tmp_path / "a.kmt", chunk=2).calls


def test_a_call_is_a_value(calls: CallTable) -> None:
    call = calls.call(2)
    assert call[:7] == (2, 0, 0, "get_blk", (0x9000, 1, 16), 3, 6)
    assert (call.result, call.out) == (0, 0x3000)
    assert (calls.call(1).result, calls.call(1).out) == (0x1008, None)
    assert (calls.call(3).parent, calls.call(3).depth) == (2, 1)
    call = calls.call(4)
    assert (call.left, call.left_time_ns, call.result, call.out) == NOT_RETURNED


def test_single_values_of_columns(calls: CallTable) -> None:
    for name in ("entered", "left", "function", "stack", "arg0"):
        values = [calls.value(name, number) for number in (2, 5, 1, 4, 3)]
        column = calls.argument(0) if name == "arg0" else getattr(calls, name)
        assert values == column[[1, 4, 0, 3, 2]].tolist()


@pytest.mark.parametrize("number", [-1, 0, 6])
def test_a_call_that_is_not_there(calls: CallTable, number: int) -> None:
    with pytest.raises(IndexError, match=rf"^no call {number}; there are 5$"):
        calls.call(number)


def test_all_calls_come_in_order(calls: CallTable) -> None:
    assert len(calls) == 5
    assert list(calls) == [calls.call(number) for number in range(1, 6)]


def test_calls_are_chosen_by_a_mask(calls: CallTable) -> None:
    chosen = calls.chosen(np.array([False, True, True, False, True]))
    assert [call.number for call in chosen] == [2, 3, 5]


def test_memory_and_file_are_the_same_table(tmp_path: Path) -> None:
    file, memory = several().trace(tmp_path / "a.kmt", chunk=3).calls, in_memory(several(), 2)
    assert list(file) == list(memory)
    for name in ("number", "parent", "depth", "function", "entered", "left", "time_ns", "left_time_ns"):
        assert getattr(file, name).dtype == getattr(memory, name).dtype
        assert getattr(file, name).tolist() == getattr(memory, name).tolist()
    for name in ("returned", "result", "out", "esp", "stack"):
        assert getattr(file, name).dtype == getattr(memory, name).dtype
        assert getattr(file, name).tolist() == getattr(memory, name).tolist()
    assert [each.tolist() for each in file.arguments] == [each.tolist() for each in memory.arguments]


def test_an_event_leads_to_its_call(calls: CallTable) -> None:
    assert calls.last_event == 9
    assert [calls.number_at(event) for event in range(-1, 11)] == [0, 0, 1, 1, 2, 3, 3, 2, 4, 5, 5, 0]


def test_without_calls() -> None:
    calls = CallTable((), PROFILE)
    assert (len(calls), calls.last_event, calls.number_at(1), list(calls)) == (0, 0, 0, [])
    assert [calls.entered.dtype, calls.function.dtype] == [np.dtype(np.uint32), np.dtype(np.int8)]


def test_the_chunks_of_a_long_recording_are_joined() -> None:
    calls = timeline_of("stress", command_line="calls=100000").calls
    assert len(calls) > 3 * 32768
    assert [calls.call(number).number for number in (1, 40001, len(calls))] == [1, 40001, len(calls)]
    assert int((calls.left == 0).sum()) == 0
    assert sorted([*calls.left, *calls.entered]) == list(range(1, 2 * len(calls) + 1))
