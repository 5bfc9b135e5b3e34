"""Find functions in the debug information of a file, unit by unit: a unit is read when an address in it is asked for.

Of a unit that is in a file of its own the kernel has a skeleton; here it is the whole one, where that is found.

Source: DWARF 5, sections 2.17 (code addresses and ranges), 2.18 (entry addresses), 3.1 (units) and 3.3 (functions).
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Final

from emulator.loader.dwarf.debug_info import DAMAGE, DebugInfo
from emulator.loader.dwarf.split_units import older_name, split_name, split_unit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from emulator.loader.dwarf.entries import Entry, Unit

FUNCTION: Final = "DW_TAG_subprogram"
_INLINED: Final = "DW_TAG_inlined_subroutine"
_FUNCTIONS: Final = frozenset((FUNCTION,))
_CODE: Final = _FUNCTIONS | {_INLINED}
_ORIGINS: Final = ("DW_AT_abstract_origin", "DW_AT_specification")
_ORIGINS_MAX: Final = 8  # a clone of an inlined member function has two; damaged ones could lead in circles


class Units:
    """The units of one file.

    Args:
        sections: Of its debug information, as `DebugInfo` takes them.
        path: Its name: units may be in files beside it.

    Attributes:
        info: Its debug information.
    """

    def __init__(self, sections: Mapping[str, bytes], path: str) -> None:
        self.info = DebugInfo(sections)
        self._path = path
        self._whole: dict[Unit, Unit] = {}
        self._functions: dict[Unit, dict[int, Entry]] = {}
        self._inlined: dict[Unit, list[tuple[Entry, Entry]]] = {}

    def all(self) -> Iterator[Unit]:
        """Yield the units that can be read."""
        return map(self._whole_of, self.info.units)

    def naming(self, names: Collection[str]) -> Iterator[Unit]:
        """Yield the units that may have entries of certain names; where a unit may name what is elsewhere, all."""
        strings = self.info.section("str")
        needles = [name.encode() + b"\0" for name in names]
        references = [
            struct.pack("<I", match.start())
            for needle in needles
            for match in re.finditer(re.escape(needle), strings)
        ]
        pattern = re.compile(b"|".join(map(re.escape, [*needles, *references])))
        by_index = self.info.section("str_offsets") != b""  # a unit says the number of a string only
        refers_to_others = b"-flto" in strings
        data = self.info.section("info")
        for unit in self.info.units:
            may_name = by_index or refers_to_others or unit.is_skeleton
            if may_name or pattern.search(data, unit.start, unit.end):
                yield self._whole_of(unit)

    def not_found(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names of the files with units that are not read: those of GNU's extension of DWARF 4, and those that are not found."""
        older, missing = [], []
        # all files with skeletons have addresses
        for unit in self.info.units if self.info.section("addr") else ():
            if unit.is_skeleton:
                missing += [split_name(unit)] if self._whole_of(unit) is unit else []
            elif name := older_name(unit):
                older.append(name)
        return tuple(older), tuple(missing)

    def function_at(self, address: int) -> Entry | None:
        """Return the entry of the function whose first instruction has a linked address.

        Raises:
            Exception: One of `DAMAGE`.
        """
        for unit in self._units_at(address):
            found = self.functions(unit).get(address)
            if found is not None:
                return found
        return None

    def function_around(self, address: int) -> Entry | None:
        """Return the entry of the function in whose code a linked address lies.

        Raises:
            Exception: One of `DAMAGE`.
        """
        for unit in self._units_at(address):
            for entry in self.functions(unit).values():
                if any(address in piece for piece in entry.code()):
                    return entry
        return None

    def functions(self, unit: Unit) -> dict[int, Entry]:
        """Return the entries of the functions of a unit that have code, by the address of their first instruction.

        Raises:
            Exception: One of `DAMAGE`.
        """
        if unit not in self._functions:
            self._functions[unit] = _functions(unit)
        return self._functions[unit]

    def inlined(self, unit: Unit) -> list[tuple[Entry, Entry]]:
        """Return the entries of the copies of functions in a unit that are inside of others, each with that function's.

        Raises:
            Exception: One of `DAMAGE`.
        """
        if unit not in self._inlined:
            self._inlined[unit] = list(_inlined(unit))
        return self._inlined[unit]

    def children(self, entry: Entry) -> list[Entry]:
        """Return the entries right below an entry.

        Raises:
            Exception: One of `DAMAGE`.
        """
        return entry.unit.children(entry)

    def _whole_of(self, unit: Unit) -> Unit:
        """Return a unit, or the one whose skeleton it is; the skeleton where no file has it."""
        if unit not in self._whole:
            found = split_unit(unit, self._path) if unit.is_skeleton else None
            self._whole[unit] = unit if found is None else found
        return self._whole[unit]

    def _units_at(self, address: int) -> Iterator[Unit]:
        """Yield the units that may have a function at an address, likely ones first."""
        starts, units, unlisted = self._pieces
        index = bisect_right(starts, address) - 1
        return map(self._whole_of, (*units[max(index, 0) : index + 1], *unlisted))

    @cached_property
    def _pieces(self) -> tuple[list[int], list[Unit], list[Unit]]:
        """Where pieces of code begin, ascending; the unit of each; and the units that do not say which code is theirs."""
        pieces: list[tuple[int, Unit]] = []
        unlisted: list[Unit] = []
        for unit in self.info.units:
            try:
                code = unit.top.code()
            except DAMAGE:
                code = []
            pieces += [(piece.start, unit) for piece in code]
            unlisted += [] if code else [unit]
        pieces.sort(key=lambda piece: piece[0])
        return [start for start, _ in pieces], [unit for _, unit in pieces], unlisted


def _functions(unit: Unit) -> dict[int, Entry]:
    found: dict[int, Entry] = {}
    for *_, entry in unit.walk(_FUNCTIONS):
        if (start := start_of(entry)) is not None:
            found.setdefault(start, entry)
    return found


def _inlined(unit: Unit) -> Iterator[tuple[Entry, Entry]]:
    for *around, entry in unit.walk(_CODE):
        if entry.tag == _INLINED:
            yield entry, next((each for each in reversed(around) if each.tag == FUNCTION), entry)


def start_of(entry: Entry) -> int | None:
    """Return the address of the first instruction of a function, or of a copy of one; None: it has no code.

    Raises:
        Exception: One of `DAMAGE`.
    """
    for name in ("DW_AT_entry_pc", "DW_AT_low_pc"):
        if name in entry.attributes:
            return int(entry.attributes[name].value)
    return next((piece.start for piece in entry.code()), None)


def declarations(entry: Entry) -> Iterator[Entry]:
    """Yield an entry and the ones that it completes: a clone's abstract function, a member's declaration in its class."""
    for _ in range(_ORIGINS_MAX):
        yield entry
        origin = next((each for each in _ORIGINS if each in entry.attributes), None)
        if origin is None:
            return
        entry = entry.referred(origin)


def declaring(entry: Entry, attribute: str) -> Entry | None:
    """Return the first of an entry's `declarations` that has an attribute; None: none has.

    Raises:
        Exception: One of `DAMAGE`.
    """
    return next((each for each in declarations(entry) if attribute in each.attributes), None)
