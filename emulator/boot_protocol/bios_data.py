"""What a BIOS leaves below 1 MiB besides its ROM: interrupt vectors of real mode, its data area, its extended data area.

Source: Ralf Brown's list, file MEMORY.LST (40:00 to 40:96); values as SeaBIOS leaves them on QEMU's `pc`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from emulator.boot_protocol.pc_memory import KIB, LOW_END

if TYPE_CHECKING:
    from emulator.boot_protocol.hardware import Hardware

ENTRIES: Final = {
    0x02: 0xE2C3,
    0x05: 0xFF54,
    0x08: 0xFEA5,
    0x09: 0xE987,
    **dict.fromkeys((0x0A, 0x0B, 0x0C, 0x0D, 0x0F), 0xD42E),
    0x0E: 0xEF57,
    0x10: 0xF065,
    0x11: 0xF84D,
    0x12: 0xF841,
    0x13: 0xE3FE,
    0x14: 0xE739,
    0x15: 0xF859,
    0x16: 0xE82E,
    0x17: 0xEFD2,
    0x18: 0xD453,
    0x19: 0xE6F2,
    0x1A: 0xFE6E,
    0x40: 0xEC59,
    0x70: 0xD413,
    **dict.fromkeys((0x71, 0x72, 0x73, 0x77), 0xD437),
    0x74: 0xD41C,
    0x75: 0xD425,
    0x76: 0xD40A,
}
"""Where vectors of real mode lead to in the ROM, as in SeaBIOS, which has IBM's entry points."""

NO_ENTRY: Final = 0xFF53
"""Where the others do: an `iret`."""

_NONE = (*range(0x60, 0x67), 0x79)  # for programs; 0
_SEGMENT = 0xF000
_VECTORS = b"".join(
    bytes(4) if vector in _NONE else struct.pack("<HH", ENTRIES.get(vector, NO_ENTRY), _SEGMENT)
    for vector in range(256)
)
DRIVE_TABLE: Final = 0x9FE00
"""Where the BIOS keeps what disks it has found: in the extended data area."""

DRIVE_PARAMETERS: Final = 0x9FEC0
"""Where it has their parameter tables, of 16 bytes each."""

_DATA_AREA, _DATA_SIZE = 0x400, 0x100
_EBDA_SIZE_KIB = b"\x01"
_COLUMNS, _ROWS, _CHARACTER_HEIGHT = 80, 25, 16
_KEYS_START, _KEYS_END = 0x1E, 0x3E  # the ring of pressed keys, in the data area
_HAS_FPU, _HAS_MOUSE, _COLOUR_80 = 1 << 1, 1 << 2, 2 << 4  # of the equipment word
_SERIAL_COUNT = 9  # shift of their number in it
_SERIAL_TIMEOUT = 10


def bios_data(hardware: Hardware) -> tuple[tuple[int, bytes], ...]:
    """Return the pieces of low memory that a BIOS fills: (physical address, bytes)."""
    return ((0, _VECTORS), (_DATA_AREA, _data_area(hardware)), (LOW_END, _EBDA_SIZE_KIB))


def _data_area(hardware: Hardware) -> bytes:
    area = bytearray(_DATA_SIZE)

    def put(offset: int, form: str, *values: int) -> None:
        struct.pack_into(f"<{form}", area, offset, *values)

    count = len(hardware.serial_ports)
    mouse = _HAS_MOUSE if hardware.mouse else 0
    put(0x00, f"{count}H", *hardware.serial_ports)
    put(0x0E, "H", LOW_END >> 4)  # segment of the extended data area
    put(0x10, "H", _HAS_FPU | mouse | _COLOUR_80 | count << _SERIAL_COUNT)
    put(0x13, "H", LOW_END // KIB)
    put(0x1A, "HH", _KEYS_START, _KEYS_START)  # no key waits
    put(0x49, "B", 3)  # video mode
    put(0x4A, "HH", _COLUMNS, 0x1000)  # and bytes of a page
    put(0x60, "HBH", 0x0607, 0, 0x3D4)  # shape of the cursor, page, port of the CRTC
    put(0x75, "B", hardware.disks)
    put(0x7C, f"{count}B", *([_SERIAL_TIMEOUT] * count))
    put(0x80, "HH", _KEYS_START, _KEYS_END)
    put(0x84, "BH", _ROWS - 1, _CHARACTER_HEIGHT)
    put(0x87, "BBBB", 0x60, 0xF9, 0x51, 8)  # a VGA with 256 KiB and a colour screen of 400 lines
    put(0x96, "B", 0x10)  # a keyboard of 101 keys
    return bytes(area)
