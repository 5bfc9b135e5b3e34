"""The debug information of one file: its sections, and the units and entries in them."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Final

from emulator.loader.dwarf.byte_reader import Damaged
from emulator.loader.dwarf.entries import units_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.loader.dwarf.entries import Entry, Unit

SECTIONS: Final = (
    *("info", "abbrev", "str", "line_str", "str_offsets", "addr"),
    *("line", "ranges", "rnglists", "loc", "loclists", "types"),
)
"""Names of the sections that are read, without ``.debug_``."""

DAMAGE: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(TypeError, ValueError, RuntimeError, OSError, Damaged),
)
"""What is raised where debug information is damaged: entries are asked for what they should have, without checks."""


class DebugInfo:
    """The debug information of one file.

    Args:
        sections: The bytes of `SECTIONS`, decompressed; those that a file does not have may be missing, or empty.
        skeleton: Of the unit that the file is of, where units are in files of their own; it says where the unit's code is.

    Attributes:
        skeleton: See there.
    """

    def __init__(self, sections: Mapping[str, bytes], skeleton: Unit | None = None) -> None:
        self._sections = sections
        self.skeleton = skeleton

    def section(self, name: str) -> bytes:
        """Return the bytes of one of the sections; none where the file does not have it."""
        return self._sections.get(name, b"")

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Its units, in order; those that are damaged, or of an unknown kind, are left out."""
        return tuple(units_in(self, "info"))

    @cached_property
    def _starts(self) -> list[int]:
        return [unit.start for unit in self.units]

    @cached_property
    def _types(self) -> dict[int, Unit]:
        """The units of types, by their signatures."""
        units = (*self.units, *units_in(self, "types"))
        return {unit.identity: unit for unit in units if unit.identity is not None}

    def unit_around(self, offset: int) -> Unit:
        """Return the unit that an offset of .debug_info is in.

        Raises:
            Damaged: It is in none.
        """
        index = bisect_right(self._starts, offset) - 1
        if index < 0 or offset >= self.units[index].end:
            raise Damaged
        return self.units[index]

    def entry(self, offset: int) -> Entry:
        """Return the entry at an offset of .debug_info.

        Raises:
            Damaged: There is none.
        """
        return self.unit_around(offset).entry(offset)

    def entry_of_signature(self, signature: int) -> Entry:
        """Return the entry of a type that is in a unit of its own.

        Raises:
            Damaged: There is none.
        """
        if signature not in self._types:
            raise Damaged
        return self._types[signature].type
