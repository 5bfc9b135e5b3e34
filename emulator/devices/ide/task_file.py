"""The registers of a drive through which it gets commands, and what their bits mean.

Source: ATA/ATAPI-6, chapter 7 (interface registers) and 6.20 (48-bit addresses).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from emulator.devices.ide.identity import Geometry

ALWAYS_SET, LBA, SLAVE, HEAD_MASK = 0xA0, 0x40, 0x10, 0x0F
"""Bits of the device register."""

ABORTED = 0x04
"""Of the error register."""


class Status:
    """Bits of the status register that are used. No enumeration: its operators take longer than all else that an access does."""

    ERROR = 0x01
    DATA_REQUEST = 0x08
    SEEK_DONE = 0x10
    READY = 0x40
    BUSY = 0x80


IDLE = Status.READY | Status.SEEK_DONE


@dataclass(slots=True)
class TaskFile:
    """The registers of a drive.

    Attributes:
        feature: Written only.
        error: Read only.
        count: Of sectors. While a command runs, how many are left, up to 65536.
        sector: Bits 0-7 of the address, or the sector of the track, from 1.
        low: Bits 8-15 of the address, or of the cylinder.
        high: Bits 16-23, or of the cylinder.
        device: Bits 24-27, or the head; LBA, and which drive is meant.
        status: See `Status`.
        previous: What feature, count, sector, low and high held before they were last written; 48-bit commands use it.
        is_48_bit: Whether the present command is one of these.
    """

    feature: int = 0
    error: int = 0
    count: int = 1
    sector: int = 1
    low: int = 0
    high: int = 0
    device: int = ALWAYS_SET
    status: int = IDLE
    previous: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    is_48_bit: bool = False

    def copy(self) -> Self:
        """Return registers with the same values."""
        return replace(self)

    def write(self, register: int, byte: int) -> None:
        """Write one of the registers 1 (feature) to 5 (high), or 6 (device)."""
        if register == 6:  # noqa: PLR2004 - the register's number
            self.device = byte | ALWAYS_SET
            return
        feature, count, sector, low, high = self.previous
        match register:
            case 1:
                feature, self.feature = self.feature, byte
            case 2:
                count, self.count = self.count & 0xFF, byte
            case 3:
                sector, self.sector = self.sector, byte
            case 4:
                low, self.low = self.low, byte
            case 5:
                high, self.high = self.high, byte
        self.previous = feature, count, sector, low, high

    def read(self, register: int, *, previous: bool) -> int:
        """Read one of the registers 1 (error) to 7 (status); *previous*: what the registers 1 to 5 held before."""
        if previous and register <= len(self.previous):
            return self.previous[register - 1]
        values = (self.error, self.count & 0xFF, self.sector, self.low, self.high, self.device, self.status)
        return values[register - 1]

    def begin(self, *, is_48_bit: bool) -> None:
        """Begin a command that transfers sectors: count becomes their number."""
        self.is_48_bit = is_48_bit
        if not is_48_bit:
            self.count = self.count or 1 << 8
        else:
            self.count = self.previous[1] << 8 | self.count & 0xFF or 1 << 16

    def sign(self, *, present: bool) -> None:
        """Set what says after a reset that this is an ATA drive (ATA/ATAPI-6, 9.12)."""
        self.device &= ~HEAD_MASK
        self.count = self.sector = 1
        self.low = self.high = 0 if present else 0xFF

    def abort(self) -> None:
        """End a command that cannot be executed."""
        self.status = Status.READY | Status.ERROR
        self.error = ABORTED

    def first_sector(self, geometry: Geometry) -> int:
        """Return the number of the sector that is addressed; -1 and less: there is none, sectors of a track count from 1."""
        address = self.high << 16 | self.low << 8 | self.sector
        if not self.device & LBA:
            cylinder, head = self.high << 8 | self.low, self.device & HEAD_MASK
            return (cylinder * geometry.heads + head) * geometry.sectors + self.sector - 1
        if self.is_48_bit:
            _feature, _count, sector, low, high = self.previous
            return high << 40 | low << 32 | sector << 24 | address
        return (self.device & HEAD_MASK) << 24 | address

    def address(self, number: int, geometry: Geometry) -> None:
        """Let the registers address a sector."""
        if not self.device & LBA:
            track, sector = divmod(number, geometry.sectors)
            cylinder, head = divmod(track, geometry.heads)
            self.sector, self.low, self.high = sector + 1, cylinder & 0xFF, cylinder >> 8 & 0xFF
            self.device = self.device & ~HEAD_MASK | head & HEAD_MASK
            return
        self.sector, self.low, self.high = number & 0xFF, number >> 8 & 0xFF, number >> 16 & 0xFF
        if self.is_48_bit:
            feature, count = self.previous[:2]
            self.previous = (feature, count, number >> 24 & 0xFF, number >> 32 & 0xFF, number >> 40 & 0xFF)
        else:
            self.device = self.device & ~HEAD_MASK | number >> 24 & HEAD_MASK
