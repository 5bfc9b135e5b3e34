"""When calls that are about an area go on, as a trace has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emulator.trace.blocks.blocks import NEVER

if TYPE_CHECKING:
    from emulator.trace.trace import Trace


class OpenCalls:
    """The spans of events in which calls that are about an area go on.

    Args:
        trace: Of the run.
        area: One of the profile's.
    """

    def __init__(self, trace: Trace, area: str) -> None:
        columns = trace.calls
        codes = [code for code, function in enumerate(trace.functions) if function.area == area]
        rows = np.isin(columns.function, codes)
        left = columns.left[rows]
        self._entered = columns.entered[rows]
        self._left = np.where(left == 0, np.uint32(NEVER), left)

    def any_at(self, event: int) -> bool:
        """Return whether one goes on at an event; one that is just entered has changed nothing yet."""
        return bool(((self._entered < event) & (event < self._left)).any())

    def settled(self, event: int) -> int:
        """Return the event after which the trace says what holds at this one: where a call is entered, the one before."""
        row = int(np.searchsorted(self._entered, event))
        return event - (row < len(self._entered) and self._entered[row] == event)
