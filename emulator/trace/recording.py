"""From a running machine to calls: what a profile has recorded, and how the core's rows become rows of the table."""

from __future__ import annotations

from bisect import bisect_right
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from emulator.errors import unknown_function
from emulator.machine.recording import RecordedFunction, record
from emulator.profile.known import match
from emulator.trace.kept_columns import Keeper
from emulator.trace.table import CallTable, Chunk, column_types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from emulator.guest.symbolizer import Symbolizer
    from emulator.loader.image import KernelImage
    from emulator.machine.core.call_recorder import CallRows, LateReturn
    from emulator.machine.machine import Machine
    from emulator.machine.recording import Recording
    from emulator.profile.functions import TracedFunction
    from emulator.profile.model import Profile
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.kept_columns import KeptColumns
    from emulator.trace.logged import LoggedTrace
    from emulator.trace.table import Call, Column

    TakeCalls: TypeAlias = Callable[
        [Chunk, Sequence[LateReturn], Iterator[tuple[int, tuple[int, ...]]]], None
    ]
    """What takes calls out of a recording: see `record_calls`."""

_OF_RETURNS: Final = ("left", "left_time_ns", "result", "out")  # besides whether there was one


class _KeptRows(NamedTuple):
    """The fields of a `Chunk`."""

    first_call: int
    rows: int
    columns: KeptColumns


def record_calls(machine: Machine, profile: Profile, on_calls: TakeCalls | None = None) -> Recording:
    """Record the calls of a profile's functions from now on.

    Args:
        machine: Whose guest. Attach its layers first.
        profile: Functions that the kernel has.
        on_calls: Takes the calls whenever there are many, and at each `Recording.flush`; None: only the newest are kept. It is given

            - a chunk of new calls, whose columns are the core's memory, which is used again afterwards;
            - the returns of calls that were handed over before;
            - position in the chunk and return addresses, innermost first, of the first call of each call stack that has not been
              met before, ascending; they are asked for one by one.

    Raises:
        KernelMismatch: The kernel lacks a function.
        UnsupportedFunction: There is no code at a function's symbol.
        ValueError: The machine's calls are recorded already.
    """
    functions = [_recorded(function) for function in _with_entries(profile, machine.image)]
    if on_calls is None:
        return record(machine, functions)
    kinds = column_types(profile)

    def take(rows: CallRows) -> None:
        stacks = (
            (call - rows.first_call, recording.stack(number)) for number, call in recording.new_stacks()
        )
        on_calls(_chunk(rows, kinds), recording.late_returns(), stacks)

    recording = record(machine, functions, take)
    return recording


def newest_calls(recording: Recording, profile: Profile) -> CallTable:
    """Return the calls that the core holds, the newest at least; they change when the machine runs on.

    Args:
        recording: From `record_calls`.
        profile: What is recorded.
    """
    return CallTable((_chunk(recording.rows(), column_types(profile)),), profile)


def newest_call(recording: Recording, profile: Profile) -> Call:
    """Return the call that was entered last.

    Raises:
        ValueError: There is none, or it was handed over.
    """
    rows = recording.rows()
    if not rows.count:
        raise ValueError("there is no newest call: none was made, or it was handed over")
    return newest_calls(recording, profile).call(rows.first_call + rows.count - 1)


class CallLog:
    """The calls of a profile's functions from now on, kept in memory; one for each machine.

    When the machine goes back to a snapshot, the calls that have not happened any more are gone from here, too.

    Args:
        machine: Whose guest. Attach its layers first.
        profile: Functions that the kernel has.

    Raises:
        KernelMismatch: The kernel lacks a function.
        UnsupportedFunction: There is no code at a function's symbol.
        ValueError: The machine's calls are recorded already.

    Attributes:
        profile: As given.
        recording: The recording beneath.
    """

    def __init__(self, machine: Machine, profile: Profile) -> None:
        self.profile = profile
        self._kept: list[_KeptRows] = []
        self._keeper = Keeper()
        self.recording = record_calls(machine, profile, self._take)
        self._taken = self.recording.on_rows

    def calls(self) -> CallTable:
        """Return all calls so far."""
        self.recording.flush()
        return CallTable([Chunk(*kept) for kept in self._kept], self.profile)

    def finish(self) -> CallTable:
        """Return all calls so far, and keep no more. Events go on to be counted, and the core holds the newest calls."""
        self.recording.flush()
        self.recording.keep_newest()
        rows = sum(kept.rows for kept in self._kept)
        columns = {name: self._joined(name) for name in column_types(self.profile)}
        self._kept.clear()
        return CallTable((Chunk(1, rows, columns),), self.profile)

    @property
    def is_paused(self) -> bool:
        """Whether calls are not kept now."""
        return self.recording.on_rows is None

    def pause(self) -> None:
        """Keep no more calls, until `go_on`."""
        self.recording.keep_newest()

    def go_on(self) -> None:
        """Keep calls again; the machine stands where it stood when the log began, or at a call that is in the log."""
        self.recording.hand_over(self._taken)

    def trace(self, symbolizer: Symbolizer) -> LoggedTrace:
        """Return the calls so far as a trace; those that come later are not in it.

        Args:
            symbolizer: Of the machine's kernel.
        """
        from emulator.trace.logged import LoggedTrace  # recording alone does not need it

        return LoggedTrace(self.calls(), self.recording, symbolizer)

    def blocks(self, area: str) -> Blocks:
        """Return the blocks of an area, by birth, as `emulator.trace.trace.Trace.blocks` does."""
        from emulator.trace.blocks.blocks import Blocks
        from emulator.trace.blocks.history import area_history

        calls = self.calls()
        codes = [code for code, function in enumerate(self.profile.functions) if function.area == area]
        if not np.isin(
            calls.function, codes
        ).any():  # to work out nothing takes milliseconds in an area of pages
            return Blocks(*(np.empty(0, np.uint32) for _ in Blocks._fields))
        return area_history(calls, area).blocks

    def _take(self, chunk: Chunk, late_returns: Sequence[LateReturn], new_stacks: object) -> None:  # noqa: ARG002 - kept by the recording
        self._forget_from(chunk.first_call)
        if chunk.rows:
            self._kept.append(_KeptRows(chunk.first_call, chunk.rows, self._keeper.keep(chunk.columns)))
        for position, late in groupby(sorted(late_returns, key=attrgetter("call")), key=self._position):
            _complete(self._kept[position], list(late))

    def _forget_from(self, call: int) -> None:
        """Forget the calls from a number on: the machine has gone back to before them. A table that has them keeps them."""
        while self._kept and self._kept[-1].first_call >= call:
            self._kept.pop()
        if self._kept and call < self._kept[-1].first_call + self._kept[-1].rows:
            first_call, rows, columns = self._kept.pop()
            rows = call - first_call
            self._kept.append(_KeptRows(first_call, rows, columns.first(rows)))

    def _position(self, late: LateReturn) -> int:
        """Return which of the kept rows have a call."""
        return bisect_right(self._kept, late.call, key=attrgetter("first_call")) - 1

    def _joined(self, name: str) -> Column:
        """Join a column. Its parts, which take a fraction of that, are there until all are let go: they lie among those of others."""
        parts = [kept.columns[name] for kept in self._kept]
        return np.concatenate(parts) if parts else np.empty(0, column_types(self.profile)[name])


