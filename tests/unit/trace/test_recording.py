"""The calls that a recording keeps in memory are those of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from emulator import Machine, Trace, boot, record_trace
from emulator.profile.known import matching_profile
from emulator.trace.recording import CallLog, newest_call, record_calls

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("number", "parent", "depth", "function", "entered", "left", "time_ns", "left_time_ns")
MORE_COLUMNS = ("returned", "result", "out", "esp", "stack")


def logged(machine: Machine) -> CallLog:
    return CallLog(machine, matching_profile(machine.image))


@pytest.mark.parametrize("every", [1000, 20_000], ids=["few at a time", "many at a time"])
@pytest.mark.parametrize("kernel", ["firmware:demo", "firmware:btron_pools_wait"])
def test_columns_and_blocks_are_those_of_a_trace(tmp_path: Path, kernel: str, every: int) -> None:
    """They are taken in several chunks, and a task that waits returns in a later one."""
    traced = boot(kernel)
    with record_trace(traced, tmp_path / "run.kmt"):
        traced.run()
    trace = Trace.read(tmp_path / "run.kmt")
    machine = boot(kernel)
    log = logged(machine)
    taken: list[int] = []

    def take() -> None:
        taken.append(len(log.calls()))
        machine.pause_after(every, take)

    take()
    machine.run()
    assert len(set(taken)) > 2
    calls = log.calls()
    assert len(calls) == len(trace)
    for name in (*COLUMNS, *MORE_COLUMNS):
        expected = getattr(trace.calls, name)
        assert getattr(calls, name).dtype == expected.dtype
        assert np.array_equal(getattr(calls, name), expected), name
    for index, words in enumerate(trace.calls.arguments):
        assert np.array_equal(calls.argument(index), words)
    for area in trace.areas:
        for mine, theirs in zip(log.blocks(area), trace.blocks(area), strict=True):
            assert np.array_equal(mine, theirs)


def test_a_table_keeps_calls_that_are_undone() -> None:
    machine = boot("firmware:demo")
    machine.run()
    log = logged(machine)
    for size in range(1, 20):
        kept = machine.call("kmalloc", size)
        log.calls()
    with machine.snapshot():
        machine.call("kfree", kept)
        before = log.calls()
    machine.call("kmalloc", 100)
    after = log.calls()
    assert [before.call(20).function, after.call(20).function] == ["kfree", "kmalloc"]
    assert before.call(20).arguments == (kept,)


@pytest.mark.parametrize("is_read", [False, True], ids=["not read", "read"])
def test_calls_that_were_undone_are_gone(is_read: bool) -> None:
    machine = boot("firmware:demo")
    machine.run()
    log = logged(machine)
    kept = machine.call("kmalloc", 64)
    with machine.snapshot():
        machine.call("kfree", kept)
        machine.call("kmalloc", 200)
        if is_read:
            assert len(log.calls()) == 3
    machine.call("kmalloc", 8)
    assert log.blocks("heap").size.tolist() == [64, 8]
    assert log.blocks("heap").live_after(log.recording.event_count).size.tolist() == [64, 8]


def test_an_area_without_calls_has_no_blocks() -> None:
    machine = boot("firmware:demo")
    machine.run()
    log = logged(machine)
    assert len(log.blocks("frames").born) == 0
    machine.call("kmalloc", 64)
    assert len(log.blocks("frames").born) == 0


def test_the_newest_call_is_the_one_entered_last() -> None:
    machine = boot("firmware:demo")
    machine.run()
    profile = matching_profile(machine.image)
    recording = record_calls(machine, profile)
    with pytest.raises(ValueError, match=r"^there is no newest call: none was made, or it was handed over$"):
        newest_call(recording, profile)
    kept = machine.call("kmalloc", 64)
    machine.call("kfree", kept)
    call = newest_call(recording, profile)
    assert (call.number, call.function, call.arguments, call.entered, call.out) == (
        2,
        "kfree",
        (kept,),
        3,
        None,
    )


def test_a_finished_log_keeps_no_more_calls() -> None:
    machine = boot("firmware:demo")
    machine.run()
    log = logged(machine)
    machine.call("kmalloc", 64)
    calls = log.finish()
    machine.call("kmalloc", 8)
    assert [call.arguments for call in calls] == [(64,)]
    assert len(log.calls()) == 0
    assert log.recording.event_count == 4
