"""What CMOS memory says of disks is what it says in QEMU: types, geometries, and how a BIOS translates them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from emulator.devices.board import BoardSettings, pc_board
from emulator.loader.disk_file import DiskFile
from tests.helpers.port_guests import lines_here, lines_in_qemu

if TYPE_CHECKING:
    from pathlib import Path

REGISTERS = (0x10, 0x12, *range(0x19, 0x2D), 0x39)


def with_partition(heads: int, sectors: int) -> bytes:
    """Return a first sector whose first partition ends with this head and sector."""
    entry = bytes([0, 0, 0, 0, 0, heads, sectors, 0]) + bytes(4) + (1000).to_bytes(4, "little")
    return bytes(0x1BE) + entry + bytes(48) + b"\x55\xaa"


@pytest.mark.parametrize(
    ("sectors", "first"),
    [
        (20160, b""),
        (100, b""),
        (1228800, b""),
        (18874368, b""),
        (20160, with_partition(3, 17)),
        (4194304, with_partition(254, 63)),
        (18874368, with_partition(254, 63)),
        (4194304, with_partition(15, 63)),
    ],
)
def test_what_cmos_memory_says_of_disks(sectors: int, first: bytes, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(first)
    os.truncate(disk, sectors * 512)
    source = (
        "guest:\n" + "".join(f"write 0x70, {each}\n read 0x71\n" for each in REGISTERS) + "line\n exit 0\n"
    )
    options = [f"file={disk},format=raw,if=ide,index={index},snapshot=on" for index in range(3)]
    for count in (1, 3):
        theirs = lines_in_qemu(
            source, tmp_path, *(word for each in options[:count] for word in ("-drive", each))
        )
        assert (
            lines_here(source, board=pc_board(BoardSettings(disks=(DiskFile(str(disk)),) * count))) == theirs
        )
