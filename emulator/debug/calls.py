"""All calls of a run, kept as columns: millions of them take little room, and questions are answered in bulk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from emulator.profile.model import Result, Role
from emulator.trace.events import Call

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emulator.profile.model import TracedFunction

    Words = NDArray[np.uint32]

_PAGE_SHIFT = 12
_PAGE = 1 << _PAGE_SHIFT


class CallColumns(NamedTuple):
    """One row for each call, in the order of entry; the fields are those of `Call`.

    Attributes:
        function: Position of the function in the profile.
        left: 0 for a call that did not return.
        arguments: As many columns as the function with the most parameters has.
    """

    parent: Words
    depth: NDArray[np.uint8]
    function: NDArray[np.uint8]
    entered: Words
    left: Words
    time_ns: NDArray[np.uint64]
    left_time_ns: NDArray[np.uint64]
    arguments: tuple[Words, ...]
    result: Words
    out: Words
    esp: Words
    stack: Words


def no_calls() -> CallColumns:
    """Return columns without rows."""
    words, times = np.zeros(0, np.uint32), np.zeros(0, np.uint64)
    codes = np.zeros(0, np.uint8)
    return CallColumns(words, codes, codes, words, words, times, times, (), words, words, words, words)


class Calls(Sequence[Call]):
    """A sequence of calls; the first one has number 1 and index 0.

    Args:
        columns: Their data.
        functions: Of the profile.
    """

    def __init__(self, columns: CallColumns, functions: Sequence[TracedFunction]) -> None:
        self.columns = columns
        self._functions = functions

    def __len__(self) -> int:
        return len(self.columns.entered)

    @overload
    def __getitem__(self, index: int) -> Call: ...
    @overload
    def __getitem__(self, index: slice) -> list[Call]: ...
    def __getitem__(self, index: int | slice) -> Call | list[Call]:
        if isinstance(index, slice):
            return [self._call(each) for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"call index {index} of {len(self)} calls")
        return self._call(index % len(self))

    def _call(self, row: int) -> Call:
        columns = self.columns
        function = self._functions[columns.function[row]]
        left = int(columns.left[row])
        returned = left != 0
        return Call(
            row + 1,
            int(columns.parent[row]),
            int(columns.depth[row]),
            function.name,
            tuple(int(columns.arguments[each][row]) for each in range(len(function.parameters))),
            int(columns.entered[row]),
            left if returned else None,
            int(columns.time_ns[row]),
            int(columns.left_time_ns[row]) if returned else None,
            int(columns.result[row]) if returned else None,
            int(columns.out[row]) if returned and function.out is not None else None,
            int(columns.esp[row]),
            int(columns.stack[row]),
        )

    @cached_property
    def event_count(self) -> int:
        """The last event's number; 0 for a run without calls."""
        columns = self.columns
        return max(int(columns.entered.max(initial=0)), int(columns.left.max(initial=0)))

    def number_at(self, event: int) -> int:
        """Return the number of the call that an event is the entry or the exit of; 0 for none."""
        return int(self._numbers[event]) if 0 < event <= self.event_count else 0

    @cached_property
    def _numbers(self) -> Words:
        """By event."""
        numbers = np.zeros(self.event_count + 1, np.uint32)
        rows = np.arange(1, len(self) + 1, dtype=np.uint32)
        numbers[self.columns.left] = rows
        numbers[self.columns.entered] = rows
        numbers[0] = 0
        return numbers

    # -- blocks ------------------------------------------------------------------------------------

    @cached_property
    def blocks(self) -> Words:
        """The address of the block that each call is about: taken, or given back; 0 for none."""
        blocks = np.zeros(len(self), np.uint32)
        for code, function in enumerate(self._functions):
            rows = np.flatnonzero(self.columns.function == code)
            blocks[rows] = self._blocks_of(function, rows)
        return blocks

    def _blocks_of(self, function: TracedFunction, rows: NDArray[np.intp]) -> Words:
        columns = self.columns
        if function.role in (Role.ALLOC, Role.REALLOC):
            if function.out is not None:
                return np.where(columns.result[rows] == 0, columns.out[rows], 0).astype(np.uint32)
            block = columns.result[rows]
            if function.failure is not None:
                block = np.where(block == function.failure, 0, block).astype(np.uint32)
            block = np.where(columns.left[rows] == 0, 0, block).astype(np.uint32)
            return block << np.uint32(_PAGE_SHIFT) if function.result is Result.FRAME else block
        if function.role not in (Role.FREE, Role.SHARE):
            return np.zeros(len(rows), np.uint32)
        for name, shift in (("ptr", np.uint32(0)), ("frame", np.uint32(_PAGE_SHIFT))):
            if name in function.parameters:
                return columns.arguments[function.parameters.index(name)][rows] << shift
        return np.zeros(len(rows), np.uint32)

    @cached_property
    def _ends(self) -> NDArray[np.uint64]:
        """The first address after the block of each call; 1 byte where the size is not known."""
        sizes = np.ones(len(self), np.uint64)
        for code, function in enumerate(self._functions):
            rows = np.flatnonzero(self.columns.function == code)
            sizes[rows] = self._sizes_of(function, rows)
        return self.blocks.astype(np.uint64) + np.maximum(sizes, np.uint64(1))

    def _sizes_of(self, function: TracedFunction, rows: NDArray[np.intp]) -> NDArray[np.uint64]:
        def argument(name: str) -> NDArray[np.uint64]:
            return self.columns.arguments[function.parameters.index(name)][rows].astype(np.uint64)

        parameters = function.parameters
        if "size" in parameters:
            return argument("size") * argument("count") if "count" in parameters else argument("size")
        if "pages" in parameters:
            return argument("pages") << np.uint64(_PAGE_SHIFT)
        if "order" in parameters:
            return np.uint64(_PAGE) << np.minimum(argument("order"), np.uint64(20))
        is_frame = function.result is Result.FRAME or "frame" in parameters
        return np.full(len(rows), _PAGE if is_frame else 1, np.uint64)

    # -- questions ---------------------------------------------------------------------------------

    def next_of_block(self, number: int) -> int | None:
        """Return the number of the next call after call *number* that is about the same block."""
        block = self.blocks[number - 1]
        rows = np.flatnonzero((self.blocks[number:] == block) & (block != 0))
        return number + 1 + int(rows[0]) if len(rows) else None

    def first_with_block_at(self, address: int) -> int | None:
        """Return the number of the first call whose block holds an address (as the kernel writes it)."""
        rows = np.flatnonzero((self.blocks <= address) & (address < self._ends) & (self.blocks != 0))
        return int(rows[0]) + 1 if len(rows) else None

    def next_of_function(self, text: str, after: int) -> int | None:
        """Return the number of the next call after number *after*, round the end, of a function whose name has *text*."""
        codes = [code for code, each in enumerate(self._functions) if text.lower() in each.name.lower()]
        rows = np.flatnonzero(np.isin(self.columns.function, codes))
        if not len(rows):
            return None
        following = np.searchsorted(rows, after)  # call number `after` is row `after` - 1
        return int(rows[following % len(rows)]) + 1
