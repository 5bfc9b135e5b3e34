"""The entries of .debug_info (DWARF 2 to 5): only those asked for are decoded, the others are stepped over.

A unit of a large kernel has 100 000 entries; a question is about a few of them.

Source: DWARF 5, section 7.5; DWARF 4, section 7.5 for type units in a section of their own.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from emulator.loader.dwarf.abbreviations import Abbreviation, Abbreviations
from emulator.loader.dwarf.byte_reader import ByteReader, Damaged
from emulator.loader.dwarf.forms import (
    INDEXED_ADDRESSES,
    INDEXED_LISTS,
    INDEXED_STRINGS,
    NUMBERS,
    REFERENCE_ANYWHERE,
    REFERENCE_TO_SIGNATURE,
    REFERENCES,
    STRINGS,
    Attribute,
    number_at,
    read_value,
    sizes_of_forms,
    text_at,
)
from emulator.loader.dwarf.location_lists import read_location_list, read_older_list
from emulator.loader.dwarf.range_lists import read_pairs, read_range_list
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.dwarf.debug_info import DebugInfo

_LEB_MORE: Final = 0x80
_VERSIONS: Final = range(2, 6)
_DWARF5: Final = 5
_LONG: Final = 0xFFFF_FFFF  # the length of a unit whose offsets have 8 bytes
_DEPTH_MAX: Final = 512  # compilers nest some tens of entries

_COMPILED, _TYPES, _SKELETON, _SPLIT, _SPLIT_TYPES = 1, 2, 4, 5, 6  # DW_UT_compile etc.

_LISTS: Final = frozenset((0x17, 0x22))
_LISTS_BEFORE: Final = frozenset((0x06, 0x07))  # DWARF 2 and 3 have no form for offsets
_DWARF4: Final = 4


class Entry:
    """An entry.

    Args:
        unit: That it is in.
        offset: Where it begins in the section of its unit.
        tag: See `emulator.loader.dwarf.names.TAGS`; "" of all others.
        has_children: Whether others may be below it.
        attributes: By their names in `emulator.loader.dwarf.names.ATTRIBUTES`; others are left out.
    """

    __slots__ = ("attributes", "has_children", "offset", "tag", "unit")

    def __init__(
        self,
        unit: Unit,
        offset: int,
        tag: str,
        attributes: dict[str, Attribute],
        *,
        has_children: bool,
    ) -> None:
        self.unit = unit
        self.offset = offset
        self.tag = tag
        self.attributes = attributes
        self.has_children = has_children

    def referred(self, name: str) -> Entry:
        """Return the entry that an attribute refers to.

        Raises:
            Damaged: There is none.
            KeyError: It has no such attribute.
        """
        form, value = self.attributes[name]
        if form in REFERENCES:
            return self.unit.entry(value)
        if form == REFERENCE_ANYWHERE:
            return self.unit.info.entry(value)
        if form == REFERENCE_TO_SIGNATURE:
            return self.unit.info.entry_of_signature(value)
        raise Damaged

    def code(self) -> list[range]:
        """Return the pieces of its code, that with its first instruction first; none where it has no code.

        Raises:
            Damaged: They are none.
        """
        ranges = self.attributes.get("DW_AT_ranges")
        if ranges is not None:
            return [range(*each) for each in self.unit.range_list(ranges.value) if each[0] < each[1]]
        low, high = self.attributes.get("DW_AT_low_pc"), self.attributes.get("DW_AT_high_pc")
        if low is None or high is None:
            return []
        return [range(low.value, high.value if high.is_address else low.value + high.value)]


class Unit:
    """A unit of debug information.

    Args:
        info: That it is of.
        section: The name of its section: ``info`` or ``types``.
        start: Where it begins there.

    Attributes:
        info: See there.
        start: See there.
        end: Where it ends.
        version: Of DWARF.
        address_size: Bytes of an address.
        offset_size: Bytes of an offset in a section.
        identity: What a skeleton and its whole unit have in common, or the signature of a type; None: it is neither.
        is_skeleton: It only names the file with the whole unit.
        top: Its first entry.

    Raises:
        Damaged: It is no unit of a known kind.
    """

    def __init__(self, info: DebugInfo, section: str, start: int) -> None:
        self.info = info
        self.start = start
        self._data = info.section(section)
        reader = ByteReader(self._data, start, len(self._data))
        self.end, self.offset_size = _extent(reader)
        self.version = reader.unsigned(2)
        if self.version not in _VERSIONS:
            raise Damaged
        kind = _TYPES if section == "types" else _COMPILED
        if self.version == _DWARF5:
            kind, self.address_size = reader.unsigned(1), reader.unsigned(1)
        abbrev = info.section("abbrev")
        abbreviations = ByteReader(abbrev, reader.unsigned(self.offset_size), len(abbrev))
        if self.version < _DWARF5:
            self.address_size = reader.unsigned(1)
        if self.address_size not in (WORD_SIZE, 2 * WORD_SIZE):
            raise Damaged
        has_identity = kind in (_TYPES, _SKELETON, _SPLIT, _SPLIT_TYPES)
        self.identity = reader.unsigned(8) if has_identity else None
        self._type = start + reader.unsigned(self.offset_size) if kind in (_TYPES, _SPLIT_TYPES) else 0
        self.is_skeleton = kind == _SKELETON
        self._first = reader.position
        self._sizes = sizes_of_forms(self.version, self.address_size, self.offset_size)
        self._abbreviations = Abbreviations(abbreviations, self._sizes)
        self._entries: dict[int, Entry] = {}
        self._children: dict[int, list[Entry]] = {}
        header = 2 * self.offset_size
        self._bases = {
            "DW_AT_str_offsets_base": header,
            "DW_AT_addr_base": header,
            "DW_AT_rnglists_base": header + WORD_SIZE,
            "DW_AT_loclists_base": header + WORD_SIZE,
        }  # after the headers of their sections
        self.top = self._read_top()

    def _read_top(self) -> Entry:
        """Return the first entry, which has what its own values are counted from, with what its skeleton says."""
        skeleton = self.info.skeleton
        inherited = {} if skeleton is None else skeleton.top.attributes
        if skeleton is not None:
            self._bases["DW_AT_addr_base"] = skeleton.base("DW_AT_addr_base")
        abbreviation, position = self._abbreviation_at(self._first)
        reader = ByteReader(self._data, position, self.end)
        for name, form, implicit in abbreviation.attributes:
            _, value = read_value(reader, form, implicit, self._sizes)
            if name in self._bases and isinstance(value, int):
                self._bases[name] = value
        top = self.entry(self._first)
        for name, attribute in inherited.items():
            if name != "DW_AT_ranges":  # of the skeleton's file
                top.attributes.setdefault(name, attribute)
        return top

    @property
    def type(self) -> Entry:
        """The type that a unit with types is for.

        Raises:
            Damaged: There is none.
        """
        return self.entry(self._type)

    def entry(self, offset: int) -> Entry:
        """Return the entry at an offset of the unit's section.

        Raises:
            Damaged: There is none.
        """
        found = self._entries.get(offset)
        if found is None:
            if not self._first <= offset < self.end:
                raise Damaged
            found = self._entries[offset] = self._decode(offset)
        return found

    def children(self, entry: Entry) -> list[Entry]:
        """Return the entries right below an entry of the unit.

        Raises:
            Damaged: The entries are none.
        """
        if entry.offset not in self._children:
            self._children[entry.offset] = [
                self.entry(offset) for depth, offset, _ in self._tree(entry.offset) if depth == 1
            ]
        return self._children[entry.offset]

    def parent(self, entry: Entry) -> Entry | None:
        """Return the entry right above an entry of the unit; None of its first one.

        Raises:
            Damaged: The entries are none.
        """
        above = self._above.get(entry.offset)
        return None if above is None else self.entry(above)

    @cached_property
    def _above(self) -> dict[int, int]:
        """The offsets of the entries right above others."""
        found: dict[int, int] = {}
        around: list[int] = []
        for depth, offset, _ in self._tree(self._first):
            del around[depth:]
            if around:
                found[offset] = around[-1]
            around.append(offset)
        return found

    def entries(self) -> Iterator[Entry]:
        """Yield all entries in order.

        Raises:
            Damaged: The entries are none.
        """
        return (self.entry(offset) for _, offset, _ in self._tree(self._first))

    def walk(
        self, wanted: frozenset[str], passed: frozenset[str] = frozenset()
    ) -> Iterator[tuple[Entry, ...]]:
        """Yield the entries with certain tags in order, each as the last one of those that it is in, outermost first.

        Args:
            wanted: The tags.
            passed: Tags below which nothing is wanted.

        Raises:
            Damaged: The entries are none.
        """
        around: tuple[Entry, ...] = ()
        depths: list[int] = []
        for depth, offset, tag in self._tree(self._first, passed):
            while depths and depths[-1] >= depth:
                depths.pop()
            if tag in wanted:
                around = (*around[: len(depths)], self.entry(offset))
                depths.append(depth)
                yield around

    def _tree(self, position: int, passed: frozenset[str] = frozenset()) -> Iterator[tuple[int, int, str]]:
        """Yield the depths, offsets and tags of an entry and of all below it, in order, except below some tags where that is known to be left out."""
        depth, data = 0, self._data
        while position < self.end:
            if not data[position]:
                depth -= 1
                position += 1
            else:
                abbreviation, values = self._abbreviation_at(position)
                yield depth, position, abbreviation.tag
                position = self._step_over(abbreviation, values)
                if abbreviation.has_children:
                    sibling = self._sibling(abbreviation, values) if abbreviation.tag in passed else 0
                    if position < sibling <= self.end:
                        position = sibling
                    elif depth < _DEPTH_MAX:
                        depth += 1
                    else:
                        raise Damaged
            if depth <= 0:
                return

    def _sibling(self, abbreviation: Abbreviation, position: int) -> int:
        """Return where the entry after all those below one begins; 0: it does not say."""
        reader = ByteReader(self._data, position, self.end)
        for name, form, implicit in abbreviation.attributes:
            form, value = read_value(reader, form, implicit, self._sizes)  # noqa: PLW2901 - the one behind an indirect one
            if name == "DW_AT_sibling" and form in REFERENCES:
                return self.start + int(value)
        return 0

    def address(self, number: int) -> int:
        """Return an address of .debug_addr.

        Args:
            number: Which one of the unit.

        Raises:
            Damaged: There is none.
        """
        offset = self._bases["DW_AT_addr_base"] + self.address_size * number
        return number_at(self.info.section("addr"), offset, self.address_size)

    def base(self, attribute: str) -> int:
        """Return where something begins that is of the unit: ``DW_AT_addr_base``."""
        return self._bases[attribute]

    @property
    def code_base(self) -> int:
        """The address that its lists of ranges and locations are counted from."""
        low = self.top.attributes.get("DW_AT_low_pc")
        return 0 if low is None else int(low.value)

    def range_list(self, offset: int) -> Iterator[tuple[int, int]]:
        """Yield the `[start, end)` of a list of ranges.

        Raises:
            Damaged: It is no list.
        """
        self._check_addresses()
        if self.version < _DWARF5:
            return read_pairs(self.info.section("ranges"), offset, self.code_base)
        return read_range_list(self.info.section("rnglists"), offset, self.code_base, self.address)

    def location_list(self, offset: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield the `[start, end)` and the expressions of a list of locations; 0 and 0 where no other holds.

        Raises:
            Damaged: It is no list.
        """
        self._check_addresses()
        if self.version < _DWARF5:
            return read_older_list(self.info.section("loc"), offset, self.code_base)
        return read_location_list(self.info.section("loclists"), offset, self.code_base, self.address)

    def _check_addresses(self) -> None:
        """Lists are read of 32-bit addresses.

        Raises:
            Damaged: The unit has others.
        """
        if self.address_size != WORD_SIZE:
            raise Damaged

    def is_location_list(self, form: int) -> bool:
        """Return whether a location of a form is an offset in the section of lists."""
        return form in (_LISTS if self.version >= _DWARF4 else _LISTS_BEFORE)

    def lists_locations(self) -> bool:
        """Return whether its entries may have lists of locations: its abbreviations say so.

        Raises:
            Damaged: They are none.
        """
        return any(
            name == "DW_AT_location" and self.is_location_list(form)
            for abbreviation in self._abbreviations.all()
            for name, form, _ in abbreviation.attributes
        )

    def _abbreviation_at(self, position: int) -> tuple[Abbreviation, int]:
        """Return the abbreviation of an entry, and where its values begin."""
        data = self._data
        code, position = data[position], position + 1
        if code & _LEB_MORE:
            reader = ByteReader(data, position - 1, self.end)
            code, position = reader.uleb(), reader.position
        return self._abbreviations[code], position

    def _step_over(self, abbreviation: Abbreviation, position: int) -> int:
        data = self._data
        for size, form in abbreviation.steps:
            position += size
            if form in NUMBERS:
                while data[position] & _LEB_MORE:
                    position += 1
                position += 1
            elif form:
                reader = ByteReader(data, position, self.end)
                read_value(reader, form, 0, self._sizes)
                position = reader.position
        return position

    def _decode(self, offset: int) -> Entry:
        abbreviation, position = self._abbreviation_at(offset)
        reader = ByteReader(self._data, position, self.end)
        attributes = {}
        for name, form, implicit in abbreviation.attributes:
            found = read_value(reader, form, implicit, self._sizes)
            if name is not None:
                attributes[name] = self._resolved(*found)
        return Entry(self, offset, abbreviation.tag, attributes, has_children=abbreviation.has_children)

    def _resolved(self, form: int, value: Any) -> Attribute:  # noqa: ANN401 - as in `Attribute`
        """Return an attribute whose value is read."""
        if form in STRINGS:
            value = text_at(self.info.section(STRINGS[form]), value)
        elif form in REFERENCES:
            value += self.start
        elif form in INDEXED_STRINGS:
            value = text_at(self.info.section("str"), self._in_table("str_offsets", value))
        elif form in INDEXED_ADDRESSES:
            value = self.address(value)
        elif form in INDEXED_LISTS:
            section = INDEXED_LISTS[form]
            value = self._bases[f"DW_AT_{section}_base"] + self._in_table(section, value)
        return Attribute(form, value)

    def _in_table(self, section: str, number: int) -> int:
        offset = self._bases[f"DW_AT_{section}_base"] + self.offset_size * number
        return number_at(self.info.section(section), offset, self.offset_size)


def units_in(info: DebugInfo, section: str) -> Iterator[Unit]:
    """Yield the units of a section, ``info`` or ``types``; those that are damaged, or of an unknown kind, are passed over."""
    data = info.section(section)
    start = 0
    while start < len(data):
        try:
            end, _ = _extent(ByteReader(data, start, len(data)))
        except Damaged:
            return
        with suppress(Damaged, IndexError):
            yield Unit(info, section, start)
        start = end


def _extent(reader: ByteReader) -> tuple[int, int]:
    """Return where a unit ends, and the bytes of its offsets.

    Raises:
        Damaged: It has no end.
    """
    length, offset_size = reader.unsigned(WORD_SIZE), WORD_SIZE
    if length == _LONG:
        length, offset_size = reader.unsigned(2 * WORD_SIZE), 2 * WORD_SIZE
    end = reader.position + length
    if end > len(reader.data):
        raise Damaged
    return end, offset_size
