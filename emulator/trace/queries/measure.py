"""What callers can be measured by."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.trace.queries.totals import StackTotals


class Measure(Enum):
    """A number that each call stack has."""

    PEAK = "peak"  # bytes live when the area was at its peak
    END = "end"  # bytes live at the end of the trace
    CALLS = "calls"  # that took memory
    ALLOCATED = "allocated"  # bytes, given back or not

    @property
    def is_bytes(self) -> bool:
        """Whether it counts bytes."""
        return self is not Measure.CALLS

    def of(self, totals: StackTotals) -> int:
        """Return this number of a call stack."""
        match self:
            case Measure.PEAK:
                return totals.peak_bytes
            case Measure.END:
                return totals.end_bytes
            case Measure.CALLS:
                return totals.calls
            case Measure.ALLOCATED:
                return totals.bytes_allocated
