"""The memory that allocators hand out, for which the blocks in it speak, and the rest of RAM, which may hold pointers of the kernel's own.

Theory. Where a block is or ever was, words count only while the block can be reached: what a freed block leaves behind points
to nothing, nor do the headers between blocks. A kernel may have its heap in a static array, so that is left out of its data,
too; there a variable that stands beside a block ends what belongs to the heap.

All other RAM may hold what the kernel took by itself before its allocators were up, such as an array that describes its frames,
or the head of a slab, in front of the objects. A block that holds other areas' blocks is such memory, but for these.

Shortcomings. Memory that was given back, and that a function took which the profile does not name, is still left out.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.trace.queries.distinct import distinct
from emulator.x86 import PAGE_SIZE, WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from emulator.check.leaks.guest_words import GuestWords
    from emulator.trace.table import I64, Flags

_BESIDE: Final = 32
"""Bytes beside a block that are taken for its allocator's: headers, and padding between blocks."""


class Spans(NamedTuple):
    """Ranges [start, end) of addresses; ascending, and apart from each other."""

    start: I64
    end: I64

    @classmethod
    def of(cls, start: I64, end: I64) -> Spans:
        """Return what some ranges cover together."""
        start, by_start = distinct(start)
        furthest = np.zeros(len(start), np.int64)
        np.maximum.at(furthest, by_start, end)
        end = np.maximum.accumulate(furthest)
        first = np.ones(len(start), np.bool_)
        first[1:] = start[1:] > end[:-1]
        return cls(start[first], end[np.roll(first, -1)])

    @classmethod
    def of_ranges(cls, ranges: Iterable[range]) -> Spans:
        """Return what some ranges cover together."""
        return cls.of(*np.array([(each.start, each.stop) for each in ranges], np.int64).reshape(-1, 2).T)

    def cover(self, addresses: I64, size: int = WORD_SIZE) -> Flags:
        """Return which pieces of memory lie in them, at least in part; all of one size."""
        if not len(self.start):
            return np.zeros(len(addresses), np.bool_)
        near = np.searchsorted(self.start, addresses + size) - 1
        covered: Flags = (near >= 0) & (addresses < self.end[np.maximum(near, 0)])
        return covered


class Pieces(NamedTuple):
    """All addresses, cut where a segment or a variable of the kernel's begins or ends.

    Attributes:
        border: Where each piece begins, and at last the end of the address space.
        is_unknown: Whether a piece is a part of a segment in which no variable is known.
    """

    border: I64
    is_unknown: Flags

    @classmethod
    def of(cls, segments: Sequence[range], variables: Sequence[range]) -> Pieces:
        """Cut the address space."""
        borders = {0, WORD_MAX + 1}.union(*((each.start, each.stop) for each in (*segments, *variables)))
        border = np.array(sorted(borders), np.int64)
        in_segment, in_variable = (
            Spans.of_ranges(ranges).cover(border[:-1], 1) for ranges in (segments, variables)
        )
        return cls(border, in_segment & ~in_variable)


class HeapMemory:
    """What allocators have handed out at any time.

    Args:
        blocks: Where all blocks have been, by linear addresses; without those that hold other areas' blocks.
        unmapped: The same of blocks that are known by physical addresses only.
        memory: Of the machine at the end of the run.
    """

    def __init__(self, blocks: Spans, unmapped: Spans, memory: GuestWords) -> None:
        self._memory = memory
        self._unmapped = unmapped
        self._linear = _with_headers(blocks, memory.pieces)

    def covers(self, addresses: I64, *, physical: bool) -> Flags:
        """Return which words at some addresses lie in it."""
        return (self._physical if physical else self._linear).cover(addresses)

    @cached_property
    def _physical(self) -> Spans:
        """The same by physical addresses, as far as it is mapped."""
        if not self._memory.paging:
            return Spans.of(*map(np.concatenate, zip(self._linear, self._unmapped, strict=True)))
        start, end = [self._unmapped.start], [self._unmapped.end]
        for low, high in zip(self._linear.start.tolist(), self._linear.end.tolist(), strict=True):
            for at in (low, *range((low | PAGE_SIZE - 1) + 1, high, PAGE_SIZE)):
                physical = self._memory.physical(at)
                if physical is not None:
                    start.append(np.array([physical]))
                    end.append(np.array([physical + min(high - at, PAGE_SIZE - at % PAGE_SIZE)]))
        return Spans.of(np.concatenate(start), np.concatenate(end))


def _with_headers(blocks: Spans, pieces: Pieces) -> Spans:
    """Return what blocks cover with what lies beside them, no further than the piece of memory that they lie in."""
    first = np.searchsorted(pieces.border[:-1], blocks.start, side="right") - 1
    last = np.searchsorted(pieces.border[:-1], blocks.end - 1, side="right") - 1
    start = np.maximum(blocks.start - _BESIDE, pieces.border[first])
    end = np.minimum(blocks.end + _BESIDE, pieces.border[last + 1])
    return Spans.of(
        np.where(pieces.is_unknown[first], blocks.start, start),
        np.where(pieces.is_unknown[last], blocks.end, end),
    )
