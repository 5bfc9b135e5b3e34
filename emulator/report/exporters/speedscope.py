"""Write traces in speedscope's file format, for https://www.speedscope.app.

A "sampled" profile for each area and measure; a sample is a call stack, its weight what the stack takes.
Source: https://www.speedscope.app/file-format-schema.json.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any

from emulator.report.text.frames import UNKNOWN_CALLER
from emulator.trace.queries.totals import Measure
from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import BinaryIO

    from emulator.guest.symbolizer import Frame
    from emulator.trace.trace import Trace

_TITLES = {
    Measure.PEAK: "bytes at the peak",
    Measure.END: "bytes at the end",
    Measure.CALLS: "calls",
    Measure.ALLOCATED: "bytes allocated",
}


_Frame = tuple[str, str, int]
"""Function, file and line; the profiles share the frames, each of which stands once."""


def write_speedscope(
    trace: Trace, stream: BinaryIO, areas: Sequence[str], measures: Sequence[Measure], name: str
) -> None:
    """Write profiles.

    Args:
        trace: The trace.
        stream: Where to.
        areas: The areas to write.
        measures: The numbers to write; each area gets a profile for each of them.
        name: What the viewer shows as a title.

    Raises:
        OSError: It cannot be written.
    """
    totals = {area: trace.by_stack(area) for area in areas}
    positions: dict[_Frame, int] = {}
    numbers = dict.fromkeys(each.stack for each in chain.from_iterable(totals.values()))
    stacks = {number: _stack_json(trace.frames(number), positions) for number in numbers}
    head = {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": "kmemu",
        "name": printable(name),
        "activeProfileIndex": 0,
    }
    _write(stream, json.dumps(head)[:-1] + ', "shared": {"frames": [')
    _write_list(stream, (json.dumps(_frame_document(*frame)) for frame in positions))
    _write(stream, ']}, "profiles": [')
    for number, (area, measure) in enumerate((area, measure) for area in areas for measure in measures):
        _write(stream, ",\n" if number else "\n")
        weights = ((each.stack, measure.of(each)) for each in totals[area])
        samples = [(stacks[stack], weight) for stack, weight in weights if weight]
        _write_profile(stream, f"{area}: {_TITLES[measure]}", measure, samples)
    _write(stream, "\n]}\n")


def _stack_json(frames: Sequence[Frame], positions: dict[_Frame, int]) -> str:
    """Return the positions of a stack's frames, outermost first, as JSON; *positions* receives the new ones."""
    names = [(frame.name, frame.file, frame.line) for frame in reversed(frames)] or [(UNKNOWN_CALLER, "", 0)]
    return str([positions.setdefault(name, len(positions)) for name in names])


def _frame_document(function: str, file: str, line: int) -> dict[str, Any]:
    document: dict[str, Any] = {"name": printable(function)}
    if file:
        document["file"] = printable(file)
    if line:
        document["line"] = line
    return document


def _write_profile(stream: BinaryIO, name: str, measure: Measure, samples: Sequence[tuple[str, int]]) -> None:
    """Write one profile; a sample is a backtrace, as JSON, and its weight."""
    head = {
        "type": "sampled",
        "name": name,
        "unit": "bytes" if measure.is_bytes else "none",
        "startValue": 0,
        "endValue": sum(weight for _, weight in samples),
    }
    _write(stream, json.dumps(head)[:-1] + ', "samples": [')
    _write_list(stream, (stack for stack, _ in samples))
    _write(stream, '], "weights": [')
    _write_list(stream, (str(weight) for _, weight in samples))
    _write(stream, "]}")


def _write_list(stream: BinaryIO, texts: Iterable[str]) -> None:
    for number, text in enumerate(texts):
        _write(stream, ", " + text if number else text)


def _write(stream: BinaryIO, text: str) -> None:
    stream.write(text.encode())