class RepeatedLog(CallLog):
    """The same of a machine that goes back only to come the same way again: calls that are still to come are kept.

    Args:
        machine: See `CallLog`.
        profile: See `CallLog`.

    Raises:
        KernelMismatch, UnsupportedFunction, ValueError: See `CallLog`.
    """

    def __init__(self, machine: Machine, profile: Profile) -> None:
        self._last_event = 0  # up to which all is known
        super().__init__(machine, profile)

    @property
    def knows_all(self) -> bool:
        """Whether all calls so far are known, when those that were not handed over are (`flush`)."""
        return self.recording.event_count <= self._last_event

    def flush(self) -> None:
        """Take the calls that there are: the machine is going to leave."""
        self.recording.flush()

    def calls(self) -> CallTable:
        """Return all calls so far."""
        self.recording.flush()
        return CallTable([Chunk(*kept) for kept in self._until_now()], self.profile)

    def finish(self) -> CallTable:
        """See `CallLog.finish`."""
        self.forget_later()
        calls = super().finish()
        self._last_event = 0  # all are gone from here
        return calls

    def forget_later(self) -> None:
        """Forget the calls that were still to come: the machine goes another way from here on."""
        self.recording.flush()
        self._kept = self._until_now()
        self._last_event = min(self._last_event, self.recording.event_count)

    def _take(self, chunk: Chunk, late_returns: Sequence[LateReturn], new_stacks: object) -> None:
        event = self.recording.event_count
        if event > self._last_event:  # else all of them are known
            super()._take(chunk, late_returns, new_stacks)
            self._last_event = event

    def _until_now(self) -> list[_KeptRows]:
        event, rows = self.recording.event_count, self.recording.rows()
        if event >= self._last_event:
            return list(self._kept)
        last = rows.first_call + rows.count - 1
        return [_until(each, last, event) for each in self._kept if each.first_call <= last]


def _until(kept: _KeptRows, last: int, event: int) -> _KeptRows:
    """Return the calls up to one, as they stood at an event: some had not returned."""
    rows = min(kept.rows, last + 1 - kept.first_call)
    columns = kept.columns.first(rows)
    open_then = np.flatnonzero(columns["left"] > event)
    for name in (*_OF_RETURNS, "returned") if open_then.size else ():
        columns.put(name, open_then, 0)
    return _KeptRows(kept.first_call, rows, columns)


def _complete(kept: _KeptRows, late_returns: Sequence[LateReturn]) -> None:
    """Note returns of calls that were taken before."""
    rows = [late.call - kept.first_call for late in late_returns]
    for name in _OF_RETURNS:
        kept.columns.put(name, rows, [getattr(late, name) for late in late_returns])
    kept.columns.put("returned", rows, [True] * len(rows))


def _with_entries(profile: Profile, image: KernelImage) -> Iterator[TracedFunction]:
    """Yield the functions of a profile with their entries, in its order."""
    if all(function.entries for function in profile.functions):
        yield from profile.functions
        return
    matched = {function.name: function for function in match(profile, image).functions}
    for function in profile.functions:
        if function.name not in matched:
            raise unknown_function(image.path, function.name)
        yield matched[function.name]


def _recorded(function: TracedFunction) -> RecordedFunction:
    return RecordedFunction(
        function.name,
        len(function.parameters),
        takes=function.failure_result is not None,
        entries=function.entries,
    )


def _chunk(rows: CallRows, kinds: Mapping[str, type[np.generic]]) -> Chunk:
    """Return the core's rows as a chunk, without a copy."""
    columns = {name: np.frombuffer(rows.buffer(name), kind, rows.count) for name, kind in kinds.items()}
    return Chunk(rows.first_call, rows.count, columns)
