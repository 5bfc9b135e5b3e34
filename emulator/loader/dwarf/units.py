"""Find functions in the debug information of a file, unit by unit: a unit is read when an address in it is asked for.

Of a unit that is in a file of its own the kernel has a skeleton; here it is the whole one, where that is found.

Units are read entry by entry: damaged references from an entry to its sibling may lead back.

Source: DWARF 5, sections 2.17 (code addresses and ranges), 2.18 (entry addresses), 3.1 (units) and 3.3 (functions).
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from emulator.loader.dwarf.debug_info import damage, open_debug_info
from emulator.loader.dwarf.split_units import is_skeleton, older_name, split_name, split_unit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from elftools.dwarf.aranges import ARanges

Entry: TypeAlias = Any  # pyelftools' DIEs and units, which have few types

FUNCTION = "DW_TAG_subprogram"
_INLINED = "DW_TAG_inlined_subroutine"
_ORIGINS = ("DW_AT_abstract_origin", "DW_AT_specification")
_ORIGINS_MAX = 8  # a clone of an inlined member function has two; damaged ones could lead in circles
_LENGTH_SIZE = 4  # of the field in front of a unit that holds its length


class _Contents(NamedTuple):
    """What is in a unit.

    Attributes:
        functions: Those with code, by the addresses of their first instructions.
        inlined: Copies inside of functions, each with that function.
        children: What is right below an entry, by its offset.
    """

    functions: dict[int, Entry]
    inlined: list[tuple[Entry, Entry]]
    children: dict[int, list[Entry]]


class Units:
    """The units of one file.

    Args:
        sections: Of its debug information, as `open_debug_info` takes them.
        path: Its name: units may be in files beside it.

    Attributes:
        dwarf: pyelftools' view of its debug information; None: there is none.
        info: The bytes of .debug_info.
    """

    def __init__(self, sections: Mapping[str, bytes], path: str) -> None:
        self.dwarf = open_debug_info(sections)
        self.info = sections.get("info", b"")
        self._path = path
        self._whole: dict[Entry, Entry] = {}
        self._contents: dict[Entry, _Contents] = {}

    def all(self) -> Iterator[Entry]:
        """Yield the units that can be read."""
        try:
            for unit in self._listed():
                yield self._whole_of(unit)
        except damage():
            return

    def naming(self, names: Collection[str]) -> Iterator[Entry]:
        """Yield the units that may have entries of certain names; where a unit may name what is elsewhere, all.

        Raises:
            Exception: One of `damage`.
        """
        if self.dwarf is None:
            return
        strings = self.dwarf.debug_str_sec.stream.getvalue() if self.dwarf.debug_str_sec else b""
        needles = [name.encode() + b"\0" for name in names]
        references = [
            struct.pack("<I", match.start())
            for needle in needles
            for match in re.finditer(re.escape(needle), strings)
        ]
        pattern = re.compile(b"|".join(map(re.escape, [*needles, *references])))
        by_index = self.dwarf.debug_str_offsets_sec is not None  # a unit says the number of a string only
        refers_to_others = b"-flto" in strings
        for unit in self._listed():
            start, end = unit.cu_offset, unit.cu_offset + unit["unit_length"] + _LENGTH_SIZE
            may_name = by_index or refers_to_others or is_skeleton(unit)
            if may_name or pattern.search(self.info, start, end):
                yield self._whole_of(unit)

    def not_found(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names of the files with units that are not read: those of GNU's extension of DWARF 4, and those that are not found.

        Raises:
            Exception: One of `damage`.
        """
        older, missing = [], []
        has_addresses = (
            self.dwarf is not None and self.dwarf.debug_addr_sec is not None
        )  # as all with skeletons
        for unit in self._listed() if has_addresses else ():
            if is_skeleton(unit):
                missing += [split_name(unit)] if self._whole_of(unit) is unit else []
            elif name := older_name(unit):
                older.append(name)
        return tuple(older), tuple(missing)

    def function_at(self, address: int) -> Entry | None:
        """Return the entry of the function whose first instruction has a linked address.

        Raises:
            Exception: One of `damage`.
        """
        for unit in self._units_at(address):
            found = self.functions(unit).get(address)
            if found is not None:
                return found
        return None

    def function_around(self, address: int) -> Entry | None:
        """Return the entry of the function in whose code a linked address lies.

        Raises:
            Exception: One of `damage`.
        """
        for unit in self._units_at(address):
            for entry in self.functions(unit).values():
                if any(address in piece for piece in code_of(entry)):
                    return entry
        return None

    def functions(self, unit: Entry) -> dict[int, Entry]:
        """Return the entries of the functions of a unit that have code, by the address of their first instruction.

        Raises:
            Exception: One of `damage`.
        """
        return self._contents_of(unit).functions

    def inlined(self, unit: Entry) -> list[tuple[Entry, Entry]]:
        """Return the entries of the copies of functions in a unit that are inside of others, each with that function's.

        Raises:
            Exception: One of `damage`.
        """
        return self._contents_of(unit).inlined

    def children(self, entry: Entry) -> list[Entry]:
        """Return the entries right below an entry.

        Raises:
            Exception: One of `damage`.
        """
        return self._contents_of(entry.cu).children.get(entry.offset, [])

    def _listed(self) -> Iterator[Entry]:
        """Yield the units that are in the file itself."""
        if self.dwarf is not None:
            yield from self.dwarf.iter_CUs()

    def _whole_of(self, unit: Entry) -> Entry:
        """Return a unit, or the one whose skeleton it is; the skeleton where no file has it."""
        if unit not in self._whole:
            found = split_unit(unit, self._path) if is_skeleton(unit) else None
            self._whole[unit] = unit if found is None else found
        return self._whole[unit]

    def _contents_of(self, unit: Entry) -> _Contents:
        if unit not in self._contents:
            self._contents[unit] = _read(unit)
        return self._contents[unit]

    def _units_at(self, address: int) -> Iterator[Entry]:
        """Yield the units that may have a function at an address, likely ones first."""
        if self.dwarf is None:
            return
        table = self._ranges
        offset = table.cu_offset_at_addr(address) if table and table.entries else None
        if offset is not None:
            yield self._whole_of(self.dwarf.get_CU_at(offset))
        starts, units, unlisted = self._pieces
        index = bisect_right(starts, address) - 1
        for unit in (*units[max(index, 0) : index + 1], *unlisted):
            if unit.cu_offset != offset:
                yield self._whole_of(unit)

    @cached_property
    def _ranges(self) -> ARanges | None:
        """The table of the units' code, which not all units are in; None: there is none."""
        table: ARanges | None = None if self.dwarf is None else self.dwarf.get_aranges()
        return table

    @cached_property
    def _pieces(self) -> tuple[list[int], list[Entry], list[Entry]]:
        """Where pieces of code begin, ascending; the unit of each; and the units that do not say which code is theirs."""
        pieces, unlisted = [], []
        for unit in self._listed():
            try:
                code = code_of(unit.get_top_DIE())
            except damage():
                continue
            pieces += [(piece.start, unit) for piece in code]
            unlisted += [] if code else [unit]
        pieces.sort(key=lambda piece: piece[0])
        return [start for start, _ in pieces], [unit for _, unit in pieces], unlisted


