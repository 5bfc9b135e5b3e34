from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from emulator.report.exporters import perfetto
from emulator.report.exporters.perfetto import write_perfetto
from tests.helpers import trace_examples
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from emulator.trace.trace import Trace

MEMBERS = {
    "M": {"ph", "name", "pid", "tid", "args"},
    "C": {"ph", "name", "pid", "tid", "ts", "args"},
    "X": {"ph", "name", "cat", "pid", "tid", "ts", "dur", "args"},
}
"""Of the kinds of events that are written, as the Trace Event Format names them."""


def exported(
    trace: Trace, *areas: str, advance: Callable[[int], None] = lambda _: None
) -> list[dict[str, Any]]:
    stream = io.BytesIO()
    write_perfetto(trace, stream, areas or trace.areas, "demo.elf", advance)
    events: list[dict[str, Any]] = json.loads(stream.getvalue())["traceEvents"]
    check(events)
    return events


def check(events: list[dict[str, Any]]) -> None:
    """Check what https://ui.perfetto.dev needs: the members of each kind, numbers that are, slices that nest."""
    ends: dict[int, list[int]] = {}
    for event in events:
        assert event.keys() == MEMBERS[event["ph"]]
        assert event["pid"] == 1
        assert event["tid"] >= 1
        if event["ph"] == "C":
            assert all(isinstance(value, int) for value in event["args"].values())
    for event in sorted((each for each in events if each["ph"] == "X"), key=lambda each: each["ts"]):
        assert event["dur"] >= 1
        open_ends = ends.setdefault(event["tid"], [])
        while open_ends and open_ends[-1] <= event["ts"]:
            open_ends.pop()
        end = event["ts"] + event["dur"]
        assert not open_ends or end <= open_ends[-1]
        open_ends.append(end)


def slices(events: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {event["args"]["call"]: event for event in events if event["ph"] == "X"}


def test_calls_are_slices(tmp_path: Path) -> None:
    shown = slices(exported(trace_examples.small().trace(tmp_path / "t")))
    assert sorted(shown) == [1, 2, 3, 4, 5, 6, 7]
    assert shown[2] == {
        "ph": "X",
        "name": "kmalloc",
        "cat": "heap",
        "pid": 1,
        "tid": 1,
        "ts": 3,
        "dur": 3,
        "args": {
            "call": 2,
            "size": 300,
            "result": "0x00200100",
            "time_ns": 300,
            "caller": "load+0x20 load.c:7",
        },
    }
    assert shown[3]["args"]["result"] == "0x300"
    assert "result" not in shown[4]["args"]
    assert shown[5]["args"]["failed"] is True
    assert shown[7]["args"]["result"] == "?  (did not return)"
    assert shown[7]["args"]["caller"] == "(unknown caller)"
    assert (shown[7]["ts"], shown[7]["dur"]) == (13, 1)


def test_areas_are_counters(tmp_path: Path) -> None:
    events = exported(trace_examples.small().trace(tmp_path / "t"))
    heap = [event for event in events if event["ph"] == "C" and event["name"] == "heap live"]
    assert [(event["ts"], event["args"]["bytes"], event["args"]["blocks"]) for event in heap] == [
        (0, 0, 0),
        (2, 100, 1),
        (6, 400, 2),
        (7, 300, 1),
    ]
    assert {event["name"] for event in events if event["ph"] == "C"} == {
        "heap live",
        "frames live",
        "pools live",
    }


def test_one_area(tmp_path: Path) -> None:
    events = exported(trace_examples.small().trace(tmp_path / "t"), "frames")
    assert sorted(slices(events)) == [3]
    assert {event["name"] for event in events if event["ph"] == "C"} == {"frames live"}


def test_names_of_process_and_rows(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.enter("kmalloc", 1)
    builder.stay()
    builder.call("kmalloc", 1, result=0x1000)
    builder.rows[0].left, builder.events = 5, 5  # the first call outlives the second
    events = exported(builder.trace(tmp_path / "t"))
    names = [(event["name"], event["tid"], event["args"]["name"]) for event in events if event["ph"] == "M"]
    assert names == [
        ("process_name", 1, "demo.elf"),
        ("thread_name", 1, "calls"),
        ("thread_name", 2, "calls, 2"),
    ]
    assert [each["tid"] for each in slices(events).values()] == [1, 2]


def test_where_out_points_is_shown(tmp_path: Path) -> None:
    builder = TraceBuilder().call("get_blk", 0x9000, 3, 64, out=0x20_0000)
    args = slices(exported(builder.trace(tmp_path / "t")))[1]["args"]
    assert (args["out"], args["pool"], args["size"], args["result"]) == ("[0x00200000]", "3", 64, "0")


def test_where_out_points_is_not_shown_of_a_call_that_failed(tmp_path: Path) -> None:
    builder = TraceBuilder().call("get_blk", 0x9000, 3, 64, result=0xFFFF_FFDF, out=0x20_0000)
    args = slices(exported(builder.trace(tmp_path / "t")))[1]["args"]
    assert (args["out"], args["result"], args["failed"]) == ("0x00009000", "-33", True)


def test_a_trace_without_calls(tmp_path: Path) -> None:
    assert slices(exported(TraceBuilder().trace(tmp_path / "t"))) == {}


def test_hostile_names_are_plain_text(tmp_path: Path) -> None:
    caller = slices(exported(trace_examples.hostile().trace(tmp_path / "t")))[1]["args"]["caller"]
    assert caller.isprintable()
    assert caller.startswith("a;b\\n\\x1b]0;x\\x07\"',<script>\\u202e\\+0x1 ")


def test_a_hostile_name_of_a_kernel_is_plain_text(tmp_path: Path) -> None:
    stream = io.BytesIO()
    trace = TraceBuilder().trace(tmp_path / "t")
    write_perfetto(trace, stream, (), trace_examples.HOSTILE_NAME, lambda _: None)
    assert json.loads(stream.getvalue())["traceEvents"][0]["args"]["name"].isprintable()


def test_batches_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = trace_examples.small().trace(tmp_path / "t")
    whole = exported(trace)
    steps: list[int] = []
    monkeypatch.setattr(perfetto, "_BATCH", 2)
    assert exported(trace, advance=steps.append) == whole
    assert steps == [2, 2, 2, 1, 0]


def test_a_stream_that_fails(tmp_path: Path) -> None:
    trace = trace_examples.small().trace(tmp_path / "t")
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="No space"):  # noqa: PTH123 - a device
        write_perfetto(trace, full, trace.areas, "demo.elf", lambda _: None)
