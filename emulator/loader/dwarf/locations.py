"""Where variables are, as DWARF says it: expressions, and for which code each holds.

Source: DWARF 5, section 2.6.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emulator.loader.dwarf.byte_reader import ByteReader, Damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elftools.dwarf.dwarf_expr import DWARFExprParser

    from emulator.loader.dwarf.entries import Entry

INDEXED: Final = ("DW_OP_addrx", "DW_OP_GNU_addr_index", "DW_OP_GNU_const_index")
"""Operations that name an address by its number."""
_NUMBERED: Final = (b"\xa1", b"\xfb")  # the first two of them
_ADDRESS, _ADDRESS_SIZE = b"\x03", 5  # DW_OP_addr


class Located(NamedTuple):
    """A location expression, and the code for which it holds.

    Attributes:
        start: First linked address.
        end: First one for which it does not; 0 with *start* 0: it holds everywhere.
        operations: As pyelftools has parsed them; none where the compiler keeps the parameter nowhere.
    """

    start: int
    end: int
    operations: list[Any]


def located(entry: Entry, attribute: str) -> Iterator[Located]:
    """Yield the locations that an attribute of an entry names.

    Raises:
        Exception: One of `DAMAGE`.
    """
    found = entry.attributes.get(attribute)
    if found is None:
        return
    if not isinstance(found.value, int):
        yield Located(0, 0, parse_expression(entry, found.value))
    elif entry.unit.is_location_list(found.form):
        for start, end, expression in entry.unit.location_list(found.value):
            yield Located(start, end, parse_expression(entry, expression))
    else:
        raise Damaged


def address_of(entry: Entry) -> int | None:
    """Return the linked address that an entry's location is, all the time; None: it is none.

    Raises:
        Exception: One of `DAMAGE`.
    """
    location = entry.attributes.get("DW_AT_location")
    if location is None or isinstance(location.value, int):
        return None
    code = bytes(location.value)
    if code[:1] == _ADDRESS and len(code) == _ADDRESS_SIZE:
        return int.from_bytes(code[1:], "little")
    if code[:1] in _NUMBERED:
        number = ByteReader(code, 1, len(code))
        address = entry.unit.address(number.uleb())
        return address if number.position == number.end else None
    return None


def parse_expression(entry: Entry, expression: bytes) -> list[Any]:
    """Return the operations of an expression in an entry.

    Raises:
        Damaged: It is none.
    """
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.construct import ConstructError

    unit = entry.unit
    try:
        return list(_parser(unit.version, unit.address_size, unit.offset_size).parse_expr(list(expression)))
    except (DWARFError, ELFError, ConstructError) as error:
        raise Damaged from error


@cache
def _parser(version: int, address_size: int, offset_size: int) -> DWARFExprParser:
    from elftools.dwarf.dwarf_expr import DWARFExprParser
    from elftools.dwarf.structs import DWARFStructs

    structs = DWARFStructs(
        little_endian=True, dwarf_format=8 * offset_size, address_size=address_size, dwarf_version=version
    )
    return DWARFExprParser(structs)
