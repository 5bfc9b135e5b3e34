"""Name source files from the directory that reports count from."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.loader.frame import Frame

_OUTSIDE = ".."


def in_repository(frame: Frame, root: str) -> Frame | None:
    """Return a frame with its source file named from the top of a repository; None where the file is not known.

    Args:
        frame: The frame. A relative name in the debug information counts from the root.
        root: Absolute path of the top.

    Returns:
        A relative name if the file lies in the root, else an absolute one; the line is 0 or more.
    """
    if not frame.file:
        return None
    top = posixpath.normpath(root)
    path = posixpath.normpath(posixpath.join(top, frame.file))
    inside = posixpath.relpath(path, top)
    if inside == "." or inside.split("/")[0] == _OUTSIDE:
        inside = "/" + path.lstrip("/")
    return frame._replace(file=inside, line=max(frame.line, 0))


def first_in_repository(frames: Iterable[Frame], root: str) -> Frame | None:
    """Return the innermost frame with a source file, of those in the root if there are any; see `in_repository`."""
    named = [each for each in (in_repository(frame, root) for frame in frames) if each is not None]
    return next((frame for frame in named if is_inside(frame.file)), named[0] if named else None)


def is_inside(path: str) -> bool:
    """Tell whether a file that is named from the root lies in it."""
    return not path.startswith("/")


def uri_of(path: str) -> str:
    """Return the name of a file as a reference of RFC 3986: relative, or a ``file:`` URI."""
    quoted = quote(path.encode("utf-8", "surrogatepass"))
    return quoted if is_inside(path) else f"file://{quoted}"
