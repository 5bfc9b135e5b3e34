"""The bus master of a channel: it moves sectors between a drive and memory, as a table in memory says.

Source: Programming Interface for Bus Master IDE Controller, revision 1.0; Intel 82371SB (PIIX3) data sheet, 2.7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from emulator.devices.ide.drive import DmaKind

if TYPE_CHECKING:
    from emulator.devices.ide.drive import Drive

_COMMAND, _STATUS, _TABLE = 0, 2, 4
_START, _COMMAND_BITS = 0x01, 0x09
_TABLE_MAX = 4096  # bytes of a table that are read
_ENTRY = 8
_END_OF_TABLE = 1 << 31


class MasterStatus:
    """Bits of the status register. No enumeration: its operators are slow."""

    ACTIVE = 0x01
    ERROR = 0x02
    INTERRUPT = 0x04
    DRIVES = 0x60  # can do DMA: for software to set


class Memory(Protocol):
    """Physical memory, as a device gets at it. What is not there reads as zeroes; writes to it have no effect."""

    def read(self, address: int, size: int) -> bytes:
        """Return *size* bytes."""

    def write(self, address: int, data: bytes) -> None:
        """Store bytes."""


class MasterState(NamedTuple):
    """The registers."""

    command: int = 0
    status: int = 0
    table: int = 0


class BusMaster:
    """The bus master of one channel.

    Args:
        memory: Where tables and data lie.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.state = MasterState()

    def read(self, offset: int, size: int) -> int:
        """Read at one of the eight ports."""
        ones = (1 << 8 * size) - 1
        if offset >= _TABLE:
            return self.state.table >> 8 * (offset - _TABLE) & ones
        if size != 1 or offset not in (_COMMAND, _STATUS):
            return ones
        return self.state.command if offset == _COMMAND else self.state.status

    def write(self, offset: int, size: int, value: int) -> bool:
        """Write at one of the eight ports. Return whether that starts the bus master."""
        state, ones = self.state, (1 << 8 * size) - 1
        if offset >= _TABLE:
            shift = 8 * (offset - _TABLE)
            kept = state.table & ~(ones << shift)
            self.state = state._replace(table=(kept | value << shift) & 0xFFFFFFFC)
        elif size == 1 and offset == _STATUS:
            kept = state.status & (
                MasterStatus.ACTIVE | ~value & (MasterStatus.ERROR | MasterStatus.INTERRUPT)
            )
            self.state = state._replace(status=kept | value & MasterStatus.DRIVES)
        elif size == 1 and offset == _COMMAND:
            return self._command(value)
        return False

    def interrupted(self) -> None:
        """Note that a drive of the channel has raised its interrupt."""
        self.state = self.state._replace(status=self.state.status | MasterStatus.INTERRUPT)

    def run(self, drive: Drive) -> None:
        """Do what a drive waits for, if the guest has started the bus master."""
        if drive.dma is None or not self.state.status & MasterStatus.ACTIVE:
            return
        size = drive.dma_size()
        regions, described = self._regions(size)
        if described < size:
            self._set_active(active=False)
            drive.dma_too_short()
        elif drive.dma is DmaKind.READ:
            data = drive.dma_read()
            if data is not None:
                self._scatter(regions, data)
            self._finish(drive, is_good=data is not None, is_left_over=described > size)
        else:
            data = b"".join(self._memory.read(address, length) for address, length in regions)
            self._finish(drive, is_good=drive.dma_write(data), is_left_over=described > size)

    def _finish(self, drive: Drive, *, is_good: bool, is_left_over: bool) -> None:
        """End a transfer. With memory left over the bus master remains active, as chapter 3.1 of the source has it."""
        self._set_active(active=is_good and is_left_over)
        if is_good:
            drive.dma_done()

    def _command(self, value: int) -> bool:
        starts = value & _START and not self.state.command & _START
        stops = self.state.command & _START and not value & _START
        was_active = bool(self.state.status & MasterStatus.ACTIVE)
        self.state = self.state._replace(command=value & _COMMAND_BITS)
        if starts or stops:
            self._set_active(active=bool(starts))
        return bool(starts) and not was_active

    def _set_active(self, *, active: bool) -> None:
        status = self.state.status & ~MasterStatus.ACTIVE
        self.state = self.state._replace(status=status | MasterStatus.ACTIVE if active else status)

    def _scatter(self, regions: list[tuple[int, int]], data: bytes) -> None:
        at = 0
        for address, length in regions:
            self._memory.write(address, data[at : at + length])
            at += length

    def _regions(self, size: int) -> tuple[list[tuple[int, int]], int]:
        """Return the regions of memory, address and length, for a transfer of *size* bytes, and how many bytes the table describes."""
        regions: list[tuple[int, int]] = []
        described = 0
        for at in range(self.state.table, self.state.table + _TABLE_MAX, _ENTRY):
            entry = int.from_bytes(self._memory.read(at, _ENTRY), "little")
            address, count = entry & 0xFFFFFFFF, entry >> 32
            length = count & 0xFFFE or 1 << 16
            used = min(length, size - described)
            if used > 0:
                regions.append((address, used))
            described += length
            if count & _END_OF_TABLE:
                break
        return regions, described
