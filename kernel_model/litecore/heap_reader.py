"""Reads the kernel heap: its blocks and its figures.

Theory. Blocks lie back to back from ``heap_start`` to ``heap_end``. Each begins with a header of two words: ``size``,
the bytes of its body (a multiple of 8, 8 or more), and ``used``, 0 or 1. So the header after a block is at
``header + 8 + size``. The body of a free block begins with the address of the next free header, 0 at the last; the
free list is in address order and begins in the global ``heap_free_list``. Headers and bodies are
aligned to 8. Neighbouring free blocks are always merged.

The guest can overwrite any of this, and these readers are used to examine the damage. They read the heap strictly upwards
and therefore end; `HeapReader.blocks` stops where headers no longer make sense, `HeapReader.validate` says why.

Source: spec 1.3; LiteCore memory document, "Kernel heap (free-list)".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.blocks import HEADER_BYTES, Block
from kernel_model.structs import BLOCK_HEADER, FREE_BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.audit import Defect
    from kernel_model.memory import Memory

ALIGNMENT: Final = 8
"""Bytes: of headers, bodies and sizes, and the smallest body."""

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
            if not is_header(size, used, end - header - HEADER_BYTES):
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
        from kernel_model.litecore.audits import heap_defects  # only a heap that is not valid needs it

        return heap_defects(self._memory, self)


def is_header(size: int, used: int, room: int) -> bool:
    """Return whether two words can be a header.

    Args:
        size: The first word.
        used: The second word.
        room: Bytes from the end of the header to the end of the heap.
    """
    return used <= 1 and not size % ALIGNMENT and ALIGNMENT <= size <= room
