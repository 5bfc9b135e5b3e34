"""Types of a kernel's variables, from DWARF.

Source: DWARF 5, section 5 (types).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.loader.dwarf.c_types import Array, CType, Encoding, Member, Scalar, Struct
from emulator.loader.dwarf.type_names import number_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.dwarf.entries import Entry
    from emulator.loader.dwarf.units import Units

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


class Types:
    """The types of one file.

    Args:
        units: Of the file.
    """

    def __init__(self, units: Units) -> None:
        self._units = units
        self._types: dict[Entry, CType] = {}

    def of(self, entry: Entry, depth: int = 0) -> CType:
        """Return the type that an entry names: that of a variable, of what a pointer points to, of an array's element.

        Raises:
            Exception: One of `DAMAGE`.
        """
        if "DW_AT_type" not in entry.attributes or depth > _DEPTH_MAX:
            return _UNKNOWN
        return self.defined_by(entry.referred("DW_AT_type"), depth + 1)

    def defined_by(self, entry: Entry, depth: int = 0) -> CType:
        """Return the type that an entry defines.

        Raises:
            Exception: One of `DAMAGE`.
        """
        if entry not in self._types:
            self._types[entry] = self._type(entry, depth)
        return self._types[entry]

    def _type(self, entry: Entry, depth: int) -> CType:
        if entry.tag in _NAMES_ONLY:
            return self.of(entry, depth)
        if entry.tag in _POINTERS:
            return Scalar(_POINTER_SIZE, Encoding.POINTER)
        size = number_of(entry, "DW_AT_byte_size")
        if entry.tag in _STRUCTS:
            return self._struct(entry, size, depth)
        if entry.tag == "DW_TAG_array_type":
            return self._array(entry, depth)
        if entry.tag == "DW_TAG_enumeration_type":
            return Scalar(size, Encoding.UNSIGNED)
        return Scalar(size, _ENCODINGS.get(number_of(entry, "DW_AT_encoding"), Encoding.BYTES))

    def _struct(self, entry: Entry, size: int, depth: int) -> CType:
        """Return a struct or union; bytes where it is an enum of Rust, of which each value has other members."""
        if any(each.tag == "DW_TAG_variant_part" for each in self._units.children(entry)):
            return Scalar(size, Encoding.BYTES)
        return Struct(size, tuple(self._members(entry, depth)))

    def _members(self, entry: Entry, depth: int) -> Iterator[Member]:
        for child in self._units.children(entry):
            if child.tag == "DW_TAG_member":
                yield Member(text_of(child), offset_of(child), self.of(child, depth))

    def _array(self, entry: Entry, depth: int) -> CType:
        counts = [
            _count(child) for child in self._units.children(entry) if child.tag == "DW_TAG_subrange_type"
        ]
        array = self.of(entry, depth)
        for count in reversed(counts):
            array = Array(array, count)
        return array


def behind_names(entry: Entry) -> Entry | None:
    """Return the entry of the type that an entry names, behind its typedefs and qualifiers; None: it is ``void``.

    Raises:
        Exception: One of `DAMAGE`.
    """
    for _ in range(_DEPTH_MAX):
        if "DW_AT_type" not in entry.attributes:
            return None
        entry = entry.referred("DW_AT_type")
        if entry.tag not in _NAMES_ONLY:
            return entry
    return None


def offset_of(member: Entry) -> int:
    """Return the bytes from the struct's start to a member; of a bit field to the first byte with one of its bits, or in DWARF 2 and 3 to its storage.

    Raises:
        Exception: One of `DAMAGE`.
    """
    location = member.attributes.get("DW_AT_data_member_location")
    if location is not None and not isinstance(location.value, int):
        code, *number = location.value
        if code != _PLUS_CONSTANT:
            raise ValueError("no constant offset")
        return sum((byte & 0x7F) << 7 * index for index, byte in enumerate(number))  # LEB128
    return number_of(member, "DW_AT_data_member_location") + number_of(member, "DW_AT_data_bit_offset") // 8


def _count(subrange: Entry) -> int:
    if "DW_AT_upper_bound" in subrange.attributes:
        return number_of(subrange, "DW_AT_upper_bound") + 1
    return number_of(subrange, "DW_AT_count")
