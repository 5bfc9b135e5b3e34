"""Compute the fragmentation of an area: which share of its free bytes lies outside the largest gap.

A block takes more bytes than it was asked for: the allocator's header, and what the size is rounded up by. A trace does not show
them, so they are measured. The start of a block and that of the next one were never closer than what the block takes, nor were those of
a larger block, which takes as much at least; the closest neighbours of the whole run say how much that is. No size is rounded up beyond
the next power of two, so if those of a size were further apart than that, free memory lay between them every time: then the block takes
its size and what the closest blocks of the area had between them, at least the header and the alignment that the profile says.

What no live block takes is free where a block has been at some time. It counts as a gap if a block has lain in it as a whole, with
all that it takes, or if it is as large as what the block before it takes, which is too much to be a part of that one.

    fragmentation = 1 - largest gap / all gaps          of those that count; 0 where none does

Source: none; the page of a trace measures the same (report/html/js/gaps.js).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.machine.core.lives import Lives, find_strides
from emulator.trace.blocks.blocks import NEVER
from emulator.trace.queries.distinct import different, distinct
from emulator.x86 import PAGE_SIZE, WORD_MAX

if TYPE_CHECKING:
    from emulator.profile.model import AreaRules
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.table import I64, Flags

_FAR: Final = 1 << 40
"""More bytes than there are between any two blocks."""


class Gaps(NamedTuple):
    """Free pieces of an area at a moment, between the lowest and the highest address that its blocks ever took.

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


class TakenSizes(NamedTuple):
    """How many bytes the blocks of each size take, with header and rounding.

    Attributes:
        sizes: Of blocks, ascending.
        taken: By size.
    """

    sizes: I64
    taken: I64

    def of(self, blocks: Blocks) -> I64:
        """Return what each block takes; the sizes of all are known ones."""
        return self.taken[np.searchsorted(self.sizes, blocks.size)]


class GapMeasure:
    """Measures the gaps of an area. Blocks of which no size is known do not count.

    Args:
        ever: All blocks that ever lived.
        rules: What the profile says of them.

    Attributes:
        taken: What blocks take.
    """

    def __init__(self, ever: Blocks, rules: AreaRules) -> None:
        known = _Sized.of(ever)
        self.taken = _taken_sizes(known, rules)
        self._starts, ends = known.extents(self.taken.taken)
        self._low = int(self._starts[0]) if len(ends) else 0
        self._high = int(ends.max()) if len(ends) else 0
        self._first_end = np.minimum.accumulate(ends[::-1])[::-1]  # of the blocks that begin here or later
        self._last_end = np.maximum.accumulate(ends)
        self._stops, by_end = distinct(ends)
        self._longest = np.zeros(len(self._stops), np.int64)  # of the blocks that end there: what it takes
        np.maximum.at(self._longest, by_end, ends - self._starts)
        fresh = np.maximum(
            self._starts[1:], self._last_end[:-1]
        )  # where each block begins to cover what none before it did
        first = self._starts[:1]
        self._covered = np.cumsum(np.maximum(ends - np.concatenate((first, fresh)), 0))

    def gaps(self, live: Blocks) -> Gaps:
        """Return the gaps between some of the blocks that live at the same time."""
        if not len(self._starts):
            return Gaps(0, 0)
        starts, ends = self._extents(live.where(live.size != 0))
        covered = np.concatenate(([self._low], np.maximum.accumulate(ends)))
        begin, end = covered, np.maximum(np.concatenate((starts, [self._high])), covered)
        sizes = self._used_below(end) - self._used_below(begin)
        sizes = sizes[self._held_a_block(begin, end) | (sizes >= self._taken_before(begin))]
        return Gaps(int(sizes.sum()), int(sizes.max(initial=0)))

    def _extents(self, live: Blocks) -> tuple[I64, I64]:
        """Return where what blocks take begins and ends, ascending by start."""
        starts = live.address.astype(np.int64)
        order = np.argsort(starts, kind="stable")
        return starts[order], (starts + self.taken.of(live))[order]

    def _held_a_block(self, begin: I64, end: I64) -> Flags:
        """Return in which gaps a block has lain."""
        first = np.searchsorted(self._starts, begin)
        there = first < len(self._starts)
        return there & (self._first_end[np.where(there, first, 0)] <= end)

    def _taken_before(self, begin: I64) -> I64:
        """Return for gaps what the block takes that ends where they begin: the longest that ever ended there."""
        return np.where(
            begin > self._low, self._longest[np.searchsorted(self._stops, begin) % len(self._stops)], 0
        )

    def _used_below(self, addresses: I64) -> I64:
        """Return how many bytes below each address a block has ever taken."""
        index = np.searchsorted(self._starts, addresses, side="right") - 1
        there = index >= 0
        index = np.where(there, index, 0)
        beyond = np.maximum(self._last_end[index] - addresses, 0)
        return np.where(there, self._covered[index] - beyond, 0)


