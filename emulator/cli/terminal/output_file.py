"""Write a file whole, or not at all."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from emulator.cli.status import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO


def check_writable(name: str) -> None:
    """Check that `whole_file` can begin, before the work whose result it is to hold. Nothing is changed.

    Raises:
        OutputError: It cannot.
    """
    import tempfile  # few runs need it, nor the next one
    from pathlib import Path

    path = Path(os.path.realpath(name))
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.is_file() or not path.exists():
            with tempfile.TemporaryFile(dir=path.parent):
                pass
    except OSError as error:
        raise OutputError(f"cannot write {name}: {error.strerror or error}") from error


@contextmanager
def whole_file(name: str) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when the body has ended without an error.

    Until then it lies in the same folder under another name, and what was there stays. What is no regular file
    (a device, a pipe) is written to as it is.

    Raises:
        OutputError: It cannot be written.
    """
    from pathlib import Path

    path = Path(os.path.realpath(name))  # what a link points to is replaced, not the link
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:
                yield stream
        else:
            with _replacing(path) as stream:
                yield stream
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {name}: {error.strerror or error}") from error


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("xb") as stream:
            yield stream
        unfinished.replace(path)
    except BaseException:  # Ctrl-C, too
        with suppress(OSError):
            unfinished.unlink()
        raise
