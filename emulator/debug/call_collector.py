"""Takes the calls of a recording out of the core while the kernel runs, and keeps them as columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from emulator.debug.calls import CallColumns, Calls
from emulator.machine.recording import record
from emulator.trace.recorder import recorded_functions

if TYPE_CHECKING:
    from emulator.machine import core_types
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile

_KINDS: Final = {
    "parent": np.uint32,
    "depth": np.uint8,
    "function": np.uint8,
    "entered": np.uint32,
    "left": np.uint32,
    "time_ns": np.uint64,
    "left_time_ns": np.uint64,
    "result": np.uint32,
    "out": np.uint32,
    "esp": np.uint32,
    "stack": np.uint32,
}
_LATE: Final = ("left", "left_time_ns", "result", "out")


class CallCollector:
    """Records the calls of a profile's functions; they are kept until `finish`, and none after it.

    Args:
        machine: Not run yet, with its layers attached.
        profile: Functions that the kernel has.

    Attributes:
        recording: The recording beneath.
    """

    def __init__(self, machine: Machine, profile: Profile) -> None:
        self._machine = machine
        self._profile = profile
        self._kinds = dict(_KINDS)
        most = max(len(function.parameters) for function in profile.functions)
        self._kinds.update({f"arg{index}": np.uint32 for index in range(most)})
        self._parts: list[dict[str, np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]]] = []
        self._late: list[core_types.LateReturn] = []
        self.recording = record(machine, recorded_functions(profile), self._take)

    def finish(self) -> Calls:
        """Return all calls so far, and keep no more."""
        self.recording.flush()
        self._machine.cpu.hand_over_calls(yes=False)
        columns = {name: self._joined(name) for name in self._kinds}
        self._parts.clear()
        for late in self._late:
            for name in _LATE:
                columns[name][late.call - 1] = getattr(late, name)
        arguments = tuple(columns.pop(name) for name in list(columns) if name.startswith("arg"))
        return Calls(CallColumns(arguments=arguments, **columns), self._profile.functions)

    def _joined(self, name: str) -> np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]:
        return np.concatenate([np.zeros(0, self._kinds[name]), *(part[name] for part in self._parts)])

    def _take(self, columns: core_types.CallColumns) -> None:
        if columns.rows:
            self._parts.append(
                {
                    name: np.frombuffer(columns.buffer(name), kind, columns.rows).copy()
                    for name, kind in self._kinds.items()
                }
            )
        self._late += self.recording.late_returns()
