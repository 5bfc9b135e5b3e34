"""Errors of a check's own input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import BadInput, EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterable


class BadBaseline(BadInput):
    """A baseline cannot be used."""


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
