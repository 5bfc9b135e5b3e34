"""The memory bus outside of RAM: devices whose registers lie in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.machine.core.handle import lib

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
        self._core, self._cpu = core, cpu
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
        self._announce(number)

    def read(self, window: int, offset: int, size: int) -> int:
        """Answer a load from a window."""
        return self._devices[window].read_memory(offset, size)

    def write(self, window: int, offset: int, size: int, value: int) -> None:
        """Take a store to a window."""
        device = self._devices[window]
        before = device.fast_words()
        device.write_memory(offset, size, value)
        if device.fast_words() is not before:
            self._announce(window)

    def _announce(self, window: int) -> None:
        for offset, value in self._devices[window].fast_words().items():
            self._core.opened(lib.kc_device_word(self._core.raw, window, offset, value))
