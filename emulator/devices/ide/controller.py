"""The IDE controller of the PIIX3: two channels at the ports of old, and their bus masters where PCI says.

Source: Intel 82371SB (PIIX3) data sheet, 2.3 and 2.7.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from emulator.devices import addresses
from emulator.devices.device import FastPort
from emulator.devices.ide.channel import Channel
from emulator.devices.ide.drive import Drive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emulator.devices.board import Wires
    from emulator.devices.ide.channel import ChannelState
    from emulator.devices.ide.disk import DiskContents
    from emulator.devices.pci import Function

_BASES, _CONTROLS, _BUS_MASTER = addresses.IDE_CHANNELS, addresses.IDE_CONTROLS, addresses.IDE_BUS_MASTER
_BLOCK = 8  # ports of a channel, and of its bus master
_ENABLE_PORTS, _ENABLE_MASTER = 0x01, 0x04  # of the PCI command register
_BASE_REGISTER = 0x20  # in PCI configuration space
_COMMAND_REGISTER = 0x04
_NOBODY = 0xFFFFFFFF
_STATUS = 7
_ADDRESSES = frozenset(base + register for base in _BASES for register in range(1, 6))
"""What is written there has no effect before the next command."""
_REGISTERS = {
    base + register: (channel, register) for channel, base in enumerate(_BASES) for register in range(_BLOCK)
}


class _MasterMemory:
    """Physical memory for bus masters: closed until the guest enables them."""

    def __init__(self, wires: Wires, function: Function) -> None:
        self._wires, self._function = wires, function

    def _is_open(self) -> bool:
        return bool(self._function.read(_COMMAND_REGISTER, 1) & _ENABLE_MASTER)

    def read(self, address: int, size: int) -> bytes:
        """Return *size* bytes."""
        return self._wires.read_memory(address, size) if self._is_open() else bytes(size)

    def write(self, address: int, data: bytes) -> None:
        """Store bytes."""
        if self._is_open():
            self._wires.write_memory(address, data)


class _State(NamedTuple):
    """What snapshots keep of the controller."""

    channels: tuple[ChannelState, ...]


class IdeController:
    """The IDE controller.

    The bus masters' ports stay where the BIOS has put them: if the guest moves them, nobody answers at the new ones.

    Args:
        wires: Two interrupt lines, physical memory, and data ports.
        function: The controller in PCI configuration space.
        disks: What the disks hold, four at most; the first two are on the first channel.
    """

    ports = addresses.IDE

    def __init__(self, wires: Wires, function: Function, disks: Sequence[DiskContents]) -> None:
        self._function = function
        memory = _MasterMemory(wires, function)
        interrupts = wires.interrupt, wires.second_interrupt
        drives = tuple(
            Drive(number, contents) for number, contents in zip_longest(range(addresses.IDE_DRIVES), disks)
        )
        pairs = drives[:2], drives[2:]
        self._channels = tuple(
            Channel(wires.data_port(base), interrupt, memory, pair)
            for base, interrupt, pair in zip(_BASES, interrupts, pairs, strict=True)
        )
        self._fast: Mapping[int, FastPort] | None = None  # None: the status may have changed

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`."""
        self._fast = None
        if port >= _BUS_MASTER:
            if not self._has_master_ports():
                return _NOBODY >> 32 - 8 * size
            channel, offset = divmod(port - _BUS_MASTER, _BLOCK)
            return self._channels[channel].master.read(offset, size)
        if port in _CONTROLS:
            others = _NOBODY >> 32 - 8 * size & ~0xFF  # ports that follow, where the floppy drive would be
            return others | self._channels[_CONTROLS.index(port)].read_status()
        channel, register = _REGISTERS[port]
        return self._channels[channel].read(register, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`."""
        if port not in _ADDRESSES or size > 1:
            self._fast = None
        if port >= _BUS_MASTER:
            channel, offset = divmod(port - _BUS_MASTER, _BLOCK)
            if self._has_master_ports() and self._channels[channel].master.write(offset, size, value):
                self._channels[channel].start_dma()
        elif port in _CONTROLS:
            self._channels[_CONTROLS.index(port)].write_control(value & 0xFF)
        else:
            channel, register = _REGISTERS[port]
            self._channels[channel].write(register, size, value)

    def fast_ports(self) -> Mapping[int, FastPort]:
        """The status of each channel, unless reading it has an effect, and the alternate one. Data ports are fast by other means."""
        if self._fast is None:
            first, second = self._channels
            self._fast = _status_ports(
                first.quiet_status(), first.read_status(), second.quiet_status(), second.read_status()
            )
        return self._fast

    def save(self) -> object:
        """Return the state of both channels, with the sectors written."""
        return _State(tuple(channel.save() for channel in self._channels))

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        if not isinstance(state, _State):
            raise TypeError(f"not a state of IdeController: {state!r}")
        self._fast = None
        for channel, each in zip(self._channels, state.channels, strict=True):
            channel.restore(each)

    def _has_master_ports(self) -> bool:
        is_enabled = self._function.read(_COMMAND_REGISTER, 1) & _ENABLE_PORTS
        return bool(is_enabled) and self._function.read(_BASE_REGISTER, 4) & ~0xF == _BUS_MASTER


@lru_cache(maxsize=64)
def _status_ports(*status: int | None) -> Mapping[int, FastPort]:
    ports = (_BASES[0] + _STATUS, _CONTROLS[0], _BASES[1] + _STATUS, _CONTROLS[1])
    return {
        port: FastPort(constant=value) for port, value in zip(ports, status, strict=True) if value is not None
    }
