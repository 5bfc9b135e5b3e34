"""Suppressions: findings that are left out, by kind, function and source file.

A suppression is one line, ``KIND:PATTERN``, as those of LeakSanitizer and ThreadSanitizer are:

suppression = KIND ":" ( FUNCTION | FILE | FILE ":" FUNCTION )

All three are patterns as in a shell. A file's pattern matches the end of a path from a directory on: ``heap.c`` is any ``heap.c``.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.functions.names import file_and_name
from emulator.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.loader.frame import Frame

_LINE: Final = re.compile(r"\s*([\w*?\[\]-]+)\s*:(?!:)\s*(\S.*?)\s*")


class Suppression(NamedTuple):
    """Findings that are left out.

    Attributes:
        kind: Pattern of their kinds' names.
        file: Pattern of the source file of a frame in their backtrace; "": the file does not matter.
        name: Pattern of the function of that frame; where no file is given, of its function or its file.
    """

    kind: str
    file: str
    name: str

    def __str__(self) -> str:
        """Return the line that it is written as."""
        return ":".join(filter(None, self))

    def matches(self, kind: str, frames: Iterable[Frame]) -> bool:
        """Return whether a finding of a kind with these frames in its backtrace is left out; ``*`` does not need a backtrace."""
        is_any = not self.file and self.name == "*"
        return fnmatchcase(kind, self.kind) and (is_any or any(map(self._is_of, frames)))

    def _is_of(self, frame: Frame) -> bool:
        is_function = fnmatchcase(frame.function, self.name)
        if self.file:
            return is_function and _is_file(frame.file, self.file)
        return is_function or _is_file(frame.file, self.name)


def parse_suppression(text: str) -> Suppression:
    """Return the suppression that a line is.

    Raises:
        ValueError: It is none.
    """
    found = _LINE.fullmatch(text)
    if found is None:
        raise ValueError(
            f'{shortened(text)} is no suppression such as "use-after-free:old_driver_*" or "*:drivers/old.c:poll"'
        )
    return Suppression(found[1], *file_and_name(found[2]))


def _is_file(path: str, pattern: str) -> bool:
    return bool(path) and (fnmatchcase(path, pattern) or fnmatchcase(path, f"*/{pattern}"))
