"""What the bytes of the kernel heap mean, and what its readers return.

Theory. Blocks lie back to back from ``heap_start`` to ``heap_end``. Each begins with a header of two words: ``size``,
the bytes of its body (a multiple of 8, 8 or more), and ``used``, 0 or 1. So the header after a block is at
``header + 8 + size``. The body of a free block begins with the address of the next free header, 0 at the last; the
free list is in address order and begins in the global ``heap_free_list``. Headers and bodies are
aligned to 8. Neighbouring free blocks are always merged.

Source: spec 1.3; LiteCore memory document, "Kernel heap (free-list)".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.blocks import HEADER_BYTES
from kernel_model.structs import BLOCK_HEADER, FREE_BLOCK

if TYPE_CHECKING:
    from kernel_model.blocks import Block

ALIGNMENT: Final = 8
"""Bytes: of headers, bodies and sizes, and the smallest body."""

MIN_BLOCK_BYTES: Final = HEADER_BYTES + ALIGNMENT

USED_OFFSET: Final = BLOCK_HEADER.offset("used")
NEXT_OFFSET: Final = FREE_BLOCK.offset("next")
BLOCK_HEADER_WORDS: Final = len(BLOCK_HEADER.fields)
FREE_BLOCK_WORDS: Final = len(FREE_BLOCK.fields)


class HeapAddresses(NamedTuple):
    """Addresses of the heap's globals in C, named there ``heap_start`` and so on."""

    start: int
    end: int
    free_list: int
    error_count: int
    lock: int


class HeapUsage(NamedTuple):
    """The heap ``[start, end)``; sizes are bytes of bodies, headers not counted.

    Attributes:
        used: Of all blocks that are handed out.
        free: Of all free blocks.
        largest_free: Of the largest free block.
        refused: Calls of kfree that were refused (``heap_error_count``).
        blocks: All of them, as far as their headers make sense.
    """

    start: int
    end: int
    used: int
    free: int
    largest_free: int
    refused: int
    blocks: tuple[Block, ...]

    def __repr__(self) -> str:
        """Leave the blocks out, of which there are many."""
        figures = ", ".join(f"{name}={value}" for name, value in zip(self._fields[:-1], self, strict=False))
        return f"HeapUsage({figures})"

    @property
    def fragmentation(self) -> float:
        """1 - largest free block / all free bytes: 0.0 when they are one block or nothing is free."""
        return 1 - self.largest_free / self.free if self.free else 0.0


def is_header(size: int, used: int, room: int) -> bool:
    """Return whether two words can be a header.

    Args:
        size: The first word.
        used: The second word.
        room: Bytes from the end of the header to the end of the heap.
    """
    return used <= 1 and not size % ALIGNMENT and ALIGNMENT <= size <= room
