"""Read the values that DWARF is made of, never past the end of what may be read."""

from __future__ import annotations

_LEB_MORE = 0x80  # set in every byte of a LEB128 number but the last
_MAX_LEB_BYTES = 10
_MAX_PATH = 4096  # bytes


class Damaged(Exception):
    """The bytes are not what they should be."""


class ByteReader:
    """Reads little-endian values one after another. Every method raises `Damaged` past the end.

    Args:
        data: Bytes that are read.
        position: Where to begin in them.
        end: Where to stop.
    """

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self.data = data
        self.position = position
        self.end = end

    def take(self, size: int) -> bytes:
        """Return the next *size* bytes."""
        start = self.position
        if start + size > self.end:
            raise Damaged
        self.position = start + size
        return self.data[start : start + size]

    def unsigned(self, size: int) -> int:
        """Return the next *size* bytes as a number."""
        return int.from_bytes(self.take(size), "little")

    def uleb(self) -> int:
        """Return an unsigned number of variable length (DWARF 5, section 7.6)."""
        position = self.position
        if position < self.end <= len(self.data) and (byte := self.data[position]) < _LEB_MORE:
            self.position = position + 1
            return byte
        value, _ = self._leb()
        return value

    def sleb(self) -> int:
        """Return a signed number of variable length (DWARF 5, section 7.6)."""
        value, bits = self._leb()
        return value - (1 << bits) if value >> (bits - 1) else value

    def _leb(self) -> tuple[int, int]:
        value = 0
        for index in range(_MAX_LEB_BYTES):
            byte = self.unsigned(1)
            value |= (byte & ~_LEB_MORE) << (7 * index)
            if not byte & _LEB_MORE:
                return value, 7 * (index + 1)
        raise Damaged

    def string(self) -> memoryview:
        """Return a text up to its NUL, as a view of the bytes."""
        # A view and a limit: thousands of entries may name the same long string.
        end = self.data.find(b"\0", self.position, min(self.end, self.position + _MAX_PATH))
        if end < 0:
            raise Damaged
        text = memoryview(self.data)[self.position : end]
        self.position = end + 1
        return text
