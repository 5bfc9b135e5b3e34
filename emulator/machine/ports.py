"""The I/O bus: devices on their ports, and what the native core may answer for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.machine.core_types import PortMode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.devices.device import Device, FastPort
    from emulator.machine.cpu import Cpu

_NOBODY = 0xFFFFFFFF


class PortBus:
    """Routes port accesses to devices.

    Args:
        cpu: Gets told which ports it may answer alone.
        devices: Each with the number of the console that its output belongs to.
    """

    def __init__(self, cpu: Cpu, devices: Iterable[tuple[Device, int]]) -> None:
        self._cpu = cpu
        self._devices = tuple(devices)
        self._by_port = {port: entry for entry in self._devices for port in entry[0].ports}
        self._announced: dict[int, FastPort] = {}
        for device, console in self._devices:
            for port in device.ports:
                cpu.set_port_out(port, PortMode.DEVICE)
                cpu.set_port_in(port, PortMode.DEVICE)
            self.refresh(device, console)

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
        """Tell the core which of a device's ports it may answer."""
        fast = device.fast_ports()
        for port in device.ports:
            answer = fast.get(port)
            if self._announced.get(port) == answer:
                continue
            sink = answer is not None and answer.sink
            constant = answer.constant if answer is not None else None
            self._cpu.set_port_out(port, PortMode.SINK if sink else PortMode.DEVICE, console)
            if constant is None:
                self._cpu.set_port_in(port, PortMode.DEVICE)
            else:
                self._cpu.set_port_in(port, PortMode.CONSTANT, constant)
            if answer is None:
                self._announced.pop(port, None)
            else:
                self._announced[port] = answer

    def save(self) -> tuple[object, ...]:
        """The states of all devices."""
        return tuple(device.save() for device, _console in self._devices)

    def restore(self, states: tuple[object, ...]) -> None:
        """Go back to states that `save` returned."""
        for (device, console), state in zip(self._devices, states, strict=True):
            device.restore(state)
            self.refresh(device, console)
