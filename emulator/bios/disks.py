"""Disks: int 13h.

Source: Ralf Brown's list, file INTERRUP.LST; Phoenix, Enhanced Disk Drives 3.0 (services 41 to 48); what depends on the BIOS as SeaBIOS
has it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from emulator.bios import ata
from emulator.bios.pc import DataArea
from emulator.boot_protocol.bios_data import DRIVE_PARAMETERS

if TYPE_CHECKING:
    from emulator.bios.ata import Drive
    from emulator.bios.pc import Call

_FLOPPY_STATUS, _STATUS, _COUNT = 0x41, 0x74, 0x75  # in the data area
_FIRST: Final = 0x80
_BAD_PARAMETER, _FAILED = 0x01, 0x0C
_SECTORS_MAX: Final = 128
_LAST: Final = 1  # cylinder, which is kept for tests
_PACKET = struct.Struct("<BxHHHQ")
_VERSION, _INTERFACES = 0x30, 0x0007  # EDD 3.0: packets, locking and ejecting, parameters
_ANSWER: Final = 0xAA55
_HARD_DISK: Final = 3
_NOTHING_TO_DO: Final = frozenset({0x00, 0x09, 0x0C, 0x0D, 0x10, 0x11, 0x14, 0x47})
_PARAMETERS = struct.Struct("<HHIIIQH")
_WITH_TABLE, _WITH_PATH, _WITH_LONG_PATH = 30, 66, 74  # bytes of a buffer that has room for this
_PATH, _LONG_PATH = 36, 44
_CYLINDERS_MAX: Final = 0x3FFF


def serve(call: Call) -> None:
    """Serve int 13h."""
    drives = ata.drives(call.pc)
    number = call.dl - _FIRST
    if not 0 <= number < len(drives):
        _return(call, _BAD_PARAMETER)
        return
    drive = drives[number]
    match call.ah:
        case 0x01:
            status = DataArea(call.pc).get(_STATUS)
            call.ah = status
            call.set_carry(on=bool(status))
        case 0x02 | 0x03 | 0x04:
            _access(call, drive)
        case 0x08:
            _geometry(call, drive, len(drives))
        case 0x15:
            sectors = (drive.logical.cylinders - _LAST) * drive.logical.heads * drive.logical.sectors
            call.cx, call.dx = sectors >> 16, sectors
            _return(call, 0)
            call.ah = _HARD_DISK
        case 0x41 | 0x42 | 0x43 | 0x44 | 0x48:
            _extended(call, drive, number)
        case service if service in _NOTHING_TO_DO:
            _return(call, 0)
        case _:
            call.lacks(ah=_BAD_PARAMETER)
            _return(call, _BAD_PARAMETER)


def _return(call: Call, status: int) -> None:
    """Return how it went, and keep that."""
    DataArea(call.pc).put(_STATUS if call.dl >= _FIRST else _FLOPPY_STATUS, status)
    call.ah = status
    call.set_carry(on=bool(status))


def _transfer(call: Call, drive: Drive, address: int, lba: int, count: int) -> int:
    """Read (AH=02), write (03) or verify (04) sectors, and return how many."""
    kind = call.ah & 0x0F
    if kind == 2:  # noqa: PLR2004 - to read
        data = ata.read(call.pc, drive, lba, count)
        call.pc.write(address, data)
        return len(data) // ata.SECTOR
    if kind == 3:  # noqa: PLR2004 - to write
        return ata.write(call.pc, drive, lba, call.pc.read(address, count * ata.SECTOR))
    return count


def _access(call: Call, drive: Drive) -> None:
    """Access sectors by cylinder, head and sector."""
    count, (cylinders, heads, track) = call.al, drive.logical
    cylinder, head, sector = call.ch | (call.cl & 0xC0) << 2, call.dh, call.cl & 0x3F
    is_outside = cylinder >= cylinders or head >= heads or not 0 < sector <= track
    if not 0 < count <= _SECTORS_MAX or is_outside:
        _return(call, _BAD_PARAMETER)
        return
    lba = (cylinder * heads + head) * track + sector - 1
    done = _transfer(call, drive, call.at("es", call.bx), lba, count)
    call.al = done
    _return(call, 0 if done == count else _FAILED)


def _geometry(call: Call, drive: Drive, count: int) -> None:
    cylinders, heads, track = drive.logical
    last = cylinders - _LAST - 1
    call.al, call.ch, call.cl = 0, last & 0xFF, last >> 2 & 0xC0 | track
    call.dh = heads - 1
    _return(call, 0)
    call.dl = count


# -- the extensions ----------------------------------------------------------------------------------------


def _extended(call: Call, drive: Drive, number: int) -> None:
    match call.ah:
        case 0x41:
            call.bx, call.cx = _ANSWER, _INTERFACES
            _return(call, 0)
            call.ah = _VERSION
        case 0x48:
            _parameters(call, drive, number)
        case _:
            _packet(call, drive)


def _packet(call: Call, drive: Drive) -> None:
    """Access sectors as the packet at DS:SI says."""
    at = call.at("ds", call.si)
    _, count, offset, segment, lba = _PACKET.unpack(call.pc.read(at, _PACKET.size))
    if lba >= drive.sectors:
        _return(call, _BAD_PARAMETER)
        return
    done = _transfer(call, drive, segment * 16 + offset, lba, count)
    call.pc.write(at + 2, done.to_bytes(2, "little"))
    _return(call, 0 if done == count else _FAILED)


def _parameters(call: Call, drive: Drive, number: int) -> None:
    """Fill the buffer at DS:SI, as far as it goes: version 1, 2 or 3 of it, with a path of 8 or 16 bytes."""
    at = call.at("ds", call.si)
    room = int.from_bytes(call.pc.read(at, 2), "little")
    if room < _PARAMETERS.size:
        _return(call, _BAD_PARAMETER)
        return
    cylinders, heads, track = drive.physical
    is_large = drive.sectors > track * heads * _CYLINDERS_MAX
    size = _WITH_TABLE if room >= _WITH_TABLE else _PARAMETERS.size
    kind, cylinders = (0, _CYLINDERS_MAX) if is_large else (2, cylinders)
    call.pc.write(at, _PARAMETERS.pack(size, kind, cylinders, heads, track, drive.sectors, ata.SECTOR))
    if room >= _WITH_TABLE:
        table = DRIVE_PARAMETERS + ata.TABLE_SIZE * number
        call.pc.write(table, ata.parameters(drive))
        call.pc.write(at + _PARAMETERS.size, struct.pack("<HH", table & 0xF, table >> 4))
    if room >= _WITH_PATH:
        _put_path(call, drive, at + _WITH_TABLE, _LONG_PATH if room == _WITH_LONG_PATH else _PATH)
    _return(call, 0)


def _put_path(call: Call, drive: Drive, at: int, size: int) -> None:
    """Say where the disk is plugged in: bus, device, function and channel; then drive, a byte that stays, and a checksum."""
    bus = bytes((0, 1, 1, drive.channel)).ljust(8, b"\0")
    path = struct.pack("<HBxH4s8s8s", 0xBEDD, size, 0, b"PCI ", b"ATA     ", bus) + bytes((drive.slave,))
    path = path.ljust(size - 2, b"\0")
    call.pc.write(at, path)
    path += call.pc.read(at + size - 2, 1)
    call.pc.write(at + size - 1, bytes((-sum(path) & 0xFF,)))
