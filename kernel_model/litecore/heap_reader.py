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

from kernel_model.defect import Defect
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
    """A heap in guest memory, to look at only.

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

    def is_sound(self) -> bool:
        """Tell whether `validate` would find nothing, in a fraction of its time."""
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
        """Check every rule of the heap and return what is broken, in the order found; a sound heap gives []."""
        start, end = self.bounds()
        if start % ALIGNMENT:
            return [Defect(self.addresses.start, "heap_start", start, "not a multiple of 8")]
        if end % ALIGNMENT or end < start:
            return [Defect(self.addresses.end, "heap_end", end, "not a multiple of 8, or below heap_start")]
        blocks = list(self.blocks())
        try:
            return self._block_defects(blocks, start, end) + self._list_defects(blocks)
        except IndexError:
            return [Defect(self.addresses.end, "heap_end", end, "there is no memory up to there")]

    def _block_defects(self, blocks: list[Block], start: int, end: int) -> list[Defect]:
        """Return the unmerged neighbours, and the header at which the walk broke off."""
        defects = [
            Defect(right.header + USED_OFFSET, "used", 0, "free, and so is the block before it")
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
        link, field = self.addresses.free_list, "heap_free_list"
        for header in expected:
            found = self._memory.load_u32(link)
            if found != header:
                if header == 0 and walked_to <= found < self.bounds()[1] and found % ALIGNMENT == 0:
                    return []  # continues behind the broken header, where no block can be known
                problem = f"should be 0x{header:08x}, the next free block or the end (0)"
                return [Defect(link, field, found, problem)]
            link, field = header + NEXT_OFFSET, "next"
        return []


def _header_defect(header: int, size: int, used: int, end: int) -> Defect | None:
    """Return the first rule that a header breaks, or None."""
    if size % ALIGNMENT:
        return Defect(header, "size", size, "not a multiple of 8")
    if size < ALIGNMENT:
        return Defect(header, "size", size, "smaller than 8")
    if size > end - header - HEADER_BYTES:
        return Defect(header, "size", size, "reaches beyond heap_end")
    if used > 1:
        return Defect(header + USED_OFFSET, "used", used, "neither 0 nor 1")
    return None
