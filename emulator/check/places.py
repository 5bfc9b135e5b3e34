"""Calls and blocks of a trace, as findings tell of them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from emulator.check.findings import BlockStory, Place
from emulator.trace.blocks.blocks import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.events import Frame
    from emulator.trace.trace import Trace


class Places:
    """Where things happened in a trace.

    Args:
        trace: The trace.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._frames: Callable[[int], tuple[Frame, ...]] = cache(trace.frames)

    def entry(self, number: int) -> Place:
        """Return the entry of a call."""
        return self._place(number, int(self._trace.columns.entered[number - 1]))

    def exit(self, number: int) -> Place:
        """Return the return of a call."""
        return self._place(number, int(self._trace.columns.left[number - 1]))

    def at(self, event: int) -> Place | None:
        """Return the call that an event is the entry or the return of; None if there is none, as for event 0."""
        columns = self._trace.columns
        row = int(np.searchsorted(columns.entered, event))
        if row < len(columns) and columns.entered[row] == event:
            return self._place(row + 1, event)
        returned = np.flatnonzero(columns.left == event).tolist() if event else []
        return self._place(returned[0] + 1, event) if returned else None

    def story(self, blocks: Blocks, index: int, event: int = NEVER - 1) -> BlockStory:
        """Return the life of one of some blocks up to an event."""
        freed = int(blocks.died_call[index]) if blocks.died[index] <= event else 0
        return BlockStory(
            int(blocks.address[index]),
            int(blocks.size[index]),
            self.exit(int(blocks.born_call[index])),
            self.entry(freed) if freed else None,
        )

    def _place(self, number: int, event: int) -> Place:
        columns, row = self._trace.columns, number - 1
        function = self._trace.functions[int(columns.function[row])]
        return Place(number, event, function.name, self._frames(int(columns.stack[row])))
