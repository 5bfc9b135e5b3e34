"""Questions to a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from emulator.trace.queries.totals import Peak, StackTotals
from emulator.trace.table import Call
from emulator.trace.trace import Trace
from tests.helpers.traces import CALL_NS, ESP, PROFILE, WHO, TraceBuilder, random_trace

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = 0x10A008, 0x10B010, 0x10C018


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """Two call stacks; the peak is after event 4, again after event 9."""
    builder = TraceBuilder().call("kmalloc", 64, result=A).call("kmalloc", 32, result=B, stack=WHO[1:])
    builder.call("kfree", A)
    builder.enter("kmalloc", 64, stack=WHO[1:])
    builder.call("alloc_frame", result=0x10C, stack=())
    builder.leave(C)
    builder.call("kfree", B).call("kmalloc", 8, result=0, stack=WHO[1:])
    return builder.trace(tmp_path / "a.kmt", chunk=3)


def test_a_call(trace: Trace) -> None:
    assert trace[5] == Call(
        5, 4, 1, "alloc_frame", (), 8, 9, 8 * CALL_NS, 9 * CALL_NS, 0x10C, None, ESP - 16, 0
    )
    assert [trace[number] for number in range(1, len(trace) + 1)] == list(trace)


@pytest.mark.parametrize("number", [-1, 0, 8])
def test_a_call_that_is_not_there(trace: Trace, number: int) -> None:
    with pytest.raises(IndexError, match=rf"^no call {number}; there are 7$"):
        trace[number]


def test_what_there_is(trace: Trace) -> None:
    assert (len(trace), trace.event_count, trace.stack_count) == (7, 14, 2)
    assert trace.areas == ("heap", "frames", "pools")
    assert trace.functions == PROFILE.functions
    assert trace.complete


def test_call_stacks(trace: Trace) -> None:
    assert [trace.frames(stack) for stack in range(3)] == [(), WHO, WHO[1:]]
    for stack in (-1, 3):
        with pytest.raises(IndexError, match=rf"^no call stack {stack}; there are 2$"):
            trace.frames(stack)


def test_no_such_area(trace: Trace) -> None:
    with pytest.raises(KeyError, match="no area 'stack'; there are: heap, frames, pools"):
        trace.blocks("stack")


def test_usage(trace: Trace) -> None:
    usage = trace.usage("heap")
    assert usage.events.tolist() == [0, 2, 4, 5, 10, 11]
    assert usage.bytes.tolist() == [0, 64, 96, 32, 96, 64]
    assert usage.blocks.tolist() == [0, 1, 2, 1, 2, 1]
    assert [column.dtype for column in usage] == [np.uint32, np.int64, np.int64]


def test_the_peak_is_the_first_of_several(trace: Trace) -> None:
    assert trace.peak("heap") == Peak(4, 96, 2)
    assert trace.peak("frames") == Peak(9, 4096, 1)
    assert trace.peak("pools") == Peak(0, 0, 0)


def test_totals_by_call_stack(trace: Trace) -> None:
    assert trace.by_stack("heap") == [StackTotals(1, 1, 64, 64, 1, 0, 0), StackTotals(2, 2, 96, 32, 1, 64, 1)]
    assert trace.by_stack("frames") == [StackTotals(0, 1, 4096, 4096, 1, 4096, 1)]


def test_live_blocks(trace: Trace) -> None:
    lives = [trace.live(event, "heap").address.tolist() for event in (0, 1, 2, 4, 5, 9, 10, 11, 14)]
    assert lives == [[], [], [A], [A, B], [B], [B], [B, C], [C], [C]]
    assert trace.live(None, "heap").address.tolist() == [C]


def test_answers_are_kept(trace: Trace) -> None:
    assert trace.blocks("heap") is trace.blocks("heap")
    assert trace.usage("heap") is trace.usage("heap")


def test_the_columns_of_one_batch_are_not_copied(tmp_path: Path) -> None:
    trace = TraceBuilder().call("kmalloc", 64, result=A).trace(tmp_path / "a.kmt")
    assert not trace.calls.entered.flags.owndata
    assert not trace.calls.entered.flags.writeable


def test_a_large_random_trace(tmp_path: Path) -> None:
    """Many batches; what is said of the whole agrees with what is said of the calls."""
    trace = Trace.read(str(random_trace(tmp_path / "large.kmt", 150_000, seed=1)))
    heap = trace.blocks("heap")
    assert (np.diff(heap.born.astype(np.int64)) > 0).all()
    assert trace.stray_frees("heap").tolist() == []
    made = [call for call in trace if call.function == "kmalloc"]
    freed = [call for call in trace if call.function == "kfree"]
    assert heap.born_call.tolist() == sorted(call.number for call in made)
    assert len(trace.live(None, "heap").born) == len(made) - len(freed)
    assert sum(total.bytes_allocated for total in trace.by_stack("heap")) == sum(
        call.arguments[0] for call in made
    )
