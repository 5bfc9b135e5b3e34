"""Calls of the guest's functions, which the core records as rows of columns; see `emulator.machine.recording`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from emulator.errors import HostError
from emulator.machine.core.handle import ffi, lib
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from emulator.machine.core.handle import Core


EVENTS_MAX = WORD_MAX
"""A number that no event has: a run that comes there ends."""


class EntryRow(NamedTuple):
    """Where a function is entered: the fields of `kc_call_entry` in core.h, in order."""

    start: int
    end: int
    physical: int
    head_start: int
    head_end: int
    function: int
    value_count: int
    values: Sequence[tuple[int, int]]
    block: int
    takes: bool
    inlined: bool


class LateReturn(NamedTuple):
    """A return of a call whose row was handed over before; see `kc_late` in core.h."""

    call: int
    left: int
    left_time_ns: int
    result: int
    out: int


class CallRows:
    """The rows of recorded calls that the core holds, `kc_calls` in core.h, read in place.

    Attributes:
        first_call: Number of the first row's call.
        count: How many rows there are.
    """

    __slots__ = ("_raw", "count", "first_call")

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.first_call: int = raw.first_call
        self.count: int = raw.rows

    def buffer(self, name: str) -> memoryview:
        """Return the bytes of a column: a field of `kc_calls`, or ``arg0`` to ``arg7`` for the values."""
        column = self._raw.values[int(name[3:])] if name.startswith("arg") else getattr(self._raw, name)
        return memoryview(ffi.buffer(column, self.count * ffi.sizeof(ffi.typeof(column).item)))


class EntryObserver:
    """Calls back at entries of recorded functions until it is closed; made by `CallRecorder.at_entries`."""

    def __init__(self, recorder: CallRecorder) -> None:
        self._recorder: CallRecorder | None = recorder

    def close(self) -> None:
        """Call back no more; again it does nothing."""
        if self._recorder is not None:
            self._recorder.end_entries()
            self._recorder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class CallRecorder:
    """The calls that the core records.

    Args:
        core: Of the machine.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._entered: Callable[[], None] | None = None
        core.calls_full = _do_nothing
        core.call_entered = self._call_entered

    def start(
        self,
        entries: Sequence[EntryRow],
        operations: Sequence[tuple[int, int]],
        on_full: Callable[[], None] | None,
    ) -> None:
        """Record calls at some entries from now on, instead of those that were recorded until now.

        Args:
            entries: As `kc_call_entry` in core.h.
            operations: Of all computations, as `kc_operation` there.
            on_full: Called whenever the rows are full, and has to take them; None: they are forgotten then.
        """
        self._record(entries, operations)
        self._core.calls_full = on_full or _do_nothing
        lib.kc_calls_hand_over(self._core.raw, on_full is not None)

    def stop(self) -> None:
        """Record no more calls."""
        self._record((), ())

    def _record(self, entries: Sequence[EntryRow], operations: Sequence[tuple[int, int]]) -> None:
        self._core.check_rests("record()")
        tables = ffi.new("kc_call_entry[]", entries), ffi.new("kc_operation[]", operations)
        if lib.kc_record(self._core.raw, tables[0], len(entries), tables[1], len(operations)):
            raise HostError("no memory for a record of calls")

    def forget_full_rows(self) -> None:
        """Call nobody when the rows are full, and forget them."""
        lib.kc_calls_hand_over(self._core.raw, False)  # noqa: FBT003 - of C

    def hand_over_rows(self, on_full: Callable[[], None]) -> None:
        """Call somebody when the rows are full, who has to take them."""
        self._core.calls_full = on_full
        lib.kc_calls_hand_over(self._core.raw, True)  # noqa: FBT003 - of C

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Record no calls and check no accesses inside the block, before the end of which the machine goes back to a snapshot from before it. No other one is taken there."""
        lib.kc_record_nothing(self._core.raw, True)  # noqa: FBT003 - of C
        try:
            yield
        finally:
            lib.kc_record_nothing(self._core.raw, False)  # noqa: FBT003 - of C

    def rows(self) -> CallRows:
        """Return the rows that were not taken yet; while calls are recorded."""
        return CallRows(lib.kc_calls_now(self._core.raw))

    def late_returns(self) -> list[LateReturn]:
        """Return the returns of calls whose rows were taken before."""
        count = ffi.new("uint32_t *")
        late = lib.kc_calls_late(self._core.raw, count)
        return [
            LateReturn(each.call, each.left, each.left_time_ns, each.result, each.out)
            for each in (late[i] for i in range(count[0]))
        ]

    @contextmanager
    def take_rows(self) -> Iterator[CallRows]:
        """Give the block the rows, which are empty afterwards. Ctrl-C waits until then: rows are taken as a whole or not at all."""
        with self._core.signals_held():
            try:
                yield self.rows()
            finally:
                lib.kc_calls_taken(self._core.raw)

    @property
    def event_count(self) -> int:
        """Entries and exits of recorded functions so far."""
        count: int = lib.kc_events(self._core.raw)
        return count

    @property
    def stands_at_entry(self) -> bool:
        """Whether the machine stands at a recorded function's first instruction, and its call is the newest event."""
        return bool(lib.kc_stands_at_event(self._core.raw))

    @property
    def open_calls(self) -> int:
        """Calls of recorded functions that have not returned; those of tasks that wait are among them."""
        count: int = lib.kc_open_calls(self._core.raw)
        return count

    def at_entries(self, every: int, callback: Callable[[], None]) -> EntryObserver:
        """Call back at the entry of each *every*-th recorded call, before it does anything.

        The callback may read the machine, but not change it.

        Raises:
            ValueError: Somebody is called back already.
        """
        if self._entered is not None:
            raise ValueError("entries of calls are observed already")
        self._entered = callback
        lib.kc_notify_every(self._core.raw, every)
        return EntryObserver(self)

    def end_entries(self) -> None:
        """Call nobody back at entries; see `EntryObserver.close`."""
        self._entered = None
        lib.kc_notify_every(self._core.raw, 0)

    def stop_at(self, event: int) -> None:
        """End runs with `Reason.EVENT` where this event happens, in front of the instruction; 0: never."""
        lib.kc_stop_at_event(self._core.raw, event)

    def _call_entered(self) -> None:
        if self._entered is not None:
            self._entered()


def _do_nothing() -> None:
    """Nobody wants full rows."""
