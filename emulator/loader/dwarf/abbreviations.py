"""Abbreviations: which tag and attributes the entries of a unit have.

Source: DWARF 5, section 7.5.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.loader.dwarf.byte_reader import Damaged
from emulator.loader.dwarf.forms import IMPLICIT
from emulator.loader.dwarf.names import ATTRIBUTES, TAGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.dwarf.byte_reader import ByteReader


class Abbreviation(NamedTuple):
    """What is the same in some entries.

    Attributes:
        tag: Its name; "" where `TAGS` has none.
        has_children: Others are below them.
        attributes: The name of each, None where `ATTRIBUTES` has none; its form; the value of a form without bytes.
        steps: How to step over the values: as many bytes, then a form of variable length; the last one has none, 0.
    """

    tag: str
    has_children: bool
    attributes: tuple[tuple[str | None, int, int], ...]
    steps: tuple[tuple[int, int], ...]


class Abbreviations(dict[int, Abbreviation]):
    """The abbreviations of a unit by their codes, read as far as they are asked for: the first ones are all that most units need.

    To look up one that there is not raises `Damaged`.

    Args:
        reader: Stands at the first one.
        sizes: Bytes of the forms that have always as many in the unit.
    """

    def __init__(self, reader: ByteReader, sizes: dict[int, int]) -> None:
        super().__init__()
        self._sizes = sizes
        self._unread = self._read(reader)

    def __missing__(self, code: int) -> Abbreviation:
        for number, abbreviation in self._unread:
            self[number] = abbreviation
            if number == code:
                return abbreviation
        raise Damaged

    def all(self) -> list[Abbreviation]:
        """Return all of them.

        Raises:
            Damaged: They are none.
        """
        self.update(self._unread)
        return list(self.values())

    def _read(self, reader: ByteReader) -> Iterator[tuple[int, Abbreviation]]:
        number = reader.uleb
        while code := number():
            tag, has_children = number(), bool(reader.unsigned(1))
            attributes = []
            while True:
                attribute, form = number(), number()
                implicit = reader.sleb() if form == IMPLICIT else 1  # as a flag is
                if not attribute and not form:
                    break
                attributes.append((ATTRIBUTES.get(attribute), form, implicit))
            yield (
                code,
                Abbreviation(TAGS.get(tag, ""), has_children, tuple(attributes), self._steps(attributes)),
            )

    def _steps(self, attributes: list[tuple[str | None, int, int]]) -> tuple[tuple[int, int], ...]:
        steps, size = [], 0
        for _, form, _ in attributes:
            if form in self._sizes:
                size += self._sizes[form]
            else:
                steps.append((size, form))
                size = 0
        return (*steps, (size, 0))
