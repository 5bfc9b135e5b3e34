"""Builds Multiboot 2 headers."""

from __future__ import annotations

import struct

END = struct.pack("<HHI", 0, 0, 8)


def tag(kind: int, *words: int, optional: bool = False) -> bytes:
    """Return a tag of 32-bit words, filled up to a multiple of 8 bytes."""
    body = struct.pack(f"<{len(words)}I", *words)
    return struct.pack("<HHI", kind, optional, 8 + len(body)) + body + bytes(-len(body) % 8)


def header(*tags: bytes, architecture: int = 0, error: int = 0, end: bytes = END) -> bytes:
    """Return a header with these tags and an end tag."""
    body = b"".join(tags) + end
    words = (0xE85250D6, architecture, 16 + len(body))
    return struct.pack("<4I", *words, (error - sum(words)) & 0xFFFFFFFF) + body
