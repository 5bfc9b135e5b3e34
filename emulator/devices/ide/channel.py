"""A channel of the controller: the ports through which two drives are reached, and their interrupt.

Source: ATA/ATAPI-6, chapters 7 and 9; what is read where no drive is, is QEMU's (hw/ide/core.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.devices.device import read_bytes, write_bytes
from emulator.devices.ide.bus_master import BusMaster
from emulator.devices.ide.task_file import SLAVE, Status, TaskFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.devices.device import DataPort
    from emulator.devices.ide.bus_master import MasterState, Memory
    from emulator.devices.ide.drive import Drive, DriveState

_DATA, _DEVICE, _COMMAND = 0, 6, 7  # registers; the last one is the status when it is read
_NO_INTERRUPTS, _RESET, _PREVIOUS = 0x02, 0x04, 0x80  # bits of the control register
_AFTER_FINDING = TaskFile(count=0, sector=0, device=0xB0)
_AFTER_SEARCH = TaskFile(count=0, sector=0, device=0xB0, previous=(0, 0x55, 0xAA, 0, 0))
"""Of both drives at the guest's start: SeaBIOS has looked for the second one, and found it, or none."""


class ChannelState(NamedTuple):
    """What a snapshot keeps of a channel."""

    selected: int
    control: int
    is_raised: bool
    data: bytes
    position: int
    to_guest: bool
    drives: tuple[DriveState, ...]
    master: MasterState


class Channel:
    """A channel with its two drives.

    Args:
        data: The data port.
        interrupt: Raises the interrupt line.
        memory: For the bus master.
        drives: Both, present or not. A second one is not there without the first.

    Attributes:
        master: Its bus master.
    """

    def __init__(
        self, data: DataPort, interrupt: Callable[[], None], memory: Memory, drives: tuple[Drive, ...]
    ) -> None:
        self._data = data
        self._interrupt = interrupt
        self.master = BusMaster(memory)
        self._drives = drives
        self._has_drives = any(drive.is_present for drive in drives)
        is_full = all(drive.is_present for drive in drives)
        for drive in drives:
            drive.connect(self)
            drive.registers = (_AFTER_FINDING if is_full else _AFTER_SEARCH).copy()
        self._selected = 1
        self._control = 0
        self._is_raised = False

    # -- registers -------------------------------------------------------------------------------------

    @property
    def _drive(self) -> Drive:
        return self._drives[self._selected]

    def read(self, register: int, size: int) -> int:
        """Read a register, 0 to 7."""
        if size == 1:
            return self._read(register)
        return self._read_data(size) if register == _DATA else read_bytes(self._read, register, size)

    def write(self, register: int, size: int, value: int) -> None:
        """Write a register, 0 to 7."""
        if size == 1:
            self._write(register, value)
        elif register == _DATA:
            self._write_data(size, value)
        else:
            write_bytes(self._write, register, size, value)

    def read_status(self) -> int:
        """Read the alternate status: that leaves the interrupt as it is."""
        return self._drive.registers.status if self._is_answered(_COMMAND) else 0

    def quiet_status(self) -> int | None:
        """Return what the status reads as without any effect; None: reading it takes the interrupt back."""
        return None if self._is_raised else self.read_status()

    def write_control(self, byte: int) -> None:
        """Write the device control register."""
        resets = byte & _RESET and not self._control & _RESET
        self._control = byte
        if resets:  # which is over at once: the bit may be set again
            self.cut()
            for drive in self._drives:
                drive.reset()
                drive.diagnose()
            self._control &= ~_RESET

    def _is_answered(self, register: int) -> bool:
        """Tell whether a drive answers. For one that is missing beside another, that one's registers are read."""
        return self._has_drives and (self._drive.is_present or register not in (1, _COMMAND))

    def _read(self, register: int) -> int:
        if not _DATA < register <= _COMMAND:
            return 0
        if register == _COMMAND:
            self._is_raised = False
        if not self._is_answered(register):
            return 0
        return self._drive.registers.read(register, previous=bool(self._control & _PREVIOUS))

    def _write(self, register: int, byte: int) -> None:
        if not _DATA < register <= _COMMAND:
            return
        status = self._drive.registers.status
        if register != _COMMAND and status & (Status.BUSY | Status.DATA_REQUEST):
            return
        self._control &= ~_PREVIOUS
        if register == _COMMAND:
            self._is_raised = False
            if not status & (Status.BUSY | Status.DATA_REQUEST) and (
                self._drive.is_present or not self._selected
            ):
                self._drive.execute(byte)
            return
        for drive in self._drives:
            drive.registers.write(register, byte)
        if register == _DEVICE:
            self._selected = int(bool(byte & SLAVE))

    # -- the data port ---------------------------------------------------------------------------------

    def _can_move(self, size: int, *, to_guest: bool) -> bool:
        data = self._data
        asked = self._drive.registers.status & Status.DATA_REQUEST
        return bool(asked) and data.to_guest == to_guest and data.position + size <= data.end

    def _read_data(self, size: int) -> int:
        data = self._data
        if not self._can_move(size, to_guest=True):
            return 0
        value = int.from_bytes(data.buffer[data.position : data.position + size], "little")
        self._moved(size)
        return value

    def _write_data(self, size: int, value: int) -> None:
        data = self._data
        if self._can_move(size, to_guest=False):
            data.buffer[data.position : data.position + size] = value.to_bytes(size, "little")
            self._moved(size)

    def _moved(self, size: int) -> None:
        data = self._data
        data.position += size
        if data.position < data.end:
            return
        received = b"" if data.to_guest else bytes(data.buffer[: data.end])
        self._drive.registers.status &= ~Status.DATA_REQUEST
        self.cut()
        self._drive.transferred(received)

    # -- what drives call ------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Raise the interrupt line, if the guest lets drives do that."""
        if self._control & _NO_INTERRUPTS:
            return
        self.master.interrupted()
        if not self._is_raised:
            self._is_raised = True
            self._interrupt()

    def send(self, data: bytes) -> None:
        """Let the guest read data."""
        self._data.buffer[: len(data)] = data
        self._data.position, self._data.end, self._data.to_guest = 0, len(data), True

    def receive(self, size: int) -> None:
        """Let the guest write so many bytes."""
        self._data.position, self._data.end, self._data.to_guest = 0, size, False

    def cut(self) -> None:
        """End a transfer."""
        self._data.position = self._data.end = 0

    def start_dma(self) -> None:
        """Let the bus master move what the selected drive waits for, if it has been started."""
        self.master.run(self._drive)

    # -- snapshots -------------------------------------------------------------------------------------

    def save(self) -> ChannelState:
        """Return the state of channel, drives and bus master."""
        data = self._data
        return ChannelState(
            self._selected,
            self._control,
            self._is_raised,
            bytes(data.buffer[: data.end]),
            data.position,
            bool(data.to_guest),
            tuple(drive.save() for drive in self._drives),
            self.master.state,
        )

    def restore(self, state: ChannelState) -> None:
        """Go back to a state that `save` returned."""
        self._selected, self._control, self._is_raised = state.selected, state.control, state.is_raised
        self.send(state.data)
        self._data.position, self._data.to_guest = state.position, state.to_guest
        for drive, each in zip(self._drives, state.drives, strict=True):
            drive.restore(each)
        self.master.state = state.master
