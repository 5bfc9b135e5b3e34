"""A block of an allocator that writes a header in front of each."""

from __future__ import annotations

from typing import Final, NamedTuple

from kernel_model.structs import BLOCK_HEADER

HEADER_BYTES: Final = BLOCK_HEADER.size
"""Bytes of the header, in LiteCore's heap as in BTRON/386's pools, whose header is called a record."""


class Block(NamedTuple):
    """A block: the address of its header as the kernel writes it, the bytes of its body, and whether it is handed out."""

    header: int
    size: int
    used: bool

    @property
    def body(self) -> int:
        """Address that the allocator returned for this block, or would return."""
        return self.header + HEADER_BYTES

    @property
    def end(self) -> int:
        """Address after the body; in a heap, of the next block's header."""
        return self.body + self.size
