"""Values of attributes: their forms, and how each is read.

Source: DWARF 5, sections 7.5.5 and 7.5.6.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from emulator.loader.dwarf.byte_reader import ByteReader, Damaged

_DWARF2: Final = 2
_TEXT_MAX: Final = 1 << 16  # bytes: thousands of entries may name the same long one

REFERENCE_ANYWHERE: Final = 0x10
"""The form of references to other units."""
REFERENCE_TO_SIGNATURE: Final = 0x20
"""The form of references to types in units of their own."""
IMPLICIT: Final = 0x21
"""The form of a number that stands in the abbreviation."""
_ADDRESS: Final = 0x01
_INDIRECT, _FLAG_PRESENT = 0x16, 0x19
_STRING, _SIGNED, _WHOLE_16 = 0x08, 0x0D, 0x1E
_FORMS_OF_SIZE: Final = {
    0: (_FLAG_PRESENT, IMPLICIT),
    1: (0x0B, 0x0C, 0x11, 0x25, 0x29),
    2: (0x05, 0x12, 0x26, 0x2A),
    3: (0x27, 0x2B),
    4: (0x06, 0x13, 0x1C, 0x28, 0x2C),
    8: (0x07, 0x14, 0x20, 0x24),
    16: (_WHOLE_16,),
}
_FIXED: Final = {form: size for size, forms in _FORMS_OF_SIZE.items() for form in forms}
"""Bytes of the forms that have as many in all units."""
_OFFSETS: Final = (0x0E, REFERENCE_ANYWHERE, 0x17, 0x1D, 0x1F, 0x1F20, 0x1F21)
"""Forms of offsets in sections."""
NUMBERS: Final = frozenset((_SIGNED, 0x0F, 0x15, 0x1A, 0x1B, 0x22, 0x23))
"""Forms of a number of variable length."""
_BLOCKS: Final = {0x0A: 1, 0x03: 2, 0x04: 4, 0x09: 0, 0x18: 0}
"""Forms of blocks, and the bytes of their length; 0: a number of variable length."""
REFERENCES: Final = frozenset((0x11, 0x12, 0x13, 0x14, 0x15))
"""Forms of references that count from the unit's beginning."""
_ALL_REFERENCES: Final = REFERENCES | {REFERENCE_ANYWHERE, REFERENCE_TO_SIGNATURE}
INDEXED_ADDRESSES: Final = frozenset((0x1B, 0x29, 0x2A, 0x2B, 0x2C))
"""Forms of numbers of addresses in .debug_addr."""
INDEXED_STRINGS: Final = frozenset((0x1A, 0x25, 0x26, 0x27, 0x28))
"""Forms of numbers of texts in .debug_str_offsets."""
INDEXED_LISTS: Final = {0x22: "loclists", 0x23: "rnglists"}
"""Forms of numbers of lists, and the sections that those are in."""
STRINGS: Final = {0x0E: "str", 0x1F: "line_str"}
"""Forms of offsets of texts, and the sections that those are in."""
_CONSTANTS: Final = frozenset((0x05, 0x06, 0x07, 0x0B, _SIGNED, 0x0F, IMPLICIT))


class Attribute(NamedTuple):
    """An attribute of an entry.

    Attributes:
        form: The number of its form.
        value: A number, or the bytes of a text, an expression or a block. Of a reference it is an offset in the section that
            its entry is in, or a signature; of a list one in the section of such lists; of an address that address.
    """

    form: int
    value: Any

    @property
    def is_address(self) -> bool:
        """Whether it is an address."""
        return self.form == _ADDRESS or self.form in INDEXED_ADDRESSES

    @property
    def is_constant(self) -> bool:
        """Whether it is a number that refers to nothing."""
        return self.form in _CONSTANTS

    @property
    def is_reference(self) -> bool:
        """Whether it refers to an entry."""
        return self.form in _ALL_REFERENCES


def sizes_of_forms(version: int, address_size: int, offset_size: int) -> dict[int, int]:
    """Return the bytes of the forms that have always as many in a unit.

    Args:
        version: Of DWARF.
        address_size: Bytes of an address.
        offset_size: Bytes of an offset in a section.
    """
    sizes = {**_FIXED, **dict.fromkeys(_OFFSETS, offset_size), _ADDRESS: address_size}
    if version == _DWARF2:
        sizes[REFERENCE_ANYWHERE] = address_size
    return sizes


def read_value(
    reader: ByteReader, form: int, implicit: int, sizes: dict[int, int]
) -> tuple[int, int | bytes]:
    """Read a value; return its form, which may be another one behind an indirect one, and the value.

    Args:
        reader: Stands at the value.
        form: As the abbreviation has it.
        implicit: The value of a form without bytes.
        sizes: See `sizes_of_forms`.

    Raises:
        Damaged: There is no such form, or value.
    """
    while form == _INDIRECT:
        form = reader.uleb()
    size = sizes.get(form)
    if size is not None:
        if not size:
            return form, implicit
        return form, reader.take(size) if form == _WHOLE_16 else reader.unsigned(size)
    if form in NUMBERS:
        return form, reader.sleb() if form == _SIGNED else reader.uleb()
    if form == _STRING:
        text = text_at(reader.data, reader.position)
        if reader.take(len(text) + 1)[-1]:
            raise Damaged
        return form, text
    if form in _BLOCKS:
        size = _BLOCKS[form]
        return form, reader.take(reader.unsigned(size) if size else reader.uleb())
    raise Damaged


def text_at(data: bytes, offset: int) -> bytes:
    """Return a text up to its NUL; b"" where it has none."""
    return data[offset : max(data.find(b"\0", offset, offset + _TEXT_MAX), 0)]


def number_at(data: bytes, offset: int, size: int) -> int:
    """Return a number of some bytes.

    Raises:
        Damaged: They are not there.
    """
    return ByteReader(data, offset, len(data)).unsigned(size)
