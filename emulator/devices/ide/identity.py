"""What a drive says about itself: its geometry, and the sector that answers IDENTIFY DEVICE.

Source: ATA/ATAPI-6, 8.15 (IDENTIFY DEVICE). The values, the name of the model and the guess of the geometry are QEMU's
(hw/ide/core.c, hw/block/hd-geometry.c), so that kernels print the same in both.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from emulator.devices.ide.disk import Disk, DiskContents

MULTIPLE_MAX = 16
"""Sectors in a block of READ and WRITE MULTIPLE."""

_MODEL, _FIRMWARE = "QEMU HARDDISK", "2.5+"
_WORDS = 256
_HEADS, _SECTORS = 16, 63
_CYLINDERS_MIN, _CYLINDERS_MAX = 2, 16383
_CYLINDERS_OF_BIOS, _LARGE_MAX = 1024, 131072
_LBA28_END = 1 << 28
_PARTITIONS, _PARTITION_SIZE, _SIGNATURE = 0x1BE, 16, b"\x55\xaa"

# Words that do not depend on the disk.
_FIXED = {
    0: 0x0040,  # a fixed disk
    5: 512,
    20: 3,
    21: 512,
    22: 4,
    47: 0x8000 | MULTIPLE_MAX,
    48: 1,  # 32-bit transfers
    49: 0x0B00,  # DMA, LBA, IORDY
    51: 0x200,
    52: 0x200,
    53: 7,  # words 54-58, 64-70, 88 are valid
    64: 3,  # PIO modes 3 and 4
    65: 120,
    66: 120,
    67: 120,
    68: 120,
    69: 1 << 14,
    80: 0xF0,  # ATA-4 to ATA-7
    81: 0x16,
    82: 0x4021,  # NOP, write cache, SMART
    83: 0x7400,  # FLUSH CACHE (EXT), 48 bits
    84: 0x4000,
    86: 0x3400,
    87: 0x4000,
    93: 0x6001,
    106: 0x6000,
    169: 1,  # TRIM
}


class Geometry(NamedTuple):
    """Cylinders, heads and sectors of a track."""

    cylinders: int
    heads: int
    sectors: int


class Translation(IntEnum):
    """How a BIOS counts heads and cylinders of a disk, as it says in CMOS memory."""

    NONE = 0
    LBA = 1
    LARGE = 2


def guess_geometry(disk: Disk | DiskContents) -> Geometry:
    """Return the geometry that fits the partitions of a disk, or else its size."""
    partitioned = _of_partitions(disk)
    if partitioned is not None and partitioned.heads <= _HEADS:
        return partitioned
    cylinders = disk.sectors // (_HEADS * _SECTORS)
    return Geometry(min(max(cylinders, _CYLINDERS_MIN), _CYLINDERS_MAX), _HEADS, _SECTORS)


def guess_translation(disk: DiskContents) -> Translation:
    """Return the translation that a BIOS uses for a disk."""
    partitioned = _of_partitions(disk)
    if partitioned is None:
        return Translation.LBA if guess_geometry(disk).cylinders > _CYLINDERS_OF_BIOS else Translation.NONE
    if partitioned.heads <= _HEADS:
        return Translation.NONE
    return Translation.LARGE if partitioned.cylinders * partitioned.heads <= _LARGE_MAX else Translation.LBA


def _of_partitions(disk: Disk | DiskContents) -> Geometry | None:
    """Return the geometry by which the partitions of a disk end with a cylinder, a drive's or a BIOS's."""
    first = disk.read(0, 1)
    if not first.endswith(_SIGNATURE):
        return None
    for start in range(_PARTITIONS, len(first) - len(_SIGNATURE), _PARTITION_SIZE):
        heads, sectors = first[start + 5] + 1, first[start + 6] & 0x3F
        size = int.from_bytes(first[start + 12 : start + 16], "little")
        if not size or heads == 1 or not sectors:
            continue
        cylinders = disk.sectors // (heads * sectors)
        if 1 <= cylinders <= _CYLINDERS_MAX:
            return Geometry(cylinders, heads, sectors)
    return None


class Modes(NamedTuple):
    """What of the answer to IDENTIFY DEVICE commands can change.

    Attributes:
        multiple: Sectors in a block of READ and WRITE MULTIPLE; 0: they are off.
        single_word_dma: Word 62.
        multiword_dma: Word 63.
        ultra_dma: Word 88.
        write_cache: Whether it is on.
    """

    multiple: int = MULTIPLE_MAX
    single_word_dma: int = 0x07
    multiword_dma: int = 0x07
    ultra_dma: int = 0x203F
    write_cache: bool = True


def identify(number: int, sectors: int, geometry: Geometry, modes: Modes) -> bytes:
    """Return the sector that answers IDENTIFY DEVICE.

    Args:
        number: Of the drive in the PC, from 0.
        sectors: Of the disk.
        geometry: Of the disk.
        modes: As commands have set them.
    """
    words = [0] * _WORDS
    for index, word in _FIXED.items():
        words[index] = word
    words[1], words[3], words[6] = geometry
    words[4] = 512 * geometry.sectors
    _put_text(words, 10, 20, f"QM{number + 1:05}")
    _put_text(words, 23, 8, _FIRMWARE)
    _put_text(words, 27, 40, _MODEL)
    words[54:57] = geometry
    _put_number(words, 57, 2, geometry.cylinders * geometry.heads * geometry.sectors)
    words[59] = 0x100 | modes.multiple if modes.multiple else 0
    _put_number(words, 60, 2, min(sectors, _LBA28_END - 1))
    words[62], words[63], words[88] = modes.single_word_dma, modes.multiword_dma, modes.ultra_dma
    words[85] = 0x4021 if modes.write_cache else 0x4001
    _put_number(words, 100, 4, sectors)
    return struct.pack(f"<{_WORDS}H", *words)


def _put_number(words: list[int], first: int, count: int, number: int) -> None:
    words[first : first + count] = (number >> 16 * index & 0xFFFF for index in range(count))


def _put_text(words: list[int], first: int, size: int, text: str) -> None:
    """Put a text: padded with blanks, the first character in the upper half of a word."""
    padded = text.ljust(size).encode("ascii")
    words[first : first + size // 2] = struct.unpack(f">{size // 2}H", padded)