def _read(unit: Entry) -> _Contents:
    found = _Contents({}, [], {})
    around: list[Entry] = []
    for entry in unit.iter_DIEs():
        if entry.tag is None:
            del around[-1:]
            continue
        if around:
            found.children.setdefault(around[-1].offset, []).append(entry)
        if entry.tag == _INLINED:
            function = next((each for each in reversed(around) if each.tag == FUNCTION), entry)
            found.inlined.append((entry, function))
        if entry.tag == FUNCTION and (start := start_of(entry)) is not None:
            found.functions.setdefault(start, entry)
        if entry.has_children:
            around.append(entry)
    return found


def start_of(entry: Entry) -> int | None:
    """Return the address of the first instruction of a function, or of a copy of one; None: it has no code.

    Raises:
        Exception: One of `damage`.
    """
    for name in ("DW_AT_entry_pc", "DW_AT_low_pc"):
        if name in entry.attributes:
            return int(entry.attributes[name].value)
    return next((piece.start for piece in code_of(entry)), None)


def code_of(entry: Entry) -> list[range]:
    """Return the pieces of an entry's code, that with its first instruction first.

    Raises:
        Exception: One of `damage`.
    """
    attributes = entry.attributes
    if "DW_AT_ranges" in attributes:
        return [piece for piece in _listed_code(entry, attributes["DW_AT_ranges"].value) if piece]
    if "DW_AT_low_pc" not in attributes or "DW_AT_high_pc" not in attributes:
        return []
    low, high = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"]
    return [range(low, high.value if high.form == "DW_FORM_addr" else low + high.value)]


def _listed_code(entry: Entry, offset: int) -> Iterator[range]:
    from elftools.dwarf.ranges import BaseAddressEntry

    base = base_of(entry.cu)
    for each in entry.dwarfinfo.range_lists().get_range_list_at_offset(offset, cu=entry.cu):
        if isinstance(each, BaseAddressEntry):
            base = each.base_address
        else:
            shift = 0 if each.is_absolute else base
            yield range(shift + each.begin_offset, shift + each.end_offset)


def base_of(unit: Entry) -> int:
    """Return the address that the lists of ranges and locations of a unit are counted from."""
    low = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
    return 0 if low is None else int(low.value)


def declarations(entry: Entry) -> Iterator[Entry]:
    """Yield an entry and the ones that it completes: a clone's abstract function, a member's declaration in its class."""
    for _ in range(_ORIGINS_MAX):
        yield entry
        origin = next((each for each in _ORIGINS if each in entry.attributes), None)
        if origin is None:
            return
        entry = entry.get_DIE_from_attribute(origin)


def declaring(entry: Entry, attribute: str) -> Entry | None:
    """Return the first of an entry's `declarations` that has an attribute; None: none has.

    Raises:
        Exception: One of `damage`.
    """
    return next((each for each in declarations(entry) if attribute in each.attributes), None)
