"""Find functions in the debug information of a file, unit by unit: a unit is read when an address in it is asked for.

Units are read entry by entry: damaged references from an entry to its sibling may lead back.

Source: DWARF 5, sections 2.17 (code addresses and ranges), 3.1 (units) and 3.3 (functions).
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from emulator.loader.dwarf.debug_info import damage

if TYPE_CHECKING:
    from collections.abc import Iterator

_ORIGINS = ("DW_AT_abstract_origin", "DW_AT_specification")
_ORIGINS_MAX = 8  # a clone of an inlined member function has two; damaged ones could lead in circles


class _Unit(NamedTuple):
    functions: dict[int, Any]  # entries by the address of the first instruction
    children: dict[int, list[Any]]  # entries by the offset of the one that they are below


class Units:
    """The units of one file.

    Args:
        dwarf: pyelftools' view of its debug information; None: there is none.
    """

    def __init__(self, dwarf: Any) -> None:  # noqa: ANN401 - pyelftools has few types
        self._dwarf = dwarf
        self._units: dict[int, _Unit] = {}

    def function_at(self, address: int) -> Any | None:  # noqa: ANN401
        """Return the entry of the function whose first instruction has a linked address.

        Raises:
            Exception: One of `damage`.
        """
        starts, units = self._ranges
        index = bisect_right(starts, address) - 1
        return self.functions(units[index]).get(address) if index >= 0 else None

    def all(self) -> Iterator[Any]:
        """Yield the units that can be read."""
        if self._dwarf is None or self._dwarf.debug_info_sec is None:
            return
        try:
            yield from self._dwarf.iter_CUs()
        except damage():
            return

    def functions(self, unit: Any) -> dict[int, Any]:  # noqa: ANN401
        """Return the entries of the functions of a unit that have code, by the address of their first instruction.

        Raises:
            Exception: One of `damage`.
        """
        return self._read(unit).functions

    def children(self, entry: Any) -> list[Any]:  # noqa: ANN401
        """Return the entries right below an entry.

        Raises:
            Exception: One of `damage`.
        """
        return self._read(entry.cu).children.get(entry.offset, [])

    def _read(self, unit: Any) -> _Unit:  # noqa: ANN401
        if unit.cu_offset not in self._units:
            found = _Unit({}, {})
            for entry in unit.iter_DIEs():
                if entry.tag == "DW_TAG_subprogram" and (ranges := self._code(entry)):
                    found.functions[ranges[0].start] = entry
                if entry.tag is not None and (parent := entry.get_parent()) is not None:
                    found.children.setdefault(parent.offset, []).append(entry)
            self._units[unit.cu_offset] = found
        return self._units[unit.cu_offset]

    @cached_property
    def _ranges(self) -> tuple[list[int], list[Any]]:
        """Where the units' pieces of code begin, ascending, and the unit of each."""
        pieces = []
        for unit in self.all():
            try:
                pieces += [(piece.start, unit) for piece in self._code(unit.get_top_DIE())]
            except damage():
                continue
        pieces.sort(key=lambda piece: piece[0])
        return [start for start, _ in pieces], [unit for _, unit in pieces]

    def _code(self, entry: Any) -> list[range]:  # noqa: ANN401
        """Return the pieces of code of a function or unit; the first one holds a function's first instruction."""
        attributes = entry.attributes
        if "DW_AT_ranges" in attributes:
            return self._listed(entry, attributes["DW_AT_ranges"].value)
        if "DW_AT_low_pc" not in attributes or "DW_AT_high_pc" not in attributes:
            return []
        low, high = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"]
        return [range(low, high.value if high.form == "DW_FORM_addr" else low + high.value)]

    def _listed(self, entry: Any, offset: int) -> list[range]:  # noqa: ANN401
        from elftools.dwarf.ranges import BaseAddressEntry

        unit = entry.cu
        base = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
        start = 0 if base is None else base.value
        pieces = []
        for each in self._dwarf.range_lists().get_range_list_at_offset(offset, unit):
            if isinstance(each, BaseAddressEntry):
                start = each.base_address
                continue
            shift = 0 if each.is_absolute else start
            pieces.append(range(shift + each.begin_offset, shift + each.end_offset))
        return [piece for piece in pieces if piece]


def declarations(entry: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield an entry and the ones that it completes: a clone's abstract function, a member's declaration in its class."""
    for _ in range(_ORIGINS_MAX):
        yield entry
        origin = next((each for each in _ORIGINS if each in entry.attributes), None)
        if origin is None:
            return
        entry = entry.get_DIE_from_attribute(origin)


def declaring(entry: Any, attribute: str) -> Any | None:  # noqa: ANN401
    """Return the first of an entry's `declarations` that has an attribute; None: none has.

    Raises:
        Exception: One of `damage`.
    """
    return next((each for each in declarations(entry) if attribute in each.attributes), None)
