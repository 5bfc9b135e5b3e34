"""Recordings of functions that no profile describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.machine.recording import RecordedFunction
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import Profile
from emulator.trace.recording import CallLog, newest_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.machine.machine import Machine
    from emulator.machine.recording import Recording
    from emulator.trace.table import Call


def profile_of(functions: Sequence[RecordedFunction]) -> Profile:
    """Return a profile with which these functions are recorded."""
    return Profile("recorded", tuple(map(_traced, functions)))


def _traced(function: RecordedFunction) -> TracedFunction:
    parameters = tuple(
        "out" if index == function.out else f"word{index}" for index in range(function.argument_count)
    )
    entries = function.entries or ()
    places = () if entries else tuple(f"esp+{4 * number}" for number in range(1, function.argument_count + 1))
    if not function.takes:
        return TracedFunction(
            function.name, "all", Role.OTHER, parameters, Result.VALUE, places=places, entries=entries
        )
    result = Result.POINTER if function.out is None else Result.ERROR
    return TracedFunction(
        function.name, "all", Role.ALLOC, parameters, result, 0xFFFF_FFFF, places=places, entries=entries
    )


def held_calls(recording: Recording) -> list[Call]:
    """Return the calls that the core holds, in order of entry."""
    return list(newest_calls(recording, profile_of(recording.functions)))


class WholeRecording:
    """Every call of some functions of a machine, however many they are.

    Args:
        functions: Names, recorded with two words of arguments, or functions.
    """

    def __init__(self, machine: Machine, functions: Sequence[str | RecordedFunction]) -> None:
        described = [RecordedFunction(each, 2) if isinstance(each, str) else each for each in functions]
        self._log = CallLog(machine, profile_of(described))
        self.recording: Recording = self._log.recording

    def calls(self) -> list[Call]:
        """All calls so far, in order of entry."""
        return list(self._log.calls())

    def with_stacks(self) -> list[tuple[Call, tuple[int, ...]]]:
        """The calls, each with its whole stack instead of a number."""
        return [(call._replace(stack=0), self.recording.stack(call.stack)) for call in self.calls()]
