"""Errors of a check's own input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterable


class BadBaseline(EmulatorError):
    """A baseline cannot be used.

    Attributes:
        path: The file as it was named.
        problem: What is wrong.
        line: Where, from 1, if that is known.
        key: The key that is wrong, with those it lies in: "areas.heap.calls"; empty where it is none.
    """

    def __init__(self, path: str, problem: str, *, line: int | None = None, key: str = "") -> None:
        where = "" if line is None else f"line {line}: "
        what = f"key '{key}': " if key else ""
        super().__init__(f"{path}: {where}{what}{problem}")
        self.path = path
        self.problem = problem
        self.line = line
        self.key = key


class UnknownArea(EmulatorError):
    """A limit is for an area that is not watched.

    Attributes:
        name: The area.
        known: Those there are.
    """

    def __init__(self, option: str, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"{option}: no area {name!r}; there are: {', '.join(self.known)}")
