"""Find calls by their block, or by their function's name."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from emulator.trace.blocks.function_calls import call_blocks

if TYPE_CHECKING:
    from emulator.trace.table import U32, U64, CallTable


class CallSearch:
    """Searches all calls of a run.

    Args:
        calls: The calls.
    """

    def __init__(self, calls: CallTable) -> None:
        self._calls = calls

    @cached_property
    def _blocks(self) -> tuple[U32, U64]:
        return call_blocks(self._calls)

    def block_of(self, number: int) -> int | None:
        """Return the address of the block that call *number* made, or was given, as the kernel writes it; None: there is none."""
        return int(self._blocks[0][number - 1]) or None

    def next_of_block(self, number: int) -> int | None:
        """Return the number of the next call after call *number* that is about the same block."""
        blocks = self._blocks[0]
        block = blocks[number - 1]
        rows = np.flatnonzero((blocks[number:] == block) & (block != 0))
        return number + 1 + int(rows[0]) if len(rows) else None

    def first_with_block_at(self, address: int) -> int | None:
        """Return the number of the first call whose block holds an address, as the kernel writes it."""
        start, end = self._blocks
        rows = np.flatnonzero((start <= address) & (address < end) & (start != 0))
        return int(rows[0]) + 1 if len(rows) else None

    def next_of_function(self, text: str, after: int) -> int | None:
        """Return the number of the next call after number *after*, round the end, of a function whose name has *text*."""
        functions = self._calls.functions
        codes = [code for code, each in enumerate(functions) if text.lower() in each.name.lower()]
        rows = np.flatnonzero(np.isin(self._calls.function, codes))
        if not len(rows):
            return None
        following = np.searchsorted(rows, after)  # call number `after` is row `after` - 1
        return int(rows[following % len(rows)]) + 1
