"""Physical memory as the models see it.

Theory. A model keeps no state of its own: everything it knows is read from, and everything it does is
written to, little-endian memory at physical addresses. So the same model runs on guest RAM (where it
finds what the guest's C code left), on a `ByteMemory` in a unit test, on a stored dump, and on
an `Overlay`, which records what the model *would* have written and leaves the base alone.

A method call costs far more than the bytes it moves, so neighbouring words go in one call
(`load_words`, `store_words`) and searches run over a `view`, which copies nothing.

Source: docs/architecture.md, "The way of the data"; spec, opening ("all words are little-endian 32-bit").
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_WORDS: Final = 20
"""Most words that `Memory.load_words` and `Memory.store_words` move in one call."""

WORD_STRUCTS: Final = tuple(Struct(f"<{count}I") for count in range(MAX_WORDS + 1))
"""Packers for 0 to `MAX_WORDS` little-endian words, by count."""

_U32: Final = WORD_STRUCTS[1]


class OutsideMemory(IndexError):
    """An access touches an address that the memory does not have. Nothing was written.

    Attributes:
        address: First address of the access.
        size: Bytes that were asked for.
    """

    def __init__(self, address: int, size: int) -> None:
        super().__init__(f"no memory at 0x{address:08x} (access of {size} bytes)")
        self.address = address
        self.size = size


class Memory(Protocol):
    """Byte-addressed little-endian memory. Addresses are physical, words unsigned, any alignment works.

    An access outside the memory raises `OutsideMemory` and writes nothing.
    """

    def load_u8(self, address: int) -> int:
        """Return the byte at *address*."""

    def store_u8(self, address: int, value: int) -> None:
        """Write one byte, 0 to 255."""

    def load_u32(self, address: int) -> int:
        """Return the word at *address*."""

    def store_u32(self, address: int, value: int) -> None:
        """Write one word, 0 to 0xFFFFFFFF."""

    def load_words(self, address: int, count: int) -> tuple[int, ...]:
        """Return *count* words (1 to `MAX_WORDS`) from *address* upwards."""

    def store_words(self, address: int, values: Sequence[int]) -> None:
        """Write 1 to `MAX_WORDS` words from *address* upwards."""

    def read(self, address: int, size: int) -> bytes:
        """Return a copy of *size* bytes."""

    def write(self, address: int, data: bytes) -> None:
        """Write all of *data* from *address* upwards."""

    def view(self, address: int, size: int) -> memoryview:
        """Return a read-only view (format ``B``) of *size* bytes, good until the next write."""


class ByteMemory:
    """Memory over a `bytearray`, zero at first: for unit tests and for stored dumps.

    Args:
        start: Address of the first byte.
        size: Number of bytes.
    """

    __slots__ = ("_bytes", "_size", "_start")

    def __init__(self, start: int, size: int) -> None:
        self._start = start
        self._size = size
        self._bytes = memoryview(bytearray(size))

    def _offset(self, address: int, size: int) -> int:
        offset = address - self._start
        if offset < 0 or size < 0 or offset + size > self._size:
            raise OutsideMemory(address, size)
        return offset

    def load_u8(self, address: int) -> int:
        """See `Memory.load_u8`."""
        return self._bytes[self._offset(address, 1)]

    def store_u8(self, address: int, value: int) -> None:
        """See `Memory.store_u8`."""
        self._bytes[self._offset(address, 1)] = value

    def load_u32(self, address: int) -> int:
        """See `Memory.load_u32`."""
        word: int = _U32.unpack_from(self._bytes, self._offset(address, 4))[0]
        return word

    def store_u32(self, address: int, value: int) -> None:
        """See `Memory.store_u32`."""
        _U32.pack_into(self._bytes, self._offset(address, 4), value)

    def load_words(self, address: int, count: int) -> tuple[int, ...]:
        """See `Memory.load_words`."""
        return WORD_STRUCTS[count].unpack_from(self._bytes, self._offset(address, 4 * count))

    def store_words(self, address: int, values: Sequence[int]) -> None:
        """See `Memory.store_words`."""
        count = len(values)
        WORD_STRUCTS[count].pack_into(self._bytes, self._offset(address, 4 * count), *values)

    def read(self, address: int, size: int) -> bytes:
        """See `Memory.read`."""
        offset = self._offset(address, size)
        return bytes(self._bytes[offset : offset + size])

    def write(self, address: int, data: bytes) -> None:
        """See `Memory.write`."""
        offset = self._offset(address, len(data))
        self._bytes[offset : offset + len(data)] = data

    def view(self, address: int, size: int) -> memoryview:
        """See `Memory.view`."""
        offset = self._offset(address, size)
        return self._bytes[offset : offset + size].toreadonly()


class Overlay:
    """Copy-on-write memory: reads see *base* with the overlay's writes on top, *base* is never written.

    Making or clearing one costs nothing; each written byte is one entry of a dict.
    """

    __slots__ = ("_base", "_changes")

    def __init__(self, base: Memory) -> None:
        self._base = base
        self._changes: dict[int, int] = {}

    def changes(self) -> dict[int, int]:
        """Return every byte written since the last `clear`, address -> value, even where the value is the old one."""
        return dict(self._changes)

    def clear(self) -> None:
        """Forget all writes."""
        self._changes.clear()

    def load_u8(self, address: int) -> int:
        """See `Memory.load_u8`."""
        value = self._changes.get(address)
        return self._base.load_u8(address) if value is None else value

    def store_u8(self, address: int, value: int) -> None:
        """See `Memory.store_u8`."""
        self.write(address, value.to_bytes(1, "little"))

    def load_u32(self, address: int) -> int:
        """See `Memory.load_u32`."""
        if not self._written(address, 4):
            return self._base.load_u32(address)
        return int.from_bytes(self.read(address, 4), "little")

    def store_u32(self, address: int, value: int) -> None:
        """See `Memory.store_u32`."""
        self.write(address, value.to_bytes(4, "little"))

    def load_words(self, address: int, count: int) -> tuple[int, ...]:
        """See `Memory.load_words`."""
        if not self._written(address, 4 * count):
            return self._base.load_words(address, count)
        return WORD_STRUCTS[count].unpack(self.read(address, 4 * count))

    def store_words(self, address: int, values: Sequence[int]) -> None:
        """See `Memory.store_words`."""
        self.write(address, WORD_STRUCTS[len(values)].pack(*values))

    def read(self, address: int, size: int) -> bytes:
        """See `Memory.read`."""
        data = self._base.read(address, size)
        written = self._written(address, size)
        if not written:
            return data
        patched = bytearray(data)
        for byte_address in written:
            patched[byte_address - address] = self._changes[byte_address]
        return bytes(patched)

    def write(self, address: int, data: bytes) -> None:
        """See `Memory.write`."""
        self._base.view(address, len(data))  # raises where the base has no memory, as a write to it would
        self._changes.update(zip(range(address, address + len(data)), data, strict=True))

    def view(self, address: int, size: int) -> memoryview:
        """See `Memory.view`. A copy where the overlay has writes in the range, else the base's own view."""
        if not self._written(address, size):
            return self._base.view(address, size)
        return memoryview(self.read(address, size))

    def _written(self, address: int, size: int) -> list[int]:
        """Return the written addresses in the range, by the shorter of two searches."""
        span = range(address, address + size)
        changes = self._changes
        if len(changes) < size:
            return [written for written in changes if written in span]
        return [candidate for candidate in span if candidate in changes]
