"""Selects the blocks that are live at the end of a run, of all areas together."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emulator.trace.blocks.blocks import NEVER
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.check.area import Area
    from emulator.trace.table import I64, Flags


class LiveBlocks(NamedTuple):
    """Live blocks in order of addresses; no two overlap unless the allocator is broken.

    Attributes:
        start: The address of each block.
        end: The address after it; at least one after *start*.
        area: Position of its area among those given.
        row: Its position among the blocks of that area.
    """

    start: I64
    end: I64
    area: I64
    row: I64

    def hit(self, words: np.ndarray) -> tuple[I64, I64]:
        """Find the words that point to the start of a block or into it.

        Returns:
            Positions of these words, and of the blocks that they point to.
        """
        if not len(self.start):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        near = np.flatnonzero((words >= self.start[0]) & (words < self.end.max()))
        values = words[near].astype(np.int64)
        target = np.searchsorted(self.start, values, side="right") - 1
        inside = values < self.end[target]
        return near[inside], target[inside]

    def ending_at(self, words: np.ndarray) -> tuple[I64, I64]:
        """Find the words that are the address after the end of a block of known size; the result is like that of `hit`."""
        known = np.flatnonzero(self.end - self.start > 1)
        order = known[np.argsort(self.end[known], kind="stable")]
        ends = self.end[order]
        near = (
            np.flatnonzero((words >= ends[0]) & (words <= ends[-1])) if len(ends) else np.empty(0, np.int64)
        )
        values = words[near].astype(np.int64)
        target = np.searchsorted(ends, values)
        equal = ends[target] == values
        return near[equal], order[target[equal]]

    def holder(self, address: int, size: int) -> int | None:
        """Return the block in which all of a piece of memory lies; None if there is none."""
        block = int(np.searchsorted(self.start, address, side="right")) - 1
        return block if block >= 0 and address + size <= self.end[block] else None

    def scan_end(self, block: int) -> int:
        """Return where the search for pointers in a block ends: after it, or, if its size is unknown, at the next one or a page further."""
        start, end = int(self.start[block]), int(self.end[block])
        following = int(self.start[block + 1]) if block + 1 < len(self.start) else start + PAGE_SIZE
        return end if end - start > 1 else max(min(following, start + PAGE_SIZE), end)

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yield the parts of memory in which blocks lie; each page of them holds a part of one."""
        ends = np.maximum.accumulate(self.end)
        are_far = self.start[1:] // PAGE_SIZE > (ends[:-1] - 1) // PAGE_SIZE + 1
        first = np.flatnonzero(np.concatenate(([True], are_far)))
        for low, high in pairwise([*first.tolist(), len(self.start)]):
            yield int(self.start[low]), int(ends[high - 1])


def live_blocks(areas: Sequence[Area]) -> LiveBlocks:
    """Return the blocks that are live at the end and hold no other area's blocks.

    What a heap has been made of, frames for example, belongs to the heap: it is live by design, and the blocks in it count
    one by one.
    """
    none = np.empty(0, np.int64)
    parts = [(none, none, none, none)]
    for number, area in enumerate(areas):
        index = np.flatnonzero(area.blocks.died == NEVER)
        index = index[~_are_heaps(area, index, [other for other in areas if other is not area])]
        start = area.blocks.address[index].astype(np.int64)
        end = start + np.maximum(area.blocks.size[index], 1)
        parts.append((start, end, np.full(len(index), number), index))
    start, end, number_of, index = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(start, kind="stable")
    return LiveBlocks(start[order], end[order], number_of[order], index[order])


def _are_heaps(area: Area, index: I64, others: Sequence[Area]) -> Flags:
    """Return which blocks have had blocks of another area allocated inside them, since they were allocated themselves."""
    result = np.zeros(len(index), np.bool_)
    if not len(index):
        return result
    start = area.blocks.address[index].astype(np.uint64)
    end = start + area.blocks.size[index]
    for other in others:
        order = np.argsort(other.blocks.address, kind="stable")
        addresses = other.blocks.address[order].astype(np.uint64)
        first, stop = np.searchsorted(addresses, start), np.searchsorted(addresses, end)
        for position in np.flatnonzero(first < stop).tolist():
            inside = other.blocks.born[order[first[position] : stop[position]]]
            result[position] |= bool((inside > area.blocks.born[index[position]]).any())
    return result
