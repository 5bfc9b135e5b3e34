"""Calls and blocks of a trace, as findings tell of them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from emulator.check.findings import BlockStory, Place
from emulator.loader.profile import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.trace.blocks import Blocks
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
        columns, row = self._trace.columns, number - 1
        return self._place(number, int(columns.entered[row]))

    def exit(self, number: int) -> Place:
        """Return the return of a call."""
        return self._place(number, int(self._trace.columns.left[number - 1]))

    def story(self, blocks: Blocks, index: int) -> BlockStory:
        """Return the life of one of some blocks."""
        return BlockStory(
            int(blocks.address[index]),
            int(blocks.size[index]),
            self.exit(int(blocks.born_call[index])),
            self._freed(int(blocks.died_call[index])),
        )

    def _freed(self, call: int) -> Place | None:
        """Return where a block was freed; not by the call that was given its place while it was live."""
        if not call or self._trace.functions[int(self._trace.columns.function[call - 1])].role is Role.ALLOC:
            return None
        return self.entry(call)

    def _place(self, number: int, event: int) -> Place:
        columns, row = self._trace.columns, number - 1
        function = self._trace.functions[int(columns.function[row])]
        return Place(number, event, function.name, self._frames(int(columns.stack[row])))
