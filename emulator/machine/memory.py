"""Guest RAM: the machine's physical memory, read and written in place.

`PhysicalMemory` satisfies `kernel_model.memory.Memory` structurally, so that a model works on it directly.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from emulator.machine.address_map import MIB
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernel_model.memory import OutsideMemory


class RamWindow(NamedTuple):
    """Where extended RAM lies: [start, end), physical, page aligned; it starts at 1 MiB as on every PC."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.end - self.start

    def __str__(self) -> str:
        return f"0x{self.start:08x}-0x{self.end:08x}"


DEFAULT_RAM = RamWindow(0x00100000, 0x00500000)
RAM_SIZE_MAX = 3 << 30


def check_ram(ram: RamWindow) -> RamWindow:
    """Return *ram*.

    Raises:
        ValueError: It is empty, unaligned, larger than 3 GiB, or does not start at 1 MiB.
    """
    if ram.start % PAGE_SIZE or ram.end % PAGE_SIZE:
        raise ValueError(f"RAM {ram} does not lie on page boundaries (0x1000)")
    if ram.start != MIB:
        raise ValueError(f"RAM {ram} does not start at 0x00100000, as extended RAM of a PC does")
    if ram.end <= ram.start:
        raise ValueError(f"RAM {ram} is empty")
    if ram.size > RAM_SIZE_MAX:
        raise ValueError(f"RAM {ram} is larger than 3 GiB")
    return ram


def _outside(address: int, size: int) -> OutsideMemory:
    from kernel_model.memory import OutsideMemory  # most runs never raise it

    return OutsideMemory(address, size)


class PhysicalMemory:
    """Typed loads and stores at physical addresses, little-endian, over the memory of the machine.

    Every access outside raises `kernel_model.memory.OutsideMemory`.

    Args:
        buffer: The memory.
        written: Called after each store with its address and size; None: nobody is.
    """

    __slots__ = ("_bytes", "_readable", "_size", "_words", "_written")

    def __init__(self, buffer: memoryview, written: Callable[[int, int], None] | None = None) -> None:
        self._written = written
        self._bytes = buffer.cast("B")
        self._words = self._bytes.cast("I")
        self._readable = self._bytes.toreadonly()
        self._size = len(self._bytes)

    def __len__(self) -> int:
        return self._size

    @property
    def buffer(self) -> memoryview:
        """All of it, to be read and written; of what is written so nobody is told."""
        return self._bytes

    def load_u8(self, address: int) -> int:
        """Return the byte at *address*."""
        if not 0 <= address < self._size:
            raise _outside(address, 1)
        return self._bytes[address]

    def store_u8(self, address: int, value: int) -> None:
        """Write one byte, 0 to 255."""
        if not 0 <= address < self._size:
            raise _outside(address, 1)
        self._bytes[address] = value
        if self._written is not None:
            self._written(address, 1)

    def load_u32(self, address: int) -> int:
        """Return the little-endian word at *address*; any alignment."""
        if address & 3:
            return int.from_bytes(self.read(address, 4), "little")
        if not 0 <= address < self._size:
            raise _outside(address, 4)
        return self._words[address >> 2]

    def store_u32(self, address: int, value: int) -> None:
        """Write one little-endian word; any alignment."""
        if address & 3:
            self.write(address, value.to_bytes(4, "little"))
            return
        if not 0 <= address < self._size:
            raise _outside(address, 4)
        self._words[address >> 2] = value
        if self._written is not None:
            self._written(address, 4)

    def load_words(self, address: int, count: int) -> tuple[int, ...]:
        """Return *count* words from *address* upwards."""
        if not 0 <= address <= self._size - 4 * count:
            raise _outside(address, 4 * count)
        return _words(count).unpack_from(self._bytes, address)

    def store_words(self, address: int, values: Sequence[int]) -> None:
        """Write words from *address* upwards."""
        if not 0 <= address <= self._size - 4 * len(values):
            raise _outside(address, 4 * len(values))
        _words(len(values)).pack_into(self._bytes, address, *values)
        if self._written is not None:
            self._written(address, 4 * len(values))

    def read(self, address: int, size: int) -> bytes:
        """Copy [address, address + size)."""
        return self.view(address, size).tobytes()

    def write(self, address: int, data: bytes) -> None:
        """Write all of *data* from *address* upwards."""
        end = address + len(data)
        if address < 0 or end > self._size:
            raise _outside(address, len(data))
        self._bytes[address:end] = data
        if self._written is not None:
            self._written(address, len(data))

    def view(self, address: int, size: int) -> memoryview:
        """A read-only view of [address, address + size); it shows later changes, too."""
        end = address + size
        if address < 0 or end > self._size:
            raise _outside(address, size)
        return self._readable[address:end]


@cache
def _words(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}I")
