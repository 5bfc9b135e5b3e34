"""Recordings kept whole in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.machine.recording import RecordedCall, RecordedFunction, Recording, record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.machine.core_types import CallColumns
    from emulator.machine.machine import Machine


class WholeRecording:
    """Every call of some functions of a machine, however many they are.

    Args:
        functions: Names, recorded with two words of arguments, or functions.
    """

    def __init__(self, machine: Machine, functions: Sequence[str | RecordedFunction]) -> None:
        self._calls: list[RecordedCall] = []
        described = [RecordedFunction(each, 2) if isinstance(each, str) else each for each in functions]
        self.recording: Recording = record(machine, described, self._take)

    def _take(self, _columns: CallColumns) -> None:
        self._calls += self.recording.calls()
        for late in self.recording.late_returns():
            index = late.call - 1
            out = late.out if self._calls[index].out is not None else None
            self._calls[index] = self._calls[index]._replace(
                left=late.left, left_time_ns=late.left_time_ns, result=late.result, out=out
            )

    def calls(self) -> list[RecordedCall]:
        """All calls so far, in order of entry."""
        self.recording.flush()
        return self._calls

    def named(self) -> list[tuple[str, RecordedCall, tuple[int, ...]]]:
        """The calls with names of functions and whole stacks instead of numbers."""
        names = [each.name for each in self.recording.functions]
        return [(names[call.function], call, self.recording.stack(call.stack)) for call in self.calls()]
