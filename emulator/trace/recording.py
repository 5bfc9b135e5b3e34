"""From a running machine to calls: what a profile has recorded, and how the core's rows become rows of the table."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from emulator.errors import unknown_function
from emulator.machine.recording import RecordedFunction, record
from emulator.profile.known import match
from emulator.trace.table import CallTable, Chunk, column_types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from emulator.loader.image import KernelImage
    from emulator.machine.core.call_recorder import CallRows, LateReturn
    from emulator.machine.machine import Machine
    from emulator.machine.recording import Recording
    from emulator.profile.functions import TracedFunction
    from emulator.profile.model import Profile
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.table import Call, Column

    TakeCalls: TypeAlias = Callable[
        [Chunk, Sequence[LateReturn], Iterator[tuple[int, tuple[int, ...]]]], None
    ]
    """What takes calls out of a recording: see `record_calls`."""

_MANY: Final = 1 << 14
"""Rows. Where so many come at a time, and not for the first time, memory is taken for `_AT_ONCE`: in large pages of the host, which it
hands out much faster."""
_AT_ONCE: Final = 1 << 20


class _Part:
    """Rows that follow each other, with room for some more.

    Args:
        first_call: Number of the first row's call.
        room: For so many rows.
        profile: The functions whose calls they are.

    Attributes:
        first_call: As given.
        rows: How many there are.
        room: For so many more.
    """

    def __init__(self, first_call: int, room: int, profile: Profile) -> None:
        self.first_call = first_call
        self.rows = 0
        self.room = room
        self._columns = {name: np.empty(room, kind) for name, kind in column_types(profile).items()}

    def add(self, chunk: Chunk) -> None:
        """Copy rows to behind the last one."""
        stop = self.rows + chunk.rows
        for name, column in chunk.columns.items():
            self._columns[name][self.rows : stop] = column
        self.rows, self.room = stop, self.room - chunk.rows

    def forget_from(self, call: int) -> None:
        """Forget the calls from a number on. There is no more room then: a table that has them keeps them."""
        if call < self.first_call + self.rows:
            self.rows, self.room = call - self.first_call, 0

    def column(self, name: str) -> Column:
        """Return the values of a column."""
        return self._columns[name][: self.rows]

    def pop(self, name: str) -> Column:
        """Return a column, and let go of it."""
        return self._columns.pop(name)[: self.rows]

    def chunk(self) -> Chunk:
        """Return the rows, without a copy."""
        return Chunk(self.first_call, self.rows, {name: self.column(name) for name in self._columns})


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

    def take(rows: CallRows) -> None:
        stacks = (
            (call - rows.first_call, recording.stack(number)) for number, call in recording.new_stacks()
        )
        on_calls(_chunk(rows, profile), recording.late_returns(), stacks)

    recording = record(machine, functions, take)
    return recording


def newest_calls(recording: Recording, profile: Profile) -> CallTable:
    """Return the calls that the core holds, the newest at least; they change when the machine runs on.

    Args:
        recording: From `record_calls`.
        profile: What is recorded.
    """
    return CallTable((_chunk(recording.rows(), profile),), profile)


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
        self._parts: list[_Part] = []
        self.recording = record_calls(machine, profile, self._take)

    def calls(self) -> CallTable:
        """Return all calls so far."""
        self.recording.flush()
        return CallTable([part.chunk() for part in self._parts], self.profile)

    def finish(self) -> CallTable:
        """Return all calls so far, and keep no more. Events go on to be counted, and the core holds the newest calls."""
        self.recording.flush()
        self.recording.keep_newest()
        rows = sum(part.rows for part in self._parts)
        columns = {name: self._joined(name) for name in column_types(self.profile)}
        self._parts.clear()
        return CallTable((Chunk(1, rows, columns),), self.profile)

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

    def _take(self, chunk: Chunk, late_returns: Sequence[LateReturn], _new_stacks: object) -> None:
        self._forget_from(chunk.first_call)
        if chunk.rows:
            self._part_for(chunk).add(chunk)
        for late in late_returns:
            self._complete(late)

    def _part_for(self, chunk: Chunk) -> _Part:
        """Return a part with room for some rows."""
        if not self._parts or self._parts[-1].room < chunk.rows:
            are_many = chunk.rows >= _MANY and chunk.first_call > 8 * _MANY
            room = max(chunk.rows, _AT_ONCE if are_many else 0)
            self._parts.append(_Part(chunk.first_call, room, self.profile))
        return self._parts[-1]

    def _forget_from(self, call: int) -> None:
        """Forget the calls from a number on: the machine has gone back to before them."""
        while self._parts and self._parts[-1].first_call >= call:
            self._parts.pop()
        if self._parts:
            self._parts[-1].forget_from(call)

    def _complete(self, late: LateReturn) -> None:
        """Note the return of a call that was taken before."""
        part = self._parts[bisect_right(self._parts, late.call, key=lambda part: part.first_call) - 1]
        row = late.call - part.first_call
        part.column("left")[row] = late.left
        part.column("left_time_ns")[row] = late.left_time_ns
        part.column("result")[row] = late.result
        part.column("out")[row] = late.out
        part.column("returned")[row] = True

    def _joined(self, name: str) -> Column:
        """Join a column and let go of its parts, so that no more than one is there twice."""
        parts = [part.pop(name) for part in self._parts]
        return np.concatenate(parts) if parts else np.empty(0, column_types(self.profile)[name])


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


def _chunk(rows: CallRows, profile: Profile) -> Chunk:
    """Return the core's rows as a chunk, without a copy."""
    columns = {
        name: np.frombuffer(rows.buffer(name), kind, rows.count)
        for name, kind in column_types(profile).items()
    }
    return Chunk(rows.first_call, rows.count, columns)
