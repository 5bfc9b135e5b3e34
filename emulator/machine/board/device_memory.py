"""Physical memory, as devices get at it that are bus masters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.machine.address_map import MIB, ROM_START
from emulator.machine.core.handle import ffi, lib

if TYPE_CHECKING:
    from emulator.machine.core.handle import Core


class DeviceMemory:
    """Reads and writes of devices.

    Args:
        core: Of the machine.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def read(self, address: int, size: int) -> bytes:
        """Return *size* bytes of physical memory; zeroes where none is."""
        return bytes(self._core.memory[address : address + size]).ljust(size, b"\0")

    def write(self, address: int, data: bytes) -> None:
        """Write to physical memory; ROM and what is not there do not change. The guest executes new code where there was other code."""
        end = min(address + len(data), len(self._core.memory))
        for start, stop in ((address, min(end, ROM_START)), (max(address, MIB), end)):
            if start < stop:
                part = data[start - address : stop - address]
                lib.kc_dma_write(self._core.raw, start, ffi.from_buffer(part), len(part))
