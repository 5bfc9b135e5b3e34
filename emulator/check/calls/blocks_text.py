"""Blocks in the words of findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.check.findings import BlockHistory


def size_text(size: int) -> str:
    """Return ``24 bytes``."""
    return "1 byte" if size == 1 else f"{size} bytes"


def block_text(history: BlockHistory) -> str:
    """Return ``block #12 of 24 bytes``: a block is called by the call that made it."""
    size = f" of {size_text(history.size)}" if history.size else ""
    return f"block #{history.allocated.call}{size}"


def with_size(address: int, size: int) -> str:
    """Return ``0x0010b008 (24 bytes)``, or the address alone where the size is not known."""
    return f"0x{address:08x} ({size_text(size)})" if size else f"0x{address:08x}"
