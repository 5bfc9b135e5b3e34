"""Write traces in the Trace Event Format, for https://ui.perfetto.dev and chrome://tracing.

Calls are slices, and the live bytes and blocks of each area are counters. The axis counts events, one as a microsecond:
so every call has a length, and none is hidden by another. The guest's time stands in the arguments of each slice.

Source: "Trace Event Format", https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from emulator.report.exporters.tracks import NEVER, Tracks
from emulator.report.text.calls import BYTES_AND_COUNTS, argument_texts, result_text
from emulator.report.text.frames import UNKNOWN_CALLER, frame_text
from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from emulator.profile.functions import TracedFunction
    from emulator.trace.trace import Trace

_BATCH = 1 << 10  # calls or steps of a counter that are turned into text at a time: they fit into the cache
_TEXTS_KEPT = 1 << 15  # calls of a function with the same words as one before are many
_PROCESS = 1


def write_perfetto(
    trace: Trace, stream: BinaryIO, areas: Sequence[str], name: str, advance: Callable[[int], None]
) -> None:
    """Write all calls, and the counters of some areas.

    Args:
        trace: The trace.
        stream: Where to.
        areas: The areas that have counters and whose calls are shown.
        name: What the viewer shows as a title.
        advance: Called with the number of calls that were written since the last time.

    Raises:
        OSError: It cannot be written.
    """
    stream.write(b'{"displayTimeUnit": "ns", "otherData": {"axis": "1 us is 1 event"}, "traceEvents": [\n')
    _write(stream, [_metadata("process_name", 0, printable(name))], first=True)
    tracks = Tracks()
    for events, calls in _Slices(trace, areas, tracks).batches():
        _write(stream, events)
        advance(calls)
    for area in areas:
        for events in _counter(trace, area):
            _write(stream, events)
    titles = ("calls", *(f"calls, {number + 1}" for number in range(1, len(tracks))))
    _write(stream, [_metadata("thread_name", track, title) for track, title in enumerate(titles)])
    stream.write(b"\n]}\n")


def _write(stream: BinaryIO, events: Sequence[str], *, first: bool = False) -> None:
    if events:
        stream.write((("" if first else ",\n") + ",\n".join(events)).encode())


def _metadata(kind: str, track: int, name: str) -> str:
    event: dict[str, Any] = {"ph": "M", "name": kind, "pid": _PROCESS, "tid": _thread(track)}
    return json.dumps(event | {"args": {"name": name}})


def _thread(track: int) -> int:
    return track + 1  # 0 is the idle task of Linux to Perfetto


def _counter(trace: Trace, area: str) -> Iterator[list[str]]:
    usage = trace.usage(area)
    head = (
        f'{{"ph": "C", "name": {json.dumps(f"{area} live")}, "pid": {_PROCESS}, "tid": {_thread(0)}, "ts": '
    )
    for start in range(0, len(usage.events), _BATCH):
        steps = (column[start : start + _BATCH].tolist() for column in usage)
        yield [
            f'{head}{event}, "args": {{"bytes": {size}, "blocks": {blocks}}}}}'
            for event, size, blocks in zip(*steps, strict=True)
        ]


_Row = tuple[int, int, int, int, int, int, int, int, int, tuple[int, ...]]
"""Of a call: number, parent, function, entered, left (0: it did not return), time_ns, result, out, stack, arguments."""


class _Slices:
    """Turns calls into events."""

    def __init__(self, trace: Trace, areas: Sequence[str], tracks: Tracks) -> None:
        self._trace = trace
        self._tracks = tracks
        errors = trace.error_names
        self._texts = [_SliceText(each, errors) if each.area in areas else None for each in trace.functions]
        self._callers: dict[int, str] = {}
        self._open: dict[
            int, tuple[str, int]
        ] = {}  # calls that did not return: event without a length, entry

    def batches(self) -> Iterator[tuple[list[str], int]]:
        """Yield events, and the number of calls that they are for."""
        for start in range(0, len(self._trace), _BATCH):
            rows = self._rows(start)
            events: list[str] = []
            for row in rows:
                self._add(row, events)
            yield events, len(rows)
        self._tracks.finish(self._trace.event_count)
        yield self._ended(), 0

    def _rows(self, start: int) -> list[_Row]:
        columns, part = self._trace.calls, slice(start, start + _BATCH)
        arguments = zip(*(column[part].tolist() for column in columns.arguments), strict=True)
        plain = (
            columns.number,
            columns.parent,
            columns.function,
            columns.entered,
            columns.left,
            columns.time_ns,
            columns.result,
            columns.out,
            columns.stack,
        )
        return list(zip(*(column[part].tolist() for column in plain), arguments, strict=True))

    def _add(self, row: _Row, events: list[str]) -> None:
        number, parent, function, entered, left, time_ns, result, out, stack, arguments = row
        text = self._texts[function]
        if text is None:
            return
        track = self._tracks.place(number, parent, entered, left or NEVER)
        if self._open:
            events.extend(self._ended())
        members = text.members(arguments, result if left else None, out)
        event = (
            f'{{"ph": "X", {text.head}, "tid": {_thread(track)}, "ts": {entered}, "args": {{"call": {number}, '
            f'{members}"time_ns": {time_ns}, "caller": {self._caller(stack)}}}, "dur": '
        )
        if left:
            events.append(f"{event}{left - entered}}}")
        else:
            self._open[number] = event, entered

    def _ended(self) -> list[str]:
        """Return the events of calls that did not return and whose slices have ended since the last time."""
        ended = [(end, *self._open.pop(number)) for number, end in self._tracks.cut().items()]
        return [f"{event}{end - entered}}}" for end, event, entered in ended]

    def _caller(self, stack: int) -> str:
        """Return the call site of a backtrace as JSON; made once for each."""
        text = self._callers.get(stack)
        if text is None:
            frames = self._trace.frames(stack)
            text = json.dumps(frame_text(frames[0]) if frames else UNKNOWN_CALLER)
            self._callers[stack] = text
        return text


class _SliceText:
    """The parts of the events of one function's calls."""

    def __init__(self, function: TracedFunction, errors: Mapping[int, str]) -> None:
        name, area = json.dumps(printable(function.name)), json.dumps(printable(function.area))
        self.head = f'"name": {name}, "cat": {area}, "pid": {_PROCESS}'
        self._function = function
        self._errors = errors
        self._forms = [
            f"{json.dumps(each)}: %s, " if each in BYTES_AND_COUNTS else f'{json.dumps(each)}: "%s", '
            for each in function.parameters
        ]

        self.members = lru_cache(_TEXTS_KEPT)(self._members)

    def _members(self, arguments: tuple[int, ...], result: int | None, out: int) -> str:
        """Return members of a JSON object for arguments and result, each followed by a comma."""
        texts = argument_texts(self._function, arguments, None if result is None or result else out)
        members = [form % text for form, text in zip(self._forms, texts, strict=True)]
        outcome = result_text(self._function, result, out, self._errors)
        if outcome.text:
            members.append(f'"result": "{outcome.text}", ')
        if outcome.failed:
            members.append('"failed": true, ')
        return "".join(members)
