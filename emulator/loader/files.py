"""Reading a user's file into memory, whatever its name turns out to be."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


def read_file(name: str, largest: int) -> bytes:
    """Read a regular file.

    Pipes and devices are refused: opening them can block, and reading them need not end.

    Args:
        name: Its path.
        largest: Most bytes that are read.

    Raises:
        OSError: It cannot be read; `strerror` says why.
    """
    path = Path(name)
    try:
        status = path.stat()
    except ValueError as error:  # the name contains a NUL
        raise OSError(errno.EINVAL, str(error)) from error
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, "it is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    if status.st_size > largest:
        raise OSError(errno.EFBIG, f"its size is {status.st_size} bytes, more than {largest}")
    return path.read_bytes()
