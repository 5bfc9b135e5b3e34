from __future__ import annotations

import struct

import pytest

from emulator.devices.ide.disk import Disk
from emulator.devices.ide.identity import Geometry, Modes, guess_geometry, identify
from tests.helpers.ide_board import SECTOR, Sectors


class Sparse(Sectors):
    """A disk of any size: zeroes after the first sector."""

    def __init__(self, sectors: int, first: bytes = bytes(SECTOR)) -> None:
        super().__init__(first)
        self.sectors = sectors


def partitioned(*entries: tuple[int, int, int]) -> bytes:
    """Return a boot record with partitions: last head, last sector, size."""
    table = b"".join(struct.pack("<5xBBxII", head, sector, 0, size) for head, sector, size in entries)
    return bytes(0x1BE) + table.ljust(64, b"\0") + b"\x55\xaa"


@pytest.mark.parametrize(
    ("sectors", "geometry"),
    [
        (1, Geometry(2, 16, 63)),
        (20160, Geometry(20, 16, 63)),
        (16 * 63 * 16383, Geometry(16383, 16, 63)),
        (1 << 40, Geometry(16383, 16, 63)),
    ],
)
def test_a_disk_without_partitions_has_a_geometry_by_its_size(sectors: int, geometry: Geometry) -> None:
    assert guess_geometry(Disk(Sparse(sectors))) == geometry


@pytest.mark.parametrize(
    ("entries", "geometry"),
    [
        ([(3, 17, 100)], Geometry(294, 4, 17)),
        ([(0, 17, 100), (3, 0, 100), (3, 17, 0), (7, 32, 1)], Geometry(78, 8, 32)),
        ([(254, 63, 100)], Geometry(19, 16, 63)),  # more heads than a drive can have
    ],
)
def test_partitions_say_what_the_geometry_is(entries: list[tuple[int, int, int]], geometry: Geometry) -> None:
    assert guess_geometry(Disk(Sparse(20000, partitioned(*entries)))) == geometry


def words_of(sectors: int, modes: Modes = Modes()) -> tuple[int, ...]:  # noqa: B008 - a value
    return struct.unpack("<256H", identify(1, sectors, Geometry(20, 16, 63), modes))


def test_identifies_as_a_disk_of_its_size() -> None:
    words = words_of(0x1234_5678_9ABC)
    assert (words[1], words[3], words[6], words[54:57]) == (20, 16, 63, (20, 16, 63))
    assert words[57:59] == (20160, 0)
    assert words[60:62] == (0xFFFF, 0x0FFF)  # more than 28 bits can address
    assert words[100:104] == (0x9ABC, 0x5678, 0x1234, 0)
    assert words_of(20160)[60:62] == (20160, 0)


def test_texts_have_their_first_character_in_the_upper_half() -> None:
    words = words_of(1)
    assert struct.pack(">20H", *words[27:47]) == b"QEMU HARDDISK".ljust(40)
    assert struct.pack(">10H", *words[10:20]) == b"QM00002".ljust(20)


def test_modes_show() -> None:
    words = words_of(1, Modes(0, 0x107, 0x207, 0x43F, write_cache=False))
    assert (words[59], words[62], words[63], words[85], words[88]) == (0, 0x107, 0x207, 0x4001, 0x43F)
    assert (words_of(1)[59], words_of(1)[85]) == (0x110, 0x4021)
