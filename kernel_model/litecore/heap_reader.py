"""Reading the kernel heap: its blocks, its figures, its defects.

Theory. Blocks lie back to back from ``heap_start`` to ``heap_end``. Each begins with a header of two words: ``size``,
the bytes of its body (a multiple of 8, 8 or more), and ``used``, 0 or 1. So the header after a block is at
``header + 8 + size``. The body of a free block begins with the address of the next free header, 0 at the last; the
free list is in address order and begins in the global ``heap_free_list``. Headers and bodies are
aligned to 8. Neighbouring free blocks are always merged.

The guest can overwrite any of this, and these readers are what is used to look at the damage. Every walk goes
strictly upwards inside the heap, so it ends; `blocks` stops where headers no longer make sense, `validate` says why.

Source: spec 1.3; LiteCore memory document, "Kernel heap (free-list)".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.audit import Defect, Invariant, Location, LocationKind, variable
from kernel_model.structs import BLOCK_HEADER, FREE_BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.memory import Memory

ALIGNMENT: Final = 8
"""Bytes: of headers, bodies and sizes, and the smallest body."""

HEADER_BYTES: Final = BLOCK_HEADER.size
MIN_BLOCK_BYTES: Final = HEADER_BYTES + ALIGNMENT

USED_OFFSET: Final = BLOCK_HEADER.offset("used")
NEXT_OFFSET: Final = FREE_BLOCK.offset("next")
AREA: Final = "heap"

_START_ALIGNED: Final = Invariant("heap-start", "not a multiple of 8")
_END_ALIGNED: Final = Invariant("heap-end", "not a multiple of 8, or below heap_start")
_IN_MEMORY: Final = Invariant("heap-in-memory", "there is no memory up to there")
_MERGED: Final = Invariant("heap-merged", "free, and so is the block before it")
_LIST_HEAD: Final = Invariant("heap-list-head", "should be 0x{:08x}, the next free block or the end (0)")
_LIST_LINK: Final = Invariant("heap-list-link", _LIST_HEAD.violation, of_free_list=True)
_SIZE_ALIGNED: Final = Invariant("heap-size-aligned", "not a multiple of 8")
_SIZE_MIN: Final = Invariant("heap-size-min", "smaller than 8")
_SIZE_FITS: Final = Invariant("heap-size-fits", "reaches beyond heap_end")
_USED_FLAG: Final = Invariant("heap-used-flag", "neither 0 nor 1")

BLOCK_HEADER_WORDS: Final = len(BLOCK_HEADER.fields)
FREE_BLOCK_WORDS: Final = len(FREE_BLOCK.fields)


@dataclass(frozen=True, slots=True)
class HeapAddresses:
    """Addresses of the heap's globals in C, named there ``heap_start`` and so on."""

    start: int
    end: int
    free_list: int
    error_count: int
    lock: int


class Block(NamedTuple):
    """A block of the heap: the address of its header, the bytes of its body, and its ``used`` flag."""

    header: int
    size: int
    used: bool

    @property
    def body(self) -> int:
        """Address that ``kmalloc`` returned for this block, or would return."""
        return self.header + HEADER_BYTES

    @property
    def end(self) -> int:
        """Address of the next block's header."""
        return self.body + self.size


class HeapUsage(NamedTuple):
    """Figures of a heap; sizes are bytes of bodies, headers not counted."""

    used: int
    free: int
    largest_free: int
    blocks: int

    @property
    def fragmentation(self) -> float:
        """1 - largest free block / all free bytes: 0.0 when they are one block or nothing is free."""
        return 1 - self.largest_free / self.free if self.free else 0.0


