"""The ATA disks, as the BIOS finds and reads them: by programmed input and output, without interrupts.

What it has found lies in the extended data area, from the first call on.

Source: ATA/ATAPI-6; the order of drives and their translation as SeaBIOS has them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.boot_protocol.bios_data import DRIVE_TABLE
from emulator.devices import addresses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.bios.pc import Pc

SECTOR: Final = 512
TABLE_SIZE: Final = 16
"""Bytes of a table of parameters."""

_CHANNELS: Final = tuple(zip(addresses.IDE_CHANNELS, addresses.IDE_CONTROLS, strict=True))
_ERROR, _COUNT, _LOW, _MIDDLE, _HIGH, _DEVICE, _COMMAND = range(1, 8)  # from a channel's first port on
_SLAVE, _LBA = 0x10, 0x40
_IDENTIFY, _READ, _WRITE, _READ_EXT, _WRITE_EXT = 0xEC, 0x20, 0x30, 0x24, 0x34
_NO_INTERRUPTS, _INTERRUPTS = 0x0A, 0x08
_FAILED, _DATA, _READY = 0x01, 0x08, 0x40  # of the status
_ACCESS: Final = 4  # bytes
_LBA28_END: Final = 1 << 28
_BLOCK: Final = 128  # sectors of a command
_KNOWN: Final = 0xA5
_HEADER, _ENTRY = struct.Struct("<BB14x"), struct.Struct("<BBHHHHHHQ")
_HEADS_SMALL, _CYLINDERS_SMALL = 16, 1024
_TRACK: Final = 63


class Geometry(NamedTuple):
    """Cylinders, heads, and sectors of a track."""

    cylinders: int
    heads: int
    sectors: int


class Drive(NamedTuple):
    """A disk.

    Attributes:
        channel: Of the controller, 0 or 1.
        slave: Whether it is the channel's second one.
        physical: Its own geometry.
        logical: The one that callers use.
        sectors: How many it has.
    """

    channel: int
    slave: bool
    physical: Geometry
    logical: Geometry
    sectors: int


def drives(pc: Pc) -> list[Drive]:
    """Return the disks, in the order of their numbers from 80h on."""
    known, count = _HEADER.unpack(pc.read(DRIVE_TABLE, _HEADER.size))
    if known != _KNOWN:
        found = list(_found(pc))
        table = _HEADER.pack(_KNOWN, len(found)) + b"".join(_packed(each) for each in found)
        pc.write(DRIVE_TABLE, table)
        return found
    table = pc.read(DRIVE_TABLE + _HEADER.size, count * _ENTRY.size)
    return [_unpacked(*entry) for entry in _ENTRY.iter_unpack(table)]


def _packed(drive: Drive) -> bytes:
    return _ENTRY.pack(drive.channel, drive.slave, *drive.physical, *drive.logical, drive.sectors)


def _unpacked(*fields: int) -> Drive:
    channel, slave, *geometries, sectors = fields
    return Drive(channel, bool(slave), Geometry(*geometries[:3]), Geometry(*geometries[3:]), sectors)


def _found(pc: Pc) -> Iterator[Drive]:
    for channel, (base, _) in enumerate(_CHANNELS):
        if not pc.has_port(base):
            continue
        for slave in (False, True):
            answer = _identity(pc, channel, slave=slave)
            if answer:
                yield _drive(channel, answer, slave=slave)


def _drive(channel: int, answer: bytes, *, slave: bool) -> Drive:
    words = struct.unpack("<256H", answer)
    physical = Geometry(words[1], words[3], words[6])
    sectors = int.from_bytes(answer[200:208], "little") or int.from_bytes(answer[120:124], "little")
    return Drive(channel, slave, physical, _translated(physical, sectors), sectors)


def _translated(physical: Geometry, sectors: int) -> Geometry:
    """Return the geometry that fits in the numbers of int 13h: the disk's own, or one of as many sectors."""
    if physical.cylinders <= _CYLINDERS_SMALL and physical.heads <= _HEADS_SMALL:
        return physical
    tracks = sectors // _TRACK
    heads = next((heads for heads in (16, 32, 64, 128) if tracks // _CYLINDERS_SMALL <= heads), 255)
    return Geometry(min(tracks // heads, _CYLINDERS_SMALL), heads, _TRACK)


def parameters(drive: Drive) -> bytes:
    """Return the table of a drive's parameters (EDD 3.0, 8.2)."""
    base, control = _CHANNELS[drive.channel]
    options = 0x0010 | (0x0208 if drive.logical != drive.physical else 0)  # LBA; translated, by LBA
    select = 0xE0 | (_SLAVE if drive.slave else 0)
    table = struct.pack(
        "<HHBBBBBBHHB", base, control, select, 0xCB, 14 + drive.channel, 1, 0, 0, options, 0, 0x11
    )
    return table + bytes((-sum(table) & 0xFF,))


# -- commands --------------------------------------------------------------------------------------------


def _identity(pc: Pc, channel: int, *, slave: bool) -> bytes:
    """Return what IDENTIFY DEVICE returns; empty: there is no drive."""
    base, control = _CHANNELS[channel]
    pc.write_port(control, _NO_INTERRUPTS)
    pc.write_port(base + _DEVICE, 0xA0 | (_SLAVE if slave else 0))
    data = b""
    if pc.read_port(base + _COMMAND) & _READY:
        pc.write_port(base + _COMMAND, _IDENTIFY)
        status = pc.read_port(base + _COMMAND)
        if status & (_DATA | _FAILED) == _DATA:
            data = _read_sector(pc, base)
    pc.write_port(control, _INTERRUPTS)
    return data


def _read_sector(pc: Pc, base: int) -> bytes:
    words = [pc.read_port(base, _ACCESS) for _ in range(SECTOR // _ACCESS)]
    return struct.pack(f"<{len(words)}I", *words)


def _start(pc: Pc, drive: Drive, lba: int, count: int, *, writes: bool) -> int:
    """Give a command to read or write, and return the channel's first port."""
    base, _ = _CHANNELS[drive.channel]
    select = _LBA | (_SLAVE if drive.slave else 0)
    if lba + count > _LBA28_END:
        for register, value in (
            (_COUNT, count >> 8),
            (_LOW, lba >> 24),
            (_MIDDLE, lba >> 32),
            (_HIGH, lba >> 40),
        ):
            pc.write_port(base + register, value & 0xFF)
        command = _WRITE_EXT if writes else _READ_EXT
    else:
        select |= 0xA0 | lba >> 24
        command = _WRITE if writes else _READ
    pc.write_port(base + _DEVICE, select)
    for register, value in ((_COUNT, count), (_LOW, lba), (_MIDDLE, lba >> 8), (_HIGH, lba >> 16)):
        pc.write_port(base + register, value & 0xFF)
    pc.write_port(base + _COMMAND, command)
    return base


def _has_failed(pc: Pc, base: int) -> bool:
    status = pc.read_port(base + _COMMAND)
    return status & (_DATA | _FAILED) != _DATA


def read(pc: Pc, drive: Drive, lba: int, count: int) -> bytes:
    """Return *count* sectors from *lba* on; fewer, if the drive fails."""
    _, control = _CHANNELS[drive.channel]
    pc.write_port(control, _NO_INTERRUPTS)
    data = []
    for first in range(0, count, _BLOCK):
        size = min(_BLOCK, count - first)
        base = _start(pc, drive, lba + first, size, writes=False)
        for _ in range(size):
            if _has_failed(pc, base):
                break
            data.append(_read_sector(pc, base))
    pc.write_port(control, _INTERRUPTS)
    return b"".join(data)


def write(pc: Pc, drive: Drive, lba: int, data: bytes) -> int:
    """Write sectors from *lba* on, and return how many the drive has taken."""
    _, control = _CHANNELS[drive.channel]
    pc.write_port(control, _NO_INTERRUPTS)
    words = memoryview(data).cast("I")
    total, done = len(data) // SECTOR, 0
    step = SECTOR // _ACCESS
    for first in range(0, total, _BLOCK):
        size = min(_BLOCK, total - first)
        base = _start(pc, drive, lba + first, size, writes=True)
        for number in range(first, first + size):
            if _has_failed(pc, base):
                break
            for word in words[number * step : (number + 1) * step]:
                pc.write_port(base, word, _ACCESS)
            if pc.read_port(base + _COMMAND) & _FAILED:
                break
            done += 1
    pc.write_port(control, _INTERRUPTS)
    return done
