"""Where variables are, as DWARF says it: expressions, and for which code each holds.

Source: DWARF 5, section 2.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emulator.loader.dwarf.units import base_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.dwarf.units import Entry

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
        Exception: One of `damage`.
    """
    from elftools.dwarf.locationlists import BaseAddressEntry, LocationEntry, LocationExpr, LocationParser

    found = entry.attributes.get(attribute)
    if found is None:
        return
    unit = entry.cu
    parser = LocationParser(entry.dwarfinfo.location_lists())
    locations = parser.parse_from_attribute(found, unit["version"], die=entry)
    if isinstance(locations, LocationExpr):
        yield Located(0, 0, parse_expression(entry, locations.loc_expr))
        return
    base = base_of(unit)
    for each in locations:
        if isinstance(each, BaseAddressEntry):
            base = each.base_address
        elif isinstance(each, LocationEntry):
            offset = 0 if each.is_absolute else base
            operations = parse_expression(entry, each.loc_expr)
            yield Located(each.begin_offset + offset, each.end_offset + offset, operations)


def address_of(entry: Entry) -> int | None:
    """Return the linked address that an entry's location is, all the time; None: it is none.

    Raises:
        Exception: One of `damage`.
    """
    location = entry.attributes.get("DW_AT_location")
    if location is None or isinstance(location.value, int):
        return None
    code = bytes(location.value)
    if code[:1] == _ADDRESS and len(code) == _ADDRESS_SIZE:
        return int.from_bytes(code[1:], "little")
    if code[:1] in _NUMBERED:
        (operation,) = parse_expression(entry, location.value)
        return int(entry.dwarfinfo.get_addr(entry.cu, operation.args[0]))
    return None


def parse_expression(entry: Entry, expression: Any) -> list[Any]:  # noqa: ANN401 - bytes, or a list of them
    """Return the operations of an expression in an entry.

    Raises:
        Exception: One of `damage`.
    """
    from elftools.dwarf.dwarf_expr import DWARFExprParser

    return list(DWARFExprParser(entry.cu.structs).parse_expr(expression))
