"""The memory bus outside of RAM: devices whose registers lie in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from emulator.machine.core.handle import lib

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.devices.device import MemoryDevice
    from emulator.machine.board.ports import DeviceStates
    from emulator.machine.core.cpu import Cpu
    from emulator.machine.core.handle import Core


class Windows:
    """Routes accesses of memory to devices.

    Args:
        core: Of the machine.
        cpu: Gets the windows.
        states: Those of the devices.
    """

    def __init__(self, core: Core, cpu: Cpu, states: DeviceStates) -> None:
        self._core, self._cpu, self._states = core, cpu, states
        self._wake: list[Callable[[], MemoryDevice]] = []
        self._devices: list[MemoryDevice | None] = []  # None: it sleeps, or the core does not know its words
        core.memory_read, core.memory_write = self.read, self.write

    def add(self, window: tuple[int, int], wake: Callable[[], MemoryDevice]) -> None:
        """Let a device answer in `[start, end)`, physical, outside of RAM and below 4 GiB.

        Args:
            window: This range.
            wake: Returns the device; called at the first access.

        Raises:
            HostError: There are too many windows.
        """
        number = self._cpu.map_device(*window)
        assert number == len(self._devices)  # noqa: S101 - only this adds windows
        self._wake.append(wake)
        self._devices.append(None)

    def read(self, window: int, offset: int, size: int) -> int:
        """Answer a load from a window."""
        device = self._devices[window] or self._woken(window)
        self._states.all_touched()  # APICs change each other
        return device.read_memory(offset, size)

    def write(self, window: int, offset: int, size: int, value: int) -> None:
        """Take a store to a window."""
        device = self._devices[window] or self._woken(window)
        self._states.all_touched()
        before = device.fast_words()
        device.write_memory(offset, size, value)
        if device.fast_words() is not before:
            self._announce(window, device)

    def save(self) -> object:
        """Return which devices have said what the core knows of them; the core keeps the words."""
        return tuple(self._devices)

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        self._devices = list(cast("tuple[MemoryDevice | None, ...]", state))

    def _woken(self, window: int) -> MemoryDevice:
        device = self._devices[window] = self._wake[window]()
        self._announce(window, device)
        return device

    def _announce(self, window: int, device: MemoryDevice) -> None:
        for offset, value in device.fast_words().items():
            self._core.opened(lib.kc_device_word(self._core.raw, window, offset, value))
