"""The calls of a recording that goes on as columns, without a trace file: for short runs whose blocks are wanted at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emulator.machine.recording import record
from emulator.trace.blocks.blocks import Blocks
from emulator.trace.blocks.history import area_history
from emulator.trace.columns import Columns, calls_by_event
from emulator.trace.recorder import recorded_functions

if TYPE_CHECKING:
    import numpy.typing as npt

    from emulator.machine.core_types import CallColumns
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.trace.columns import Flags, Number

_FIELDS = ("parent", "depth", "function", "entered", "left", "time_ns", "left_time_ns", "returned")
_MORE_FIELDS = ("result", "out", "esp", "stack")
_BYTES = {"depth": 1, "function": 1, "returned": 1, "time_ns": 8, "left_time_ns": 8}


class CallLog:
    """Collects the calls of a profile's functions from now on; one for each machine.

    When the machine goes back to a snapshot, the calls that have not happened any more are gone from here, too.

    Args:
        machine: Whose guest.
        profile: Functions that the kernel has.

    Raises:
        UnknownFunction: The kernel lacks a function.
        UnsupportedFunction: There is no code at a function's symbol.

    Attributes:
        profile: As given.
        recording: The recording beneath.
    """

    def __init__(self, machine: Machine, profile: Profile) -> None:
        self.profile = profile
        self._names = [*_FIELDS, *_MORE_FIELDS]
        self._names += [f"arg{i}" for i in range(max(len(each.parameters) for each in profile.functions))]
        self._chunks: list[tuple[int, dict[str, npt.NDArray[np.generic]]]] = []
        self.recording = record(machine, recorded_functions(profile), self._take)

    def columns(self) -> Columns:
        """Return all calls so far."""
        self.recording.flush()
        return _LiveColumns([chunk for _first, chunk in self._chunks], self.profile)

    def blocks(self, area: str) -> Blocks:
        """Return the blocks of an area, by birth, as `emulator.trace.trace.Trace.blocks` does."""
        columns = self.columns()
        codes = [code for code, function in enumerate(self.profile.functions) if function.area == area]
        if not np.isin(
            columns.function, codes
        ).any():  # to work out nothing takes milliseconds in an area of pages
            return Blocks(*(np.empty(0, np.uint32) for _ in Blocks._fields))
        calls = calls_by_event(columns, self.recording.event_count)
        return area_history(columns, calls, self.profile, area).blocks

    def _take(self, columns: CallColumns) -> None:
        self._cut(columns.first_call)
        if columns.rows:
            chunk = {name: _array(name, columns.buffer(name)) for name in self._names}
            self._chunks.append((columns.first_call, chunk))
        for late in self.recording.late_returns():
            self._amend(late.call, late._asdict())

    def _cut(self, first_call: int) -> None:
        """Forget the calls from a number on: the machine has gone back behind them."""
        while self._chunks and self._chunks[-1][0] >= first_call:
            self._chunks.pop()
        if self._chunks:
            first, chunk = self._chunks[-1]
            self._chunks[-1] = (first, {name: column[: first_call - first] for name, column in chunk.items()})

    def _amend(self, call: int, values: dict[str, int]) -> None:
        for first, chunk in self._chunks:
            if first <= call < first + len(chunk["left"]):
                for name in ("left", "left_time_ns", "result", "out"):
                    chunk[name][call - first] = values[name]
                chunk["returned"][call - first] = 1


def _array(name: str, data: memoryview) -> npt.NDArray[np.generic]:
    kind = {1: np.uint8, 4: np.uint32, 8: np.uint64}[_BYTES.get(name, 4)]
    return np.frombuffer(data, kind).copy()


class _LiveColumns(Columns):
    """Columns that are in memory."""

    def __init__(self, chunks: list[dict[str, npt.NDArray[np.generic]]], profile: Profile) -> None:
        super().__init__((), profile)
        self._chunks = chunks

    def __len__(self) -> int:
        return sum(len(chunk["left"]) for chunk in self._chunks)

    @property
    def returned(self) -> Flags:
        """Whether it returned."""
        return self._joined("returned", np.bool_)

    def _joined(self, name: str, kind: type[Number]) -> npt.NDArray[Number]:
        if name == "call":
            return np.arange(1, len(self) + 1).astype(kind)
        parts = [chunk[name].view(kind) for chunk in self._chunks]
        return np.concatenate(parts) if parts else np.empty(0, kind)
