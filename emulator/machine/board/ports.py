"""The I/O bus: devices on their ports, and what the native core may answer for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.machine.core.core_types import PortMode
from emulator.machine.core.handle import lib

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.devices.device import Device, FastPort
    from emulator.machine.core.handle import Core

_NOBODY = 0xFFFFFFFF


class PortBus:
    """Routes port accesses to devices.

    Args:
        core: Is configured with the ports that it may answer alone.
        devices: Each with the number of the console that its output belongs to.
    """

    def __init__(self, core: Core, devices: Iterable[tuple[Device, int]]) -> None:
        self._core = core
        self._devices = tuple(devices)
        self._by_port = {port: entry for entry in self._devices for port in entry[0].ports}
        self._announced: dict[int, FastPort] = {}
        for device, console in self._devices:
            for port in device.ports:
                self._set_out(port, PortMode.DEVICE)
                self._set_in(port, PortMode.DEVICE)
            self.refresh(device, console)
        core.port_read, core.port_write = self.read, self.write

    @property
    def numbers(self) -> Iterable[int]:
        """The ports at which a device answers."""
        return self._by_port.keys()

    def read(self, port: int, size: int) -> int:
        """Answer `in`."""
        entry = self._by_port.get(port)
        return _NOBODY if entry is None else entry[0].read_port(port, size)

    def write(self, port: int, size: int, value: int) -> None:
        """Take `out`; the device may answer differently from now on."""
        entry = self._by_port.get(port)
        if entry is not None:
            entry[0].write_port(port, size, value)
            self.refresh(*entry)

    def refresh(self, device: Device, console: int) -> None:
        """Set which of a device's ports the core may answer."""
        fast = device.fast_ports()
        for port in device.ports:
            answer = fast.get(port)
            if self._announced.get(port) == answer:
                continue
            sink = answer is not None and answer.sink
            constant = answer.constant if answer is not None else None
            self._set_out(port, PortMode.SINK if sink else PortMode.DEVICE, console)
            if constant is None:
                self._set_in(port, PortMode.DEVICE)
            else:
                self._set_in(port, PortMode.CONSTANT, constant)
            if answer is None:
                self._announced.pop(port, None)
            else:
                self._announced[port] = answer

    def _set_out(self, port: int, mode: PortMode, console: int = 0) -> None:
        lib.kc_port_out(self._core.raw, port, mode, console)

    def _set_in(self, port: int, mode: PortMode, value: int = 0) -> None:
        lib.kc_port_in(self._core.raw, port, mode, value)

    def save(self) -> tuple[object, ...]:
        """The states of all devices."""
        return tuple(device.save() for device, _console in self._devices)

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        assert isinstance(state, tuple)  # noqa: S101 - as `save` made it
        for (device, console), one in zip(self._devices, state, strict=True):
            device.restore(one)
            self.refresh(device, console)
