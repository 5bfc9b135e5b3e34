"""The memory bus outside of RAM: devices whose registers lie in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.devices.device import MemoryDevice
    from emulator.machine.core.cpu import Cpu
    from emulator.machine.core.handle import Core


class Windows:
    """Routes accesses of memory to devices.

    Args:
        core: Of the machine.
        cpu: Gets the windows.
    """

    def __init__(self, core: Core, cpu: Cpu) -> None:
        self._cpu = cpu
        self._devices: list[MemoryDevice] = []
        core.memory_read, core.memory_write = self.read, self.write

    def add(self, window: tuple[int, int], device: MemoryDevice) -> None:
        """Let a device answer in `[start, end)`, physical, outside of RAM and below 4 GiB.

        Raises:
            HostError: There are too many windows.
        """
        number = self._cpu.map_device(*window)
        assert number == len(self._devices)  # noqa: S101 - only this adds windows
        self._devices.append(device)

    def read(self, window: int, offset: int, size: int) -> int:
        """Answer a load from a window."""
        return self._devices[window].read_memory(offset, size)

    def write(self, window: int, offset: int, size: int, value: int) -> None:
        """Take a store to a window."""
        self._devices[window].write_memory(offset, size, value)
