"""Memory as the guest sees it: linear addresses, through its page tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import GuestStopped
from emulator.wording import code_location
from emulator.x86 import PAGE_SIZE, WORD_MAX

if TYPE_CHECKING:
    from emulator.loader.image import KernelImage
    from emulator.machine.core.cpu import Cpu
    from emulator.machine.memory import PhysicalMemory


class LinearMemory:
    """Reads and writes at linear addresses.

    Args:
        cpu: Translates addresses.
        memory: Of the machine.
        image: The kernel, to name locations in errors.
    """

    def __init__(self, cpu: Cpu, memory: PhysicalMemory, image: KernelImage) -> None:
        self._cpu = cpu
        self._memory = memory
        self._image = image

    def read(self, address: int, size: int) -> bytes:
        """Return *size* bytes, fewer where nothing is mapped."""
        data = b""
        while len(data) < size:
            physical = self._cpu.translate(address + len(data) & WORD_MAX)
            if physical is None or physical >= len(self._memory):
                break
            data += self._memory.read(physical, min(size - len(data), PAGE_SIZE - physical % PAGE_SIZE))
        return data

    def write(self, address: int, data: bytes) -> None:
        """Write all of *data* from *address* upwards.

        Raises:
            GuestStopped: A page is not mapped.
        """
        while data:
            physical = self._cpu.translate(address)
            if physical is None:
                eip = self._cpu.registers().eip
                raise GuestStopped(
                    f"0x{address:08x} is not mapped", eip, code_location(*self._image.location(eip))
                )
            size = min(len(data), PAGE_SIZE - address % PAGE_SIZE)
            self._memory.write(physical, data[:size])
            address, data = address + size & WORD_MAX, data[size:]
