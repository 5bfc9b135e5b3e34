"""From a running machine to calls: what a profile has recorded, and how the core's rows become rows of the table."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from emulator.errors import unknown_function
from emulator.machine.recording import RecordedFunction, record
from emulator.profile.known import match
from emulator.trace.table import CallTable, Chunk, column_types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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

    _Part: TypeAlias = tuple[int, dict[str, Column]]
    """Number of the first call, and the columns."""


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
        return CallTable(
            [Chunk(first, _rows(columns), columns) for first, columns in self._parts], self.profile
        )

    def finish(self) -> CallTable:
        """Return all calls so far, and keep no more. Events go on to be counted, and the core holds the newest calls."""
        self.recording.flush()
        self.recording.keep_newest()
        columns = {name: self._joined(name) for name in column_types(self.profile)}
        self._parts.clear()
        return CallTable((Chunk(1, _rows(columns), columns),), self.profile)

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
        first_call, rows, columns = chunk
        self._forget_from(first_call)
        if rows:
            self._parts.append((first_call, {name: column.copy() for name, column in columns.items()}))
        for late in late_returns:
            self._complete(late)

    def _forget_from(self, call: int) -> None:
        """Forget the calls from a number on: the machine has gone back to before them."""
        while self._parts and self._parts[-1][0] >= call:
            self._parts.pop()
        if self._parts:
            first, columns = self._parts[-1]
            self._parts[-1] = (first, {name: column[: call - first] for name, column in columns.items()})

    def _complete(self, late: LateReturn) -> None:
        """Note the return of a call that was taken before."""
        first, columns = self._parts[bisect_right(self._parts, late.call, key=lambda part: part[0]) - 1]
        row = late.call - first
        columns["left"][row] = late.left
        columns["left_time_ns"][row] = late.left_time_ns
        columns["result"][row] = late.result
        columns["out"][row] = late.out
        columns["returned"][row] = True

    def _joined(self, name: str) -> Column:
        """Join a column and let go of its parts, so that no more than one is there twice."""
        parts = [columns.pop(name) for _, columns in self._parts]
        return np.concatenate(parts) if parts else np.empty(0, column_types(self.profile)[name])


def _rows(columns: Mapping[str, Column]) -> int:
    return len(columns["left"])


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
