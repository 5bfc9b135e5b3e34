"""Where source files lie, as seen from the directory that reports count from."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.check.findings import Finding
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


class Sources:
    """Finds source files.

    Args:
        root: Absolute path that names are made relative to: the top of the repository.
    """

    def __init__(self, root: str) -> None:
        self._root = posixpath.normpath(root)

    def line_of(self, frame: Frame) -> SourceLine | None:
        """Return where a frame lies. A relative name in the debug information counts from the root."""
        if not frame.file:
            return None
        path = posixpath.normpath(posixpath.join(self._root, frame.file))
        inside = posixpath.relpath(path, self._root)
        if inside == "." or inside.split("/")[0] == _OUTSIDE:
            inside = "/" + path.lstrip("/")
        return SourceLine(inside, max(frame.line, 0))

    def first_line(self, frames: Iterable[Frame]) -> SourceLine | None:
        """Return where the innermost frame with a known file lies; one in the root is preferred."""
        lines = [line for line in map(self.line_of, frames) if line is not None]
        return next((line for line in lines if line.is_inside), lines[0] if lines else None)


def main_stack(finding: Finding) -> tuple[Frame, ...]:
    """Return the call stack that says where a finding comes from.

    That is who broke it, or where it was seen; of what was seen at the end only, where its block was allocated.
    """
    if finding.faulting_write is not None:
        return finding.faulting_write.backtrace
    if finding.call_site is not None:
        return finding.call_site.backtrace
    return () if finding.block is None else finding.block.allocated.backtrace
