"""Source files: where the client has them, and which instructions belong to their lines."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from emulator.debug.places import places_of_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emulator.loader.image import KernelImage

_AFTER_MAX: Final = 40
"""Lines after one without code that are looked at; a comment is seldom longer."""
_LARGEST: Final = 4 << 20  # bytes of a source file


class Lines:
    """The source lines of a kernel.

    Args:
        image: The kernel.
        source_map: The beginning of paths as the compiler recorded them, and what stands for it here.
    """

    def __init__(self, image: KernelImage, source_map: Mapping[str, str]) -> None:
        self._image = image
        self._map = dict(source_map)
        self._paths: dict[str, Path | None] = {}

    def source(self, file: str) -> dict[str, Any]:
        """Return the protocol's description of a file as the compiler named it; its path only where it is found here."""
        path, name = self.path(file), PurePosixPath(file).name
        if path is None:
            return {"name": name, "origin": f"{file}, which is not here"}
        return {"name": name, "path": str(path)}

    def path(self, file: str) -> Path | None:
        """Return where a file is; None: nowhere."""
        if file not in self._paths:
            self._paths[file] = next((each for each in self._candidates(file) if _is_file(each)), None)
        return self._paths[file]

    def _candidates(self, file: str) -> Iterator[Path]:
        folder = Path(self._image.path).parent
        for there, here in self._map.items():
            if there and file.startswith(there):
                yield Path(f"{here}{file[len(there) :]}").absolute()
        for each in (Path(file), folder / file, folder / PurePosixPath(file).name):
            yield each.absolute()

    def text(self, file: str) -> str | None:
        """Return the content of one of the kernel's source files, by the compiler's name or by its path; None: it is not here, or none of them."""
        name = self._here.get(file) or next(
            (each for each in self._image.source_files if _is_end(each, file)), None
        )
        path = None if name is None else self.path(name)
        try:
            if path is None or path.stat().st_size > _LARGEST:
                return None
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def nearest(self, path: str, line: int) -> tuple[int, tuple[int, ...]] | None:
        """Return the first line from one on that has code, and where to stop at it (see `places_of_line`). None: there is none near.

        Args:
            path: Of the file here.
            line: From 1.
        """
        lines = self._lines_of(path)
        number = next((number for number in lines if line <= number < line + _AFTER_MAX), None)
        return None if number is None else (number, places_of_line(self._image, lines[number]))

    def between(self, path: str, first: int, last: int) -> list[int]:
        """Return the lines of a file that have code, from one to another one.

        Args:
            path: Of the file here.
            first: From 1.
            last: That one, too.
        """
        return [number for number in self._lines_of(path) if first <= number <= last]

    def _lines_of(self, path: str) -> dict[int, list[int]]:
        """Return the lines of the file that has the longest end of a path in common with it; none, if no file has its name."""
        files = self._image.source_files
        if path in self._here:
            return self._image.lines_of_file(self._here[path])
        parts = PurePosixPath(path.replace("\\", "/")).parts
        for first in range(len(parts)):
            end = "/".join(parts[first:])
            if any(_is_end(file, end) for file in files):
                return self._image.lines_of_file(end)
        return {}

    @cached_property
    def _here(self) -> dict[str, str]:
        """Files as the compiler named them, by where they are here."""
        return {str(path): file for file in self._image.source_files if (path := self.path(file)) is not None}


def _is_end(file: str, end: str) -> bool:
    return file == end or file.endswith(f"/{end}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # ValueError: a name with a null byte
        return False
