"""The I/O bus: devices on their ports, what the native core may answer for them, and their states for snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.devices.device import FastPort
from emulator.machine.board.data_port import CoreDataPort
from emulator.machine.core.core_types import PortMode
from emulator.machine.core.handle import lib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from emulator.devices.device import DataPort, Device
    from emulator.machine.core.handle import Core

_NOBODY = 0xFFFFFFFF


class DeviceStates:
    """Saves devices and puts them back, but those that are in the wanted state already.

    A state that a device is known to be in is the very object that it was saved as or restored from. Devices may come later; in
    states from before they are as they were when they came.
    """

    def __init__(self) -> None:
        self._devices: list[Device] = []
        self._first: tuple[object, ...] = ()
        self._known: dict[object, object] = {}
        self._all: tuple[object, ...] | None = None  # the states that all devices are known to be in

    def add(self, device: Device) -> None:
        """Take in a device."""
        state = self._known[device] = device.save()
        self._devices.append(device)
        self._first = (*self._first, state)

    def touched(self, device: object) -> None:
        """A device is about to do something: its state will have to be asked for."""
        self._all = None
        self._known.pop(device, None)

    def all_touched(self) -> None:
        """The same of all devices."""
        self._all = None
        self._known.clear()

    def save(self) -> tuple[object, ...]:
        """Return the states of all devices."""
        for device in self._devices:
            if device not in self._known:
                self._known[device] = device.save()
        return tuple(self._known[device] for device in self._devices)

    def restore(self, states: tuple[object, ...]) -> Iterator[Device]:
        """Put all devices back into states that `save` returned; yield each that was in another one, when it is back."""
        if states is self._all:
            return
        for device, state in zip(self._devices, (*states, *self._first[len(states) :]), strict=True):
            if self._known.get(device, self) is not state:
                device.restore(state)
                yield device
                self._known[device] = state
        if len(self._known) == len(self._devices):  # else one has touched another
            self._all = states


class PortBus:
    """Routes port accesses to devices.

    Args:
        core: Is configured with the ports that it may answer alone.
        states: Those of the devices.
        restored: Called when devices have gone back to other states.
    """

    def __init__(self, core: Core, states: DeviceStates, restored: Callable[[], None]) -> None:
        self._core = core
        self._states = states
        self._restored = restored
        self._consoles: dict[Device, int] = {}  # of all devices
        self._by_port: dict[int, Device] = {}  # that are awake
        self._asleep: dict[int, Callable[[], Device]] = {}  # by port, too: what wakes a device
        self._announced: dict[int, FastPort] = {}
        self._data_ports: set[int] = set()
        self._fast: dict[Device, Mapping[int, FastPort]] = {}  # as the device said it last
        core.port_read, core.port_write = self.read, self.write

    @property
    def numbers(self) -> Iterable[int]:
        """The ports at which a device answers."""
        return self._by_port.keys() | self._asleep.keys()

    def reserve(self, ports: Iterable[int], wake: Callable[[], Device]) -> None:
        """Let a device sleep until the guest accesses one of its ports.

        Args:
            ports: All of them.
            wake: Makes it, connects it, and returns it.
        """
        for port in ports:
            self._asleep[port] = wake
            self._ask_at(port)

    def connect(self, device: Device, console: int = 0) -> None:
        """Put a device on its ports.

        Args:
            device: It answers there from now on.
            console: Number of the console that its output belongs to.
        """
        self._consoles[device] = console
        self._states.add(device)
        for port in device.ports:
            self._by_port[port] = device
            if self._asleep.pop(port, None) is None:
                self._ask_at(port)
        self.refresh(device)

    def data_port(self, port: int) -> DataPort:
        """Let a block of bytes pass through a port, in the core as far as that can be.

        Raises:
            HostError: There are too many such ports, or no memory left.
        """
        self._data_ports.add(port)
        return CoreDataPort(self._core, port)

    def read(self, port: int, size: int) -> int:
        """Answer `in`; the device may answer differently from now on."""
        device = self._by_port.get(port) or self._woken(port)
        if device is None:
            return _NOBODY
        self._states.touched(device)
        value = device.read_port(port, size)
        self.refresh(device)
        return value

    def write(self, port: int, size: int, value: int) -> None:
        """Take `out`; the device may answer differently from now on."""
        device = self._by_port.get(port) or self._woken(port)
        if device is not None:
            self._states.touched(device)
            device.write_port(port, size, value)
            self.refresh(device)

    def has(self, port: int) -> bool:
        """Return whether a device answers at a port."""
        return port in self._by_port or port in self._asleep

    def _woken(self, port: int) -> Device | None:
        wake = self._asleep.get(port)
        return None if wake is None else wake()

    def changed(self, device: Device) -> None:
        """A device has changed by itself: it may answer differently from now on."""
        self._states.touched(device)
        self.refresh(device)

    def refresh(self, device: Device) -> None:
        """Set which of a device's ports the core may answer."""
        fast, before = device.fast_ports(), self._fast.get(device, {})
        if fast is before or before == fast:
            return
        self._fast[device] = fast
        for port in before.keys() | fast.keys():
            answer = fast.get(port)
            if self._announced.get(port) == answer:
                continue
            if answer is None:
                del self._announced[port]
            else:
                self._announced[port] = answer
            self._set(port, answer or FastPort(), self._consoles[device])

    def _set(self, port: int, answer: FastPort, console: int) -> None:
        writes = PortMode.SINK if answer.sink else PortMode.OPEN if answer.ignores else PortMode.DEVICE
        self._set_out(port, writes, console)
        if answer.clock_hz is not None:
            lib.kc_port_in_clock(self._core.raw, port, answer.clock_hz)
        elif answer.constant is None:
            self._set_in(port, PortMode.DEVICE)
        else:
            self._set_in(port, PortMode.CONSTANT, answer.constant)
            if answer.until_ns is not None:
                lib.kc_port_in_until(self._core.raw, port, answer.until_ns)

    def _ask_at(self, port: int) -> None:
        self._set_out(port, PortMode.DEVICE)
        self._set_in(port, PortMode.DEVICE)

    def _set_out(self, port: int, mode: PortMode, console: int = 0) -> None:
        lib.kc_port_out(self._core.raw, port, mode, console)

    def _set_in(self, port: int, mode: PortMode, value: int = 0) -> None:
        lib.kc_port_in(self._core.raw, port, mode, value)

    def save(self) -> tuple[object, ...]:
        """The states of all devices that are awake."""
        self._touch_data_ports()
        return self._states.save()

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        assert isinstance(state, tuple)  # noqa: S101 - as `save` made it
        self._touch_data_ports()
        restored = list(self._states.restore(state))
        for device in restored:
            self.refresh(device)
        if restored:
            self._restored()

    def _touch_data_ports(self) -> None:
        """Say that devices may have moved bytes of a block without having been asked."""
        for port in self._data_ports:
            self._states.touched(self._by_port[port])
