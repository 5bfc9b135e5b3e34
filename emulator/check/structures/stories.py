"""What a trace tells about the block at an address, and about calls that go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from emulator.check.call_sites import CallSites
from emulator.trace.blocks.blocks import NEVER

if TYPE_CHECKING:
    from emulator.check.findings import BlockHistory
    from emulator.trace.table import Flags
    from emulator.trace.trace import Trace

_NEAR: Final = 64
"""Bytes behind a block that whoever writes too much to it is likely to hit."""

_HEADER: Final = 16
"""Bytes before a block that may belong to its header."""


def block_near(
    trace: Trace, area: str, address: int, event: int, *, freed_first: bool
) -> BlockHistory | None:
    """Return the block that a stray write to an address was probably meant for.

    Args:
        trace: The run.
        area: Whose blocks.
        address: That was written.
        event: The last event before that.
        freed_first: Look for a block that was freed first, and then for one that was written beyond.
    """
    if area not in trace.areas:
        return None
    blocks = trace.blocks(area)
    start = blocks.address.astype(np.int64)
    end = start + blocks.size
    born, live = blocks.born <= event, (blocks.born <= event) & (blocks.died > event)
    covers = (start <= address) & (address < end)
    latest: list[tuple[Flags, object]] = [
        (live & (end <= address) & (address < end + _NEAR), end),
        (born & ~live & covers & (blocks.died_call != 0), blocks.died),
    ]
    header = (live & (start - _HEADER <= address) & (address < start), start)
    for chosen, order in [(live & covers, start), *(reversed(latest) if freed_first else latest), header]:
        rows = np.flatnonzero(chosen)
        if len(rows):
            return CallSites(trace).history(blocks, int(rows[np.argmax(np.asarray(order)[rows])]), event)
    return None


class OpenCalls:
    """When calls that are about an area go on.

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
        """Tell whether one goes on at an event; one that is just entered has changed nothing yet."""
        return bool(((self._entered < event) & (event < self._left)).any())

    def settled(self, event: int) -> int:
        """Return the event behind which the trace says what holds at this one: where a call is entered, the one before."""
        row = int(np.searchsorted(self._entered, event))
        return event - (row < len(self._entered) and self._entered[row] == event)