class _Sized(NamedTuple):
    """The blocks of an area of which a size is known. Many have the same address, and many of these the same size.

    Attributes:
        blocks: All that ever lived.
        addresses: Theirs, ascending.
        by_address: For each block, the position of its address among them.
        sizes: Theirs, ascending.
        by_size: For each block, the position of its size among them.
    """

    blocks: Blocks
    addresses: I64
    by_address: I64
    sizes: I64
    by_size: I64

    @classmethod
    def of(cls, ever: Blocks) -> _Sized:
        """Choose those of an area."""
        blocks = ever.where(ever.size != 0)
        return cls(
            blocks, *distinct(blocks.address.astype(np.int64)), *distinct(blocks.size.astype(np.int64))
        )

    def extents(self, taken: I64) -> tuple[I64, I64]:
        """Return where what blocks take begins and ends, ascending by start, then by size; once where several had the same.

        Args:
            taken: What the blocks of each of the sizes take.
        """
        pairs = different(self.by_address * len(self.sizes) + self.by_size)
        address, size = np.divmod(pairs, max(len(self.sizes), 1))
        starts = self.addresses[address]
        return starts, starts + taken[size]


def taken_sizes(blocks: Blocks, rules: AreaRules) -> TakenSizes:
    """Measure how many bytes blocks take. Where no close neighbours say it, header and alignment of the profile do.

    Args:
        blocks: All of an area that ever lived. Those without a known size do not count.
        rules: What the profile says of them.
    """
    return _taken_sizes(_Sized.of(blocks), rules)


def _taken_sizes(known: _Sized, rules: AreaRules) -> TakenSizes:
    sizes = known.sizes
    if not len(sizes):
        return TakenSizes(sizes, sizes)
    least = -(-(sizes + rules.header) // rules.alignment) * rules.alignment
    strides = _strides(known)
    closest = int((strides - known.blocks.size).min())  # header and rounding of the blocks that lie closest
    if closest >= PAGE_SIZE:
        return TakenSizes(sizes, least)  # no header is so large: no two were ever neighbours
    bound = np.full(len(sizes), _FAR, np.int64)
    np.minimum.at(bound, known.by_size, strides)
    bound = np.minimum.accumulate(bound[::-1])[::-1]
    believed = np.maximum(_next_power_of_two(sizes) + closest, bound[0])
    return TakenSizes(sizes, np.where(bound <= believed, bound, np.maximum(least, sizes + closest)))


def _strides(known: _Sized) -> I64:
    """Return the fewest bytes from the start of each block to that of the next live one; `_FAR` where there was none."""
    blocks = known.blocks
    strides = np.zeros(len(blocks.born), np.uint32)
    last = np.minimum(blocks.address.astype(np.uint64) + blocks.size - np.uint64(1), WORD_MAX)
    lives = Lives(blocks.address.data, last.astype(np.uint32).data, blocks.born.data, blocks.died.data)
    dead = blocks.died[blocks.died != NEVER]
    ranks = known.by_address.astype(np.uint32)
    find_strides(lives, ranks.data, int(max(blocks.born.max(), dead.max(initial=0))), strides.data)
    return np.where(strides, strides.astype(np.int64), _FAR)


def _next_power_of_two(sizes: I64) -> I64:
    """Return for each size the least power of two that is not below it."""
    return np.int64(1) << np.ceil(np.log2(sizes)).astype(np.int64)  # exact: sizes are below 2^53
