"""Guest RAM as models see it while calls run in lockstep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.machine.address_map import MIB, ROM_START
from emulator.machine.memory import PhysicalMemory
from kernel_model.memory import OutsideMemory, Overlay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.machine.machine import Machine


class ModelMemory(PhysicalMemory):
    """Guest RAM for models that replace functions: what they write over code is executed as written, and seen by watchpoints.

    Args:
        machine: The guest's machine.
    """

    __slots__ = ("_code_written", "_write_follows")

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.memory.buffer)
        self._code_written = machine.cpu.code_written
        self._write_follows = machine.cpu.write_follows

    def store_u8(self, address: int, value: int) -> None:
        """See `PhysicalMemory.store_u8`."""
        self._write_follows(address, 1)
        super().store_u8(address, value)
        self._code_written(address, 1)

    def store_u32(self, address: int, value: int) -> None:
        """See `PhysicalMemory.store_u32`."""
        self._write_follows(address, 4)
        super().store_u32(address, value)
        self._code_written(address, 4)

    def store_words(self, address: int, values: Sequence[int]) -> None:
        """See `PhysicalMemory.store_words`."""
        self._write_follows(address, 4 * len(values))
        super().store_words(address, values)
        self._code_written(address, 4 * len(values))

    def write(self, address: int, data: bytes) -> None:
        """See `PhysicalMemory.write`."""
        self._write_follows(address, len(data))
        super().write(address, data)
        self._code_written(address, len(data))


class WatchedMemory(ModelMemory):
    """Guest RAM for models that replace functions inside calls in lockstep: their writes count as the native code's.

    Args:
        machine: The guest's machine, which notes the pages that are written.
    """

    __slots__ = ("_note",)

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._note = machine.observers.count_write

    def store_u8(self, address: int, value: int) -> None:
        """See `PhysicalMemory.store_u8`."""
        self._note(address, 1)
        super().store_u8(address, value)

    def store_u32(self, address: int, value: int) -> None:
        """See `PhysicalMemory.store_u32`."""
        self._note(address, 4)
        super().store_u32(address, value)

    def store_words(self, address: int, values: Sequence[int]) -> None:
        """See `PhysicalMemory.store_words`."""
        self._note(address, 4 * len(values))
        super().store_words(address, values)

    def write(self, address: int, data: bytes) -> None:
        """See `PhysicalMemory.write`."""
        self._note(address, len(data))
        super().write(address, data)


class OwnMemory(Overlay):
    """Guest RAM for a model in lockstep: as the native code finds it, except for the stack, which a model does not have.

    Args:
        base: Guest RAM.

    Attributes:
        stack: Physical addresses of the part of the stack that the native code uses itself.
    """

    __slots__ = ("stack",)

    def __init__(self, base: PhysicalMemory) -> None:
        super().__init__(base)
        self.stack: tuple[range, ...] = ()

    def _check(self, address: int, size: int) -> None:
        for each in self.stack:  # a generator takes four times as long
            if address < each.stop and address + size > each.start:
                problem = "no structure of the kernel's can lie there"
                raise IndexError(f"0x{address:08x} is on the stack: {problem}")

    def load_u8(self, address: int) -> int:
        """See `Overlay.load_u8`."""
        self._check(address, 1)
        return super().load_u8(address)

    def load_u32(self, address: int) -> int:
        """See `Overlay.load_u32`."""
        self._check(address, 4)
        return super().load_u32(address)

    def load_words(self, address: int, count: int) -> tuple[int, ...]:
        """See `Overlay.load_words`."""
        self._check(address, 4 * count)
        return super().load_words(address, count)

    def read(self, address: int, size: int) -> bytes:
        """See `Overlay.read`. A `view` is not checked: it spans bodies of blocks, and they may hold stacks."""
        self._check(address, size)
        return super().read(address, size)

    def write(self, address: int, data: bytes) -> None:
        """See `Overlay.write`."""
        self._check(address, len(data))
        if address < MIB and address + len(data) > ROM_START:
            raise OutsideMemory(address, len(data))  # ROM: the native code's write has no effect
        super().write(address, data)
