"""The file of a disk: read sector by sector, never written."""

from __future__ import annotations

import os
import weakref

from emulator.errors import BadFile, HostError
from emulator.loader.files import check_file

SECTOR_SIZE = 512
_LARGEST_DISK = SECTOR_SIZE << 48  # bytes; what 48 bits of a sector's number reach


class DiskFile:
    """A disk's contents in a file of whole sectors. Any number of machines may read it at the same time.

    Args:
        path: The file as the user named it.

    Attributes:
        path: The same.
        sectors: How many it has, 1 or more.

    Raises:
        BadFile: It cannot be read, is empty, or its size is no multiple of 512.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            check_file(path, _LARGEST_DISK)
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise BadFile(path, f"cannot be read: {error.strerror}", given_as="disk ") from error
        weakref.finalize(self, os.close, self._file)
        self._status = self._identity()
        size = self._status[0]
        if not size:
            raise BadFile(path, "is empty", given_as="disk ")
        if size % SECTOR_SIZE:
            problem = f"its size is {size} bytes, no multiple of {SECTOR_SIZE}"
            raise BadFile(path, problem, given_as="disk ")
        self.sectors = size // SECTOR_SIZE

    def read(self, first: int, count: int) -> bytes:
        """Read *count* sectors from number *first* on, all of them on the disk.

        Raises:
            HostError: The file cannot be read any more, or somebody has changed it: the run could not be repeated.
        """
        try:
            data = os.pread(self._file, count * SECTOR_SIZE, first * SECTOR_SIZE)
        except OSError as error:
            raise HostError(f"disk {self.path}: cannot be read: {error.strerror}") from error
        if self._identity() != self._status:
            raise HostError(f"disk {self.path}: was changed while the kernel ran")
        return data

    def _identity(self) -> tuple[int, int]:
        status = os.fstat(self._file)
        return status.st_size, status.st_mtime_ns
