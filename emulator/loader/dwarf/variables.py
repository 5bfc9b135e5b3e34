"""Variables of a kernel and their types, from DWARF.

Only the compilation unit that defines a variable is decoded, and only once it is asked for: .debug_info is searched for the
bytes of the variable's location. Damaged debug information is no error: such a variable is unknown.

Source: DWARF 5, sections 2.6 (locations), 4.1 (variables) and 5 (types).
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from emulator.loader.dwarf.c_types import Array, CType, Encoding, Member, Scalar, Struct
from emulator.loader.dwarf.debug_info import damage, open_debug_info

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXPRESSION = b"\x05\x03"  # its length, then DW_OP_addr
_DEPTH_MAX = 64
_POINTER_SIZE = 4
_UNKNOWN = Scalar(0, Encoding.BYTES)
_POINTERS = frozenset(("DW_TAG_pointer_type", "DW_TAG_reference_type"))
_NAMES_ONLY = frozenset(
    f"DW_TAG_{each}" for each in ("typedef", "const_type", "volatile_type", "atomic_type", "restrict_type")
)
_STRUCTS = frozenset(("DW_TAG_structure_type", "DW_TAG_union_type", "DW_TAG_class_type"))
_ENCODINGS = {
    0x02: Encoding.UNSIGNED,  # DW_ATE_boolean
    0x05: Encoding.SIGNED,
    0x06: Encoding.SIGNED,  # DW_ATE_signed_char
    0x07: Encoding.UNSIGNED,
    0x08: Encoding.UNSIGNED,  # DW_ATE_unsigned_char
}
_PLUS_CONSTANT = 0x23  # DW_OP_plus_uconst: how DWARF 2 writes a member's offset


class Variable(NamedTuple):
    """A variable with a fixed address."""

    name: str
    type: CType


class Variables:
    """The variables of one file.

    Args:
        data: The file.
    """

    def __init__(self, data: bytes) -> None:
        self._dwarf, self._info = open_debug_info(data)
        self._found: dict[int, Variable | None] = {}
        self._types: dict[int, CType] = {}

    def at(self, address: int) -> Variable | None:
        """Return the variable that starts at a linked address, or None where the file does not say."""
        if address not in self._found:
            try:
                self._found[address] = self._find(address)
            except damage():
                self._found[address] = None
        return self._found[address]

    def _find(self, address: int) -> Variable | None:
        location = _EXPRESSION + struct.pack("<I", address)
        for match in re.finditer(re.escape(location), self._info):
            unit = self._dwarf.get_CU_containing(match.start())
            for entry in unit.iter_DIEs():
                if entry.tag == "DW_TAG_variable" and _located_at(entry, address):
                    return self._variable(entry)
        return None

    def _variable(self, entry: Any) -> Variable | None:
        if "DW_AT_specification" in entry.attributes:  # declared elsewhere
            declared = entry.get_DIE_from_attribute("DW_AT_specification")
        else:
            declared = entry
        own_type = (
            entry if "DW_AT_type" in entry.attributes else declared
        )  # an array's size may be in the definition only
        name = _text(declared, "DW_AT_name")
        return Variable(name, self._type_of(own_type)) if name else None

    def _type_of(self, entry: Any, depth: int = 0) -> CType:
        """Return the type that an entry names."""
        if "DW_AT_type" not in entry.attributes or depth > _DEPTH_MAX:
            return _UNKNOWN
        named = entry.get_DIE_from_attribute("DW_AT_type")
        if named.offset not in self._types:
            self._types[named.offset] = self._type(named, depth + 1)
        return self._types[named.offset]

    def _type(self, entry: Any, depth: int) -> CType:
        if entry.tag in _NAMES_ONLY:
            return self._type_of(entry, depth)
        if entry.tag in _POINTERS:
            return Scalar(_POINTER_SIZE, Encoding.POINTER)
        size = _number(entry, "DW_AT_byte_size")
        if entry.tag in _STRUCTS:
            return Struct(size, tuple(self._members(entry, depth)))
        if entry.tag == "DW_TAG_array_type":
            return self._array(entry, depth)
        if entry.tag == "DW_TAG_enumeration_type":
            return Scalar(size, Encoding.UNSIGNED)
        return Scalar(size, _ENCODINGS.get(_number(entry, "DW_AT_encoding"), Encoding.BYTES))

    def _members(self, entry: Any, depth: int) -> Iterator[Member]:
        for child in entry.iter_children():
            if child.tag == "DW_TAG_member":
                yield Member(_text(child, "DW_AT_name"), _offset(child), self._type_of(child, depth))

    def _array(self, entry: Any, depth: int) -> CType:
        counts = [_count(child) for child in entry.iter_children() if child.tag == "DW_TAG_subrange_type"]
        array = self._type_of(entry, depth)
        for count in reversed(counts):
            array = Array(array, count)
        return array


def _located_at(entry: Any, address: int) -> bool:
    location = entry.attributes.get("DW_AT_location")
    return location is not None and bytes(location.value) == b"\x03" + struct.pack("<I", address)


def _text(entry: Any, attribute: str) -> str:
    value = entry.attributes.get(attribute)
    return "" if value is None else value.value.decode("utf-8", "replace")


def _number(entry: Any, attribute: str) -> int:
    value = entry.attributes.get(attribute)
    return value.value if value is not None and isinstance(value.value, int) else 0


def _offset(member: Any) -> int:
    """Return the bytes from the struct's start to a member."""
    location = member.attributes.get("DW_AT_data_member_location")
    if location is not None and not isinstance(location.value, int):
        code, *number = location.value
        if code != _PLUS_CONSTANT:
            raise ValueError("no constant offset")
        return sum((byte & 0x7F) << 7 * index for index, byte in enumerate(number))  # LEB128
    return _number(member, "DW_AT_data_member_location") + _number(member, "DW_AT_data_bit_offset") // 8


def _count(subrange: Any) -> int:
    if "DW_AT_upper_bound" in subrange.attributes:
        return _number(subrange, "DW_AT_upper_bound") + 1
    return _number(subrange, "DW_AT_count")
