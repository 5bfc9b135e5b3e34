from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from emulator.report.exporters.speedscope import write_speedscope
from emulator.trace.queries.totals import Measure
from tests.helpers import trace_examples
from tests.helpers.traces import TraceBuilder

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.trace.trace import Trace

UNITS = {"none", "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes"}


def exported(trace: Trace, areas: tuple[str, ...], measures: tuple[Measure, ...]) -> dict[str, Any]:
    stream = io.BytesIO()
    write_speedscope(trace, stream, areas, measures, "demo.elf")
    document: dict[str, Any] = json.loads(stream.getvalue())
    check(document)
    return document


def check(document: dict[str, Any]) -> None:
    """Check what https://www.speedscope.app/file-format-schema.json asks for."""
    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames = document["shared"]["frames"]
    assert all(isinstance(frame["name"], str) for frame in frames)
    assert document["profiles"]
    for profile in document["profiles"]:
        assert profile.keys() == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
        assert profile["type"] == "sampled"
        assert profile["unit"] in UNITS
        assert len(profile["samples"]) == len(profile["weights"])
        assert profile["endValue"] - profile["startValue"] == sum(profile["weights"])
        assert all(frames[position] for sample in profile["samples"] for position in sample)


def stacks(document: dict[str, Any], number: int) -> list[tuple[str, int]]:
    profile, frames = document["profiles"][number], document["shared"]["frames"]
    names = [";".join(frames[position]["name"] for position in sample) for sample in profile["samples"]]
    return list(zip(names, profile["weights"], strict=True))


def test_each_area_and_measure_has_a_profile(tmp_path: Path) -> None:
    document = exported(trace_examples.small().trace(tmp_path / "t"), ("heap", "frames"), tuple(Measure))
    assert [(each["name"], each["unit"], each["endValue"]) for each in document["profiles"]] == [
        ("heap: bytes at the peak", "bytes", 400),
        ("heap: bytes at the end", "bytes", 300),
        ("heap: calls", "none", 2),
        ("heap: bytes allocated", "bytes", 400),
        ("frames: bytes at the peak", "bytes", 8192),
        ("frames: bytes at the end", "bytes", 8192),
        ("frames: calls", "none", 1),
        ("frames: bytes allocated", "bytes", 8192),
    ]
    assert stacks(document, 0) == [("start;kmain;load", 300), ("start;kmain", 100)]
    assert stacks(document, 1) == [("start;kmain;load", 300)]


def test_frames_have_source_lines(tmp_path: Path) -> None:
    document = exported(trace_examples.small().trace(tmp_path / "t"), ("frames",), (Measure.END,))
    assert document["name"] == "demo.elf"
    assert document["shared"]["frames"] == [
        {"name": "start"},
        {"name": "kmain", "file": "firmware/scenarios/demo.c", "line": 31},
        {"name": "load", "file": "src/load.c", "line": 7},
    ]


def test_nothing_is_a_profile_without_samples(tmp_path: Path) -> None:
    document = exported(TraceBuilder().trace(tmp_path / "t"), ("heap",), (Measure.PEAK,))
    assert document["profiles"][0]["samples"] == []


def test_a_caller_that_is_not_known(tmp_path: Path) -> None:
    trace = TraceBuilder().call("kmalloc", 8, result=0x1000, stack=()).trace(tmp_path / "t")
    assert stacks(exported(trace, ("heap",), (Measure.END,)), 0) == [("(unknown caller)", 8)]


def test_hostile_names_are_plain_text(tmp_path: Path) -> None:
    document = exported(trace_examples.hostile().trace(tmp_path / "t"), ("heap",), (Measure.END,))
    frame = document["shared"]["frames"][-1]
    assert frame["name"] == "a;b\\n\\x1b]0;x\\x07\"',<script>\\u202e\\"
    assert frame["file"].isprintable()
