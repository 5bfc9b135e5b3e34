"""Access the kernel's memory from a test: by the addresses that the kernel uses itself, and by the names of its variables."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import EmulatorError
from kernel_model.memory import OutsideMemory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drgn import Program

    from emulator.machine.machine import Machine

_ADDRESS_SPACE = 1 << 32  # bytes


class GuestMemory:
    """Typed loads and stores, little-endian, at linear addresses: through the page tables when paging is on.

    Memory at physical addresses is `Machine.memory`.

    Every access where nothing is mapped raises `OutsideMemory`.
    """

    __slots__ = ("_machine",)

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def read(self, address: int, size: int) -> bytes:
        """Copy [address, address + size)."""
        data = self._machine.read_linear(address, size)
        if len(data) < size:
            raise OutsideMemory(address, size)
        return data

    def write(self, address: int, data: bytes) -> None:
        """Write all of *data* from *address* upwards; nothing if a part of it would lie outside of memory."""
        self.read(address, len(data))
        self._machine.write_linear(address, data)

    def load_u8(self, address: int) -> int:
        """Return the byte at *address*."""
        return self.read(address, 1)[0]

    def load_u16(self, address: int) -> int:
        """Return the half-word at *address*; any alignment."""
        return int.from_bytes(self.read(address, 2), "little")

    def load_u32(self, address: int) -> int:
        """Return the word at *address*; any alignment."""
        return int.from_bytes(self.read(address, 4), "little")

    def load_words(self, address: int, count: int) -> tuple[int, ...]:
        """Return *count* words from *address* upwards."""
        return struct.unpack(f"<{count}I", self.read(address, 4 * count))

    def load_text(self, address: int, most: int = 4096) -> str:
        """Return the text at *address* up to its NUL, or *most* bytes of it."""
        return self._machine.read_linear(address, most).partition(b"\0")[0].decode("utf-8", "replace")

    def store_u8(self, address: int, value: int) -> None:
        """Write one byte, 0 to 255."""
        self.write(address, value.to_bytes(1, "little"))

    def store_u16(self, address: int, value: int) -> None:
        """Write one half-word, unsigned; any alignment."""
        self.write(address, value.to_bytes(2, "little"))

    def store_u32(self, address: int, value: int) -> None:
        """Write one word, unsigned; any alignment."""
        self.write(address, value.to_bytes(4, "little"))

    def store_words(self, address: int, values: Sequence[int]) -> None:
        """Write words from *address* upwards."""
        self.write(address, struct.pack(f"<{len(values)}I", *values))


class NoObject(EmulatorError):
    """A variable of the kernel cannot be read; one line that says why."""


def open_program(machine: Machine) -> Program:
    """Return the kernel's variables with their types from DWARF: drgn reads guest memory whenever one is used.

    Raises:
        NoObject: drgn is not installed, or cannot read the kernel's file.
    """
    try:
        from drgn import Architecture, FaultError, Platform, PlatformFlags, Program
    except ImportError:
        raise NoObject("kernel.object() needs drgn: pip install 'kmemu[drgn]'") from None

    def read(address: int, count: int, _offset: int, _physical: bool) -> bytes:  # noqa: FBT001 - drgn's
        data = machine.read_linear(address, count)
        if len(data) < count:
            raise FaultError("not mapped", address + len(data))
        return data

    program = Program(Platform(Architecture.I386, PlatformFlags.IS_LITTLE_ENDIAN))
    program.add_memory_segment(0, _ADDRESS_SPACE, read, physical=False)
    image = machine.image
    module = program.extra_module(Path(image.path).name, create=True)
    start = min(segment.virtual for segment in image.segments)
    end = max(segment.virtual + segment.size for segment in image.segments)
    module.address_range = (start, end)
    try:
        module.try_file(image.path, force=True)
    except Exception as error:  # noqa: BLE001 - drgn raises plain Exception
        raise NoObject(f"{image.path}: drgn cannot read its debug information: {error}") from None
    return program
