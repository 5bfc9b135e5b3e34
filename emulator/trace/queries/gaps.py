"""Compute the fragmentation of an area: which share of its free bytes lies outside the largest gap.

A trace does not show what an allocator needs for itself, so not every byte between two blocks is free. A gap counts as free
where a block of the area has lain in it as a whole, at any time of the run, with room to the neighbours on both sides: as much as
the closest two blocks had between them at the peak. So headers, and what sizes are rounded up by, are no gaps.

    fragmentation = 1 - largest gap / all gaps          of those that count; 0 where none does

Source: none; the page of a trace measures the same (report/html/js/gaps.js).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.table import I64


class Gaps(NamedTuple):
    """Free pieces of an area at a moment, between the lowest and the highest address that its blocks ever had.

    Attributes:
        size: Bytes of all of them.
        largest: Bytes of the largest one.
    """

    size: int
    largest: int

    @property
    def fragmentation(self) -> float:
        """The share of the free bytes that does not lie in the largest gap: 0.0 to 1.0."""
        return 1 - self.largest / self.size if self.size else 0.0


class GapMeasure:
    """Measures the gaps of an area. Blocks of which no size is known do not count.

    Args:
        ever: All blocks that ever lived.
        at_peak: Those that lived when most bytes did.

    Attributes:
        closest: Bytes between the two neighbours that were closest at the peak; 0 where there are none.
    """

    def __init__(self, ever: Blocks, at_peak: Blocks) -> None:
        self._starts, ends = _extents(ever)
        self._low = int(self._starts[0]) if len(ends) else 0
        self._high = int(ends.max()) if len(ends) else 0
        self._first_end = np.minimum.accumulate(ends[::-1])[::-1]  # of the blocks that begin here or later
        starts, stops = _between(*_extents(at_peak))
        self.closest = int((stops - starts).min()) if len(starts) else 0

    def gaps(self, live: Blocks) -> Gaps:
        """Return the gaps between some of the blocks that live at the same time."""
        if not len(self._starts):
            return Gaps(0, 0)
        starts, ends = _extents(live)
        edges = np.array([self._low]), np.array([self._high])
        begin, end = _between(
            np.concatenate((edges[0], starts, edges[1])), np.concatenate((edges[0], ends, edges[1]))
        )
        sizes = (end - begin)[self._held_a_block(begin, end)]
        return Gaps(int(sizes.sum()), int(sizes.max(initial=0)))

    def _held_a_block(self, begin: I64, end: I64) -> np.ndarray:
        """Return for gaps in which of them a block has lain. Where the area begins and ends there is no neighbour."""
        first = np.searchsorted(self._starts, begin + np.where(begin > self._low, self.closest, 0))
        last = end - np.where(end < self._high, self.closest, 0)
        there = first < len(self._starts)
        return there & (self._first_end[np.where(there, first, 0)] <= last)


def _extents(blocks: Blocks) -> tuple[I64, I64]:
    """Return where blocks begin and end, ascending by start."""
    known = blocks.where(blocks.size != 0)
    starts = known.address.astype(np.int64)
    order = np.argsort(starts, kind="stable")
    return starts[order], (starts + known.size)[order]


def _between(starts: I64, ends: I64) -> tuple[I64, I64]:
    """Return where the gaps between neighbours begin and end; some may be empty."""
    covered = np.maximum.accumulate(ends)
    return covered[:-1], np.maximum(starts[1:], covered[:-1])
