"""Variables of a kernel and their types, from DWARF.

Only the compilation unit that defines a variable is decoded, and only once it is asked for: .debug_info is searched for the
bytes of the variable's location. Damaged debug information is no error: such a variable is unknown.

Source: DWARF 5, sections 2.6 (locations) and 4.1 (variables).
"""

from __future__ import annotations

import re
import struct
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from emulator.loader.dwarf.byte_reader import ByteReader
from emulator.loader.dwarf.debug_info import DAMAGE
from emulator.loader.dwarf.type_names import text_of
from emulator.loader.dwarf.types import Types
from emulator.loader.dwarf.units import declaring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.dwarf.c_types import CType
    from emulator.loader.dwarf.entries import Entry, Unit
    from emulator.loader.dwarf.units import Units

_VARIABLES = frozenset(("DW_TAG_variable",))
_ADDRESS = b"\x03"  # DW_OP_addr
_NUMBERED = b"\xa1"  # DW_OP_addrx: its number in .debug_addr, as clang writes it


class Variable(NamedTuple):
    """A variable with a fixed address."""

    name: str
    type: CType


class Variables:
    """The variables of one file.

    Args:
        units: Of the file.

    Attributes:
        types: Its types.
    """

    def __init__(self, units: Units) -> None:
        self._units = units
        self.types = Types(units)
        self._found: dict[int, Variable | None] = {}

    def at(self, address: int) -> Variable | None:
        """Return the variable that starts at a linked address, or None where the file does not say."""
        if address not in self._found:
            try:
                entry = self.entry_at(address)
                self._found[address] = None if entry is None else self._variable(entry)
            except DAMAGE:
                self._found[address] = None
        return self._found[address]

    def entry_at(self, address: int) -> Entry | None:
        """Return the entry of the variable that starts at a linked address.

        Raises:
            Exception: One of `DAMAGE`.
        """
        location = _ADDRESS + struct.pack("<I", address)
        for match in re.finditer(
            re.escape(bytes([len(location)]) + location), self._units.info.section("info")
        ):
            for *_, entry in self._units.info.unit_around(match.start()).walk(_VARIABLES):
                if _location(entry) == location:
                    return entry
        return self._numbered.get(address)

    @cached_property
    def _numbered(self) -> dict[int, Entry]:
        """Variables whose location is the number of their address, by that address."""
        if not self._units.info.section("addr"):
            return {}
        found: dict[int, Entry] = {}
        for unit in self._units.all():
            try:
                found.update(self._numbered_in(unit))
            except DAMAGE:
                continue
        return found

    def _numbered_in(self, unit: Unit) -> Iterator[tuple[int, Entry]]:
        for *_, entry in unit.walk(_VARIABLES):
            location = _location(entry)
            if location.startswith(_NUMBERED):
                number = ByteReader(location, len(_NUMBERED), len(location))
                address = unit.address(number.uleb())
                if number.position == number.end:  # the address itself, no part of what lies there
                    yield address, entry

    def _variable(self, entry: Entry) -> Variable | None:
        # declared elsewhere, perhaps; an array's size may be in the definition only
        named, typed = declaring(entry, "DW_AT_name"), declaring(entry, "DW_AT_type")
        name = "" if named is None else text_of(named)
        return Variable(name, self.types.of(typed or entry)) if name else None


def _location(entry: Entry) -> bytes:
    """Return the expression of a location; b"" where it has none, or a list of them."""
    location = entry.attributes.get("DW_AT_location")
    return b"" if location is None or isinstance(location.value, int) else bytes(location.value)
