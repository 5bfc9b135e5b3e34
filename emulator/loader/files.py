"""Reads the files that users name, whatever these turn out to be."""

from __future__ import annotations

import errno
import os
import stat

from emulator.errors import BadFile


def check_file(name: str, largest: int) -> None:
    """Make sure that a file is a regular one.

    Pipes and devices are refused: opening them can block, and reading them need not end.

    Args:
        name: Its path.
        largest: Most bytes that it may have.

    Raises:
        OSError: It cannot be read; `strerror` says why.
    """
    try:
        status = os.stat(name)
    except ValueError as error:  # the name contains a NUL
        raise OSError(errno.EINVAL, str(error)) from error
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, "it is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    if status.st_size > largest:
        raise OSError(errno.EFBIG, f"its size is {status.st_size} bytes, more than {largest}")


def read_file(name: str, largest: int) -> bytes:
    """Read a regular file; see `check_file`.

    Raises:
        OSError: It cannot be read; `strerror` says why.
    """
    check_file(name, largest)
    with open(name, "rb") as file:
        return file.read()


def read_text(path: str, largest: int, *, missing: str = "") -> str:
    """Read a text that a user wrote.

    Args:
        path: The file as it was named.
        largest: Most bytes that are read.
        missing: The problem if there is no such file; "": like any other.

    Raises:
        BadFile: The file cannot be read, or is not UTF-8.
    """
    try:
        return read_file(path, largest).decode()
    except OSError as cause:
        if missing and isinstance(cause, FileNotFoundError):
            raise BadFile(path, missing) from cause
        raise BadFile(path, f"cannot be read: {cause.strerror}") from cause
    except UnicodeDecodeError as cause:
        raise BadFile(path, f"is not UTF-8: {cause.reason} at byte {cause.start}") from cause