class HeapReader:
    """A heap in guest memory, only read from.

    Args:
        memory: Guest memory.
        addresses: Where the heap's globals lie.
    """

    def __init__(self, memory: Memory, addresses: HeapAddresses) -> None:
        self._memory = memory
        self.addresses = addresses

    def bounds(self) -> tuple[int, int]:
        """Return ``heap_start`` and ``heap_end``."""
        load = self._memory.load_u32
        return load(self.addresses.start), load(self.addresses.end)

    def blocks(self) -> Iterator[Block]:
        """Yield all blocks in address order, up to the first header that cannot be one."""
        header, end = self.bounds()
        while header < end:
            try:
                size, used = self._memory.load_words(header, BLOCK_HEADER_WORDS)
            except IndexError:  # a heap_end beyond the memory
                return
            if _header_defect(header, size, used, end):
                return
            yield Block(header, size, bool(used))
            header += HEADER_BYTES + size

    def usage(self) -> HeapUsage:
        """Add up the blocks that `blocks` yields."""
        blocks = list(self.blocks())
        free = [block.size for block in blocks if not block.used]
        used = sum(block.size for block in blocks if block.used)
        return HeapUsage(used, sum(free), max(free, default=0), len(blocks))

    def is_valid(self) -> bool:
        """Return whether `validate` would find nothing, in a fraction of its time."""
        start, end = self.bounds()
        if start % ALIGNMENT or end % ALIGNMENT or end < start:
            return False
        try:
            words = self._memory.view(start, end - start).cast("I")
        except IndexError:
            return False
        link = self._memory.load_u32(self.addresses.free_list)
        index, stop, was_free = 0, len(words), False
        while index < stop:
            size, used = words[index], words[index + 1]
            if used > 1 or size % ALIGNMENT or not ALIGNMENT <= size <= 4 * (stop - index) - HEADER_BYTES:
                return False
            if not used:
                if was_free or link != start + 4 * index:
                    return False
                link = words[index + 2]
            was_free = not used
            index += (HEADER_BYTES + size) // 4
        return link == 0

    def validate(self) -> list[Defect]:
        """Check every invariant of the heap and return what breaks one, in the order found."""
        start, end = self.bounds()
        if start % ALIGNMENT:
            return [Defect(_START_ALIGNED, AREA, variable("heap_start", self.addresses.start), start)]
        if end % ALIGNMENT or end < start:
            return [Defect(_END_ALIGNED, AREA, variable("heap_end", self.addresses.end), end)]
        blocks = list(self.blocks())
        try:
            return self._block_defects(blocks, start, end) + self._list_defects(blocks)
        except IndexError:
            return [Defect(_IN_MEMORY, AREA, variable("heap_end", self.addresses.end), end)]

    def _block_defects(self, blocks: list[Block], start: int, end: int) -> list[Defect]:
        """Return the unmerged neighbours, and the header at which the walk broke off."""
        defects = [
            Defect(_MERGED, AREA, _member(right.header, "used"), 0)
            for left, right in pairwise(blocks)
            if not left.used and not right.used
        ]
        stop = blocks[-1].end if blocks else start
        if stop < end:
            size, used = self._memory.load_words(stop, BLOCK_HEADER_WORDS)
            defect = _header_defect(stop, size, used, end)
            defects += [defect] if defect else []
        return defects

    def _list_defects(self, blocks: list[Block]) -> list[Defect]:
        """Compare the free list with the free blocks; *blocks* may end early where a header is broken."""
        expected = [block.header for block in blocks if not block.used] + [0]
        walked_to = blocks[-1].end if blocks else self.bounds()[0]
        link, before = self.addresses.free_list, None
        for header in expected:
            found = self._memory.load_u32(link)
            if found != header:
                if header == 0 and walked_to <= found < self.bounds()[1] and found % ALIGNMENT == 0:
                    return []  # continues after the broken header, where no block can be known
                if before is None:
                    location = variable("heap_free_list", link)
                    return [Defect(_LIST_HEAD, AREA, location, found, (header,))]
                return [Defect(_LIST_LINK, AREA, _member(before, "next"), found, (header,))]
            link, before = header + NEXT_OFFSET, header
        return []


def _header_defect(header: int, size: int, used: int, end: int) -> Defect | None:
    """Return the first invariant that a header breaks, or None."""
    if size % ALIGNMENT:
        return Defect(_SIZE_ALIGNED, AREA, _member(header, "size"), size)
    if size < ALIGNMENT:
        return Defect(_SIZE_MIN, AREA, _member(header, "size"), size)
    if size > end - header - HEADER_BYTES:
        return Defect(_SIZE_FITS, AREA, _member(header, "size"), size)
    if used > 1:
        return Defect(_USED_FLAG, AREA, _member(header, "used"), used)
    return None


def _member(header: int, field: str) -> Location:
    """Return the location of a word of the block whose header lies at *header*."""
    block = Location(LocationKind.BLOCK, "heap", header, header, item=header)
    return block.member(FREE_BLOCK, field)
