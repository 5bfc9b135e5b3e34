from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from emulator.errors import BadFile, HostError
from emulator.loader.disk_file import DiskFile

if TYPE_CHECKING:
    from pathlib import Path


def test_reads_sectors(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(b"a" * 512 + b"b" * 512 + b"c" * 512)
    disk = DiskFile(str(path))
    assert disk.sectors == 3
    assert disk.read(1, 2) == b"b" * 512 + b"c" * 512


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"x" * 513, "its size is 513 bytes, no multiple of 512"),
    ],
)
def test_a_file_that_is_no_disk(tmp_path: Path, contents: bytes | None, problem: str) -> None:
    path = tmp_path / "disk.img"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(BadFile, match=f"^{re.escape(f'disk {path}: {problem}')}$"):
        DiskFile(str(path))


def test_a_folder_is_no_disk(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"^disk .*: cannot be read: it is a directory$"):
        DiskFile(str(tmp_path))


def test_a_file_that_changes_ends_the_run(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(1024))
    disk = DiskFile(str(path))
    os.utime(path, ns=(1, 1))
    with pytest.raises(HostError, match=f"^disk {re.escape(str(path))}: was changed while the kernel ran$"):
        disk.read(0, 1)
