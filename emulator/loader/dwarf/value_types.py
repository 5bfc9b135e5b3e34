"""Types as values of variables are shown by them: with their names, members, elements, enumerators and what they point to.

`emulator.loader.dwarf.types` says which part of a variable a byte is; here a value is read. A type is decoded as far as it is asked for, so
that a list of structures that point to each other has an end. Damaged debug information is no error: such a type is of an unknown kind.

Source: DWARF 5, section 5 (types; 5.7.10: variants); DWARF 3, section 5.5.6, for the older form of bit fields.
"""

from __future__ import annotations

from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emulator.loader.dwarf.debug_info import DAMAGE
from emulator.loader.dwarf.type_names import TypeNames, number_of, text_of
from emulator.loader.dwarf.types import behind_names, offset_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.loader.dwarf.entries import Entry
    from emulator.loader.dwarf.units import Units

_POINTER_SIZE: Final = 4
_BITS: Final = 8
_TAG: Final = "DW_TAG_{}_type"
_VARIANT: Final = "DW_TAG_variant"
_DWARF2_STORAGE: Final = "DW_AT_bit_offset"


class Kind(Enum):
    """What a value of a type is."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"
    CHARACTER = "character"
    BOOLEAN = "boolean"
    FLOAT = "float"
    ENUMERATION = "enumeration"
    POINTER = "pointer"
    STRUCT = "struct"
    UNION = "union"
    ARRAY = "array"
    FUNCTION = "function"
    VOID = "void"
    UNKNOWN = "unknown"


_REFERENCES: Final = (_TAG.format("reference"), _TAG.format("rvalue_reference"))
_KINDS: Final = {
    **dict.fromkeys((_TAG.format("pointer"), *_REFERENCES), Kind.POINTER),
    **dict.fromkeys(map(_TAG.format, ("structure", "class")), Kind.STRUCT),
    _TAG.format("union"): Kind.UNION,
    _TAG.format("array"): Kind.ARRAY,
    _TAG.format("enumeration"): Kind.ENUMERATION,
    _TAG.format("subroutine"): Kind.FUNCTION,
}
_ENCODINGS: Final = {
    0x02: Kind.BOOLEAN,
    0x04: Kind.FLOAT,
    0x05: Kind.SIGNED,
    0x06: Kind.CHARACTER,
    0x07: Kind.UNSIGNED,
    0x08: Kind.CHARACTER,
    0x10: Kind.CHARACTER,  # DW_ATE_UTF
}
_SIGNED: Final = (0x05, 0x06)


class Member(NamedTuple):
    """A member of a struct or union.

    Attributes:
        name: "" of a nameless struct or union, whose members count as the outer's.
        type: Of its value.
        offset: Bytes from the start of the struct to the first one that has a bit of it.
        bits: Of a bit field its first bit there, from the lowest one, and how many it has; None: it is whole bytes.
    """

    name: str
    type: ValueType
    offset: int
    bits: tuple[int, int] | None


class Variants(NamedTuple):
    """Which member a value of an enum of Rust has, of several.

    Attributes:
        by: The number that says it, which is no member by itself.
        members: By that number, in as many bytes as it has; None: by all others.
    """

    by: Member
    members: Mapping[int | None, Member]


class ValueType:
    """The type of a value.

    Args:
        units: Of the file.
        entry: Of what names the type in its attribute ``DW_AT_type``; without one the type is ``void``.
        computed: Returns the length of a dimension of an array that is not the same in each run, by its entry; None: of these none is known.
    """

    def __init__(
        self, units: Units, entry: Entry, computed: Callable[[Entry], int | None] | None = None
    ) -> None:
        self._units = units
        self._entry = entry
        self._computed = computed

    @cached_property
    def name(self) -> str:
        """As C writes it: ``struct page *``, ``char[16]``; ``(unknown type)`` where the file does not say."""
        try:
            if self.is_named:
                return TypeNames(self._units).of(self._entry)
        except DAMAGE:
            return "(unknown type)"
        counts = "".join(f"[{'' if each is None else each}]" for each in self.counts)
        return f"{self.target.name}{counts}"

    has_definition = True
    """Whether an entry defines it."""

    @property
    def is_named(self) -> bool:
        """Whether a typedef stands for it, or it is no array."""
        if self.kind is not Kind.ARRAY:
            return True
        named = self._entry.referred("DW_AT_type")
        return bool(named.tag == "DW_TAG_typedef")

    @property
    def _plain(self) -> Any:  # noqa: ANN401 - an entry, which is there where a kind says so
        """The entry of the type, behind its names; None: it is void, or damaged."""
        return self._resolved[0]

    @cached_property
    def _resolved(self) -> tuple[Entry | None, Kind]:
        """The entry of the type, and what it is without one."""
        try:
            return behind_names(self._entry), Kind.VOID
        except DAMAGE:
            return None, Kind.UNKNOWN

    @cached_property
    def kind(self) -> Kind:
        """What its values are."""
        if self._plain is None:
            return self._resolved[1]
        tag = self._plain.tag
        if tag == "DW_TAG_base_type":
            return _ENCODINGS.get(number_of(self._plain, "DW_AT_encoding"), Kind.UNKNOWN)
        return Kind.VOID if tag == "DW_TAG_unspecified_type" else _KINDS.get(tag, Kind.UNKNOWN)

    @property
    def is_signed(self) -> bool:
        """Whether its values may be negative: integers, and enumerations of which a constant is."""
        if self.kind is Kind.ENUMERATION:
            return any(value < 0 for value in self.enumerators)
        return self._plain is not None and number_of(self._plain, "DW_AT_encoding") in _SIGNED

    @cached_property
    def size(self) -> int | None:
        """Bytes; None where the file does not say."""
        if self._plain is None or self.kind is Kind.FUNCTION:
            return None
        if self.kind is Kind.POINTER:
            return _POINTER_SIZE
        if self.kind is Kind.ARRAY:
            count, size = self.count, self.element.size
            return None if count is None or size is None else count * size
        found = self._complete.attributes.get("DW_AT_byte_size")
        return found.value if found is not None and isinstance(found.value, int) else None

    @cached_property
    def _complete(self) -> Any:  # noqa: ANN401 - as above
        """The entry of a struct with its members, which may be in another unit than its declaration."""
        entry = self._plain
        if entry is None or "DW_AT_declaration" not in entry.attributes:
            return entry
        name = text_of(entry)
        try:
            for unit in self._units.naming([name]) if name else ():
                for each in unit.entries():
                    is_whole = (
                        "DW_AT_declaration" not in each.attributes and "DW_AT_byte_size" in each.attributes
                    )
                    if each.tag == entry.tag and is_whole and text_of(each) == name:
                        return each
        except DAMAGE:
            pass
        return entry

    @property
    def is_reference(self) -> bool:
        """Whether it is a reference of C++, which stands for what it points to."""
        return self._plain is not None and self._plain.tag in _REFERENCES

    @property
    def definition(self) -> Entry | None:
        """The entry that defines the type, if it has one (`has_definition`), maybe as a name for another one; None: it is void."""
        return self._entry.referred("DW_AT_type") if "DW_AT_type" in self._entry.attributes else None

    @property
    def target(self) -> ValueType:
        """What a pointer points to, or what a function returns."""
        return ValueType(self._units, self._plain, self._computed)

    @property
    def counts(self) -> list[int | None]:
        """Elements of an array by dimension; None where the file does not say, as of ``extern int a[]``."""
        entry = self._plain
        children = [] if entry is None else self._units.children(entry)
        return [self._length(each) for each in children if each.tag == "DW_TAG_subrange_type"]

    def _length(self, subrange: Entry) -> int | None:
        bound = bound_of(subrange)
        if bound is None:
            return None
        attribute, more = bound
        value = subrange.attributes[attribute]
        if not value.is_constant:
            return None if self._computed is None else self._computed(subrange)
        is_none = more and value.value == (1 << 32) - 1  # of `int a[0]`
        return 0 if is_none else max(value.value + more, 0)

    @property
    def count(self) -> int | None:
        """Elements of an array; None where the file does not say."""
        counts = self.counts
        return counts[0] if counts else None

    @property
    def element(self) -> ValueType:
        """The type of an array's elements; of several dimensions an array."""
        return _Row(self._units, self._plain, 1, self._computed) if len(self.counts) > 1 else self.target

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Those of a struct or union; static ones are left out."""
        entry = self._complete
        if entry is None:
            return ()
        try:
            found = [
                each
                for each in self._units.children(entry)
                if each.tag in ("DW_TAG_member", "DW_TAG_inheritance")
            ]
            return tuple(self._member(each) for each in found if "DW_AT_external" not in each.attributes)
        except DAMAGE:
            return ()

    @cached_property
    def variants(self) -> Variants | None:
        """Those of an enum of Rust whose variants have members; None: it is none."""
        entry = self._complete
        try:
            parts = [] if entry is None else self._units.children(entry)
            return next((self._variants(each) for each in parts if each.tag == "DW_TAG_variant_part"), None)
        except DAMAGE:
            return None

    def _variants(self, part: Entry) -> Variants | None:
        if "DW_AT_discr" not in part.attributes:  # there is one variant only
            of = [self._variant(each) for each in self._units.children(part) if each.tag == _VARIANT]
            return Variants(of[0], {None: of[0]}) if len(of) == 1 and of[0] is not None else None
        by = self._member(part.referred("DW_AT_discr"))
        found: dict[int | None, Member] = {}
        for each in self._units.children(part):
            member = self._variant(each) if each.tag == _VARIANT else None
            if "DW_AT_discr_list" in each.attributes or by.type.size is None:
                return None
            if member is not None:
                value = each.attributes.get("DW_AT_discr_value")
                found[None if value is None else value.value & (1 << by.type.size * _BITS) - 1] = member
        return Variants(by, found)

    def _variant(self, entry: Entry) -> Member | None:
        """Return the member of a variant; None: it has none, or several."""
        found = [each for each in self._units.children(entry) if each.tag == "DW_TAG_member"]
        return self._member(found[0]) if len(found) == 1 else None

    def _member(self, entry: Entry) -> Member:
        of, offset = ValueType(self._units, entry), offset_of(entry)
        width = number_of(entry, "DW_AT_bit_size")
        if not width:
            return Member(text_of(entry), of, offset, None)
        if _DWARF2_STORAGE in entry.attributes:  # counted from the highest bit of a storage unit
            storage = number_of(entry, "DW_AT_byte_size") or of.size or _POINTER_SIZE
            first = storage * _BITS - _signed(number_of(entry, _DWARF2_STORAGE)) - width
        else:
            first = number_of(entry, "DW_AT_data_bit_offset") % _BITS  # whole bytes are in the offset
        return Member(text_of(entry), of, offset + first // _BITS, (first % _BITS, width))

    @cached_property
    def enumerators(self) -> dict[int, str]:
        """Constants of an enumeration by their values; of two with one value the first."""
        found: dict[int, str] = {}
        for each in () if self._plain is None else self._units.children(self._plain):
            if each.tag == "DW_TAG_enumerator":
                found.setdefault(number_of(each, "DW_AT_const_value"), text_of(each))
        return found


class _Row(ValueType):
    """What an array of several dimensions is made of.

    Args:
        units: Of the file.
        entry: Of the array.
        dimension: How many have been left.
        computed: See `ValueType`.
    """

    def __init__(
        self, units: Units, entry: Entry, dimension: int, computed: Callable[[Entry], int | None] | None
    ) -> None:
        super().__init__(units, entry, computed)
        self._array, self._dimension = entry, dimension

    has_definition = False

    @property
    def is_named(self) -> bool:
        return False

    @property
    def kind(self) -> Kind:
        return Kind.ARRAY

    @property
    def _plain(self) -> Entry:
        return self._array

    @property
    def counts(self) -> list[int | None]:
        return super().counts[self._dimension :]

    @property
    def element(self) -> ValueType:
        if len(self.counts) > 1:
            return _Row(self._units, self._array, self._dimension + 1, self._computed)
        return self.target


def bound_of(subrange: Entry) -> tuple[str, int] | None:
    """Return the attribute that says how many elements a dimension of an array has, and how many more there are than that; None: there is none."""
    bounds = (("DW_AT_count", 0), ("DW_AT_upper_bound", 1))
    return next((each for each in bounds if each[0] in subrange.attributes), None)


def _signed(number: int) -> int:
    """Return a number that may be one of a word in two's complement; what lies in two storage units has a negative bit offset."""
    return number - (1 << 32) if 1 << 31 <= number < 1 << 32 else number
