"""Looks up calls and blocks of a trace, in the form that findings have them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from emulator.check.findings import BlockHistory, CallSite
from emulator.trace.blocks.blocks import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.guest.symbolizer import Frame
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.table import Call
    from emulator.trace.trace import Trace


class CallSites:
    """Makes the `CallSite` of a call and the `BlockHistory` of a block of one trace.

    Args:
        trace: A complete trace.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._frames: Callable[[int], tuple[Frame, ...]] = cache(trace.frames)

    def of(self, call: Call, event: int) -> CallSite:
        """Return a call at one of its events."""
        return CallSite(call.number, event, call.function, self._frames(call.stack))

    def entry(self, number: int) -> CallSite:
        """Return a call at its entry."""
        return self._call_site(number, self._trace.calls.value("entered", number))

    def exit(self, number: int) -> CallSite:
        """Return a call at its return."""
        return self._call_site(number, self._trace.calls.value("left", number))

    def at(self, event: int) -> CallSite | None:
        """Return the call whose entry or return is an event; None if there is none, as for event 0."""
        columns = self._trace.calls
        row = int(np.searchsorted(columns.entered, event))
        if row < len(columns) and columns.entered[row] == event:
            return self._call_site(row + 1, event)
        returned = np.flatnonzero(columns.left == event).tolist() if event else []
        return self._call_site(returned[0] + 1, event) if returned else None

    def open_after(self, event: int) -> CallSite | None:
        """Return the innermost call that goes on after an event, at its entry; None: there is none."""
        calls = self._trace.calls
        rows = np.flatnonzero((calls.entered <= event) & (~calls.returned | (calls.left > event)))
        return self.entry(int(rows[-1]) + 1) if len(rows) else None

    def history(self, blocks: Blocks, index: int, event: int = NEVER - 1) -> BlockHistory:
        """Return what happened to a block up to an event.

        Args:
            blocks: The blocks of an area.
            index: Position of the block among them.
            event: The last event that counts.
        """
        freed = int(blocks.died_call[index]) if blocks.died[index] <= event else 0
        return BlockHistory(
            int(blocks.address[index]),
            int(blocks.size[index]),
            self.exit(int(blocks.born_call[index])),
            self.entry(freed) if freed else None,
        )

    def _call_site(self, number: int, event: int) -> CallSite:
        calls = self._trace.calls
        function = self._trace.functions[calls.value("function", number)]
        return CallSite(number, event, function.name, self._frames(calls.value("stack", number)))
