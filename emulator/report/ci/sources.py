"""Name source files from the directory that reports count from."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.guest.symbolizer import Frame

_OUTSIDE = ".."


class SourceLine(NamedTuple):
    """A line of a source file.

    Attributes:
        path: Relative to the root if it lies in it, else absolute.
        line: From 1; 0: not known.
    """

    path: str
    line: int

    @property
    def is_inside(self) -> bool:
        """Whether it lies in the root."""
        return not self.path.startswith("/")

    @property
    def uri(self) -> str:
        """The path as a reference of RFC 3986: relative, or a ``file:`` URI."""
        path = quote(self.path.encode("utf-8", "surrogatepass"))
        return path if self.is_inside else f"file://{path}"


def source_line(frame: Frame, root: str) -> SourceLine | None:
    """Return the source line of a frame. A relative name in the debug information counts from the root.

    Args:
        frame: The frame.
        root: Absolute path that names are made relative to: the top of the repository.
    """
    if not frame.file:
        return None
    top = posixpath.normpath(root)
    path = posixpath.normpath(posixpath.join(top, frame.file))
    inside = posixpath.relpath(path, top)
    if inside == "." or inside.split("/")[0] == _OUTSIDE:
        inside = "/" + path.lstrip("/")
    return SourceLine(inside, max(frame.line, 0))


def first_source_line(frames: Iterable[Frame], root: str) -> SourceLine | None:
    """Return the source line of the innermost frame that has one, of those in the root if any is."""
    lines = [line for line in (source_line(frame, root) for frame in frames) if line is not None]
    return next((line for line in lines if line.is_inside), lines[0] if lines else None)
