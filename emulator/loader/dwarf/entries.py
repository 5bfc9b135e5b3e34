"""The entries of .debug_info (DWARF 2 to 5), read in bulk: only those asked for are decoded, the others are stepped over.

pyelftools makes an object of each entry, which takes seconds for a unit of a large kernel.

Source: DWARF 5, section 7.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.dwarf.byte_reader import ByteReader, Damaged
from emulator.loader.dwarf.range_lists import read_pairs, read_range_list

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME, LOW_PC, HIGH_PC, LINKAGE_NAME, RANGES = 0x03, 0x11, 0x12, 0x6E, 0x55
SIBLING, STATEMENTS, ORIGIN, SPECIFICATION, CALL_FILE, CALL_LINE = 0x01, 0x10, 0x31, 0x47, 0x58, 0x59
_STR_OFFSETS_BASE, _ADDR_BASE, _RNGLISTS_BASE = 0x72, 0x73, 0x74

_LEB_MORE: Final = 0x80
_VERSIONS: Final = range(2, 6)
_DWARF5: Final = 5
_TYPE_UNITS: Final = (2, 6)
_UNITS_WITH_ID: Final = (4, 5)
_ADDRESS: Final = 0x01
_STRING: Final = 0x08
_IMPLICIT: Final = 0x21
_FORMS_OF_SIZE: Final = {
    0: (0x19, 0x21),  # flag_present, implicit_const
    1: (0x0B, 0x0C, 0x11, 0x25, 0x29),
    2: (0x05, 0x12, 0x26, 0x2A),
    3: (0x27, 0x2B),
    4: (0x01, 0x06, 0x0E, 0x10, 0x13, 0x17, 0x1C, 0x1D, 0x1F, 0x28, 0x2C, 0x1F20, 0x1F21),
    8: (0x07, 0x14, 0x20, 0x24),
    16: (0x1E,),
}
_FIXED: Final = {form: size for size, forms in _FORMS_OF_SIZE.items() for form in forms}
"""Bytes of the forms that have always as many."""
_NUMBERS: Final = frozenset((0x0D, 0x0F, 0x15, 0x1A, 0x1B, 0x22, 0x23, 0x1F01, 0x1F02))
"""Forms of a number of variable length."""
_BLOCKS: Final = {0x0A: 1, 0x03: 2, 0x04: 4, 0x09: 0, 0x18: 0}
"""Forms of blocks, and the bytes of their length; 0: a number of variable length."""
_REFERENCES: Final = frozenset((0x11, 0x12, 0x13, 0x14, 0x15))
"""Forms of references that count from the unit's beginning."""
_REFERENCE_ANYWHERE: Final = 0x10
_INDEXED_ADDRESSES: Final = frozenset((0x1B, 0x29, 0x2A, 0x2B, 0x2C, 0x1F01))
_INDEXED_STRINGS: Final = frozenset((0x1A, 0x25, 0x26, 0x27, 0x28, 0x1F02))
_INDEXED_RANGES: Final = 0x23
_STRINGS: Final = {0x0E: "str", 0x1F: "line_str"}

Ranges = list[tuple[int, int]]


class InfoSections(NamedTuple):
    """The bytes of the sections that entries are read from; empty where the file has none."""

    info: bytes
    abbrev: bytes
    str: bytes
    line_str: bytes
    str_offsets: bytes
    addr: bytes
    ranges: bytes
    rnglists: bytes


class Value(NamedTuple):
    """The value of an attribute: a number, or the bytes of a text or block."""

    form: int
    value: int | bytes


class _Abbreviation(NamedTuple):
    tag: int
    has_children: bool
    attributes: tuple[tuple[int, int, int], ...]  # attribute, form, implicit value
    steps: tuple[tuple[int, int], ...]  # bytes to step over, and the form after them; 0: none


class Entry(NamedTuple):
    """One entry that was decoded."""

    tag: int
    values: dict[int, Value]


class Unit:
    """A unit of .debug_info.

    Args:
        sections: What it is read from.
        start: Where it begins.

    Attributes:
        start: See there.
        end: Where it ends.
        top: Its first entry.

    Raises:
        Damaged: It is no unit of a known kind.
    """

    def __init__(self, sections: InfoSections, start: int) -> None:
        self._sections = sections
        self.start = start
        reader = ByteReader(sections.info, start, len(sections.info))
        self.end = reader.unsigned(4) + reader.position
        version = reader.unsigned(2)
        if version not in _VERSIONS or self.end > len(sections.info):
            raise Damaged
        kind = reader.unsigned(1) if version == _DWARF5 else 0
        if version == _DWARF5:
            reader.take(1)
        self._abbreviations = sections.abbrev, reader.unsigned(4)
        if version < _DWARF5:
            reader.take(1)
        elif kind in _TYPE_UNITS:
            reader.take(12)
        elif kind in _UNITS_WITH_ID:
            reader.take(8)
        self._version = version
        self._known: dict[int, _Abbreviation] = {}
        self._reader = self._abbreviation_reader()
        self._first = reader.position
        self._bases = {_STR_OFFSETS_BASE: 8, _ADDR_BASE: 8, _RNGLISTS_BASE: 12}
        self.top = self.entry(self._first)
        self._bases |= {
            attribute: number
            for attribute in self._bases
            if isinstance(number := self.top.values.get(attribute, Value(0, b"")).value, int)
        }

    def entry(self, position: int) -> Entry:
        """Return the entry at a position of .debug_info.

        Raises:
            Damaged: There is none.
        """
        entry, _ = self._decode(position)
        if entry is None:
            raise Damaged
        return entry

    def walk(self, wanted: frozenset[int], passed: frozenset[int]) -> Iterator[tuple[int, Entry]]:
        """Yield the entries with certain tags, each with its depth, in order.

        Args:
            wanted: The tags.
            passed: Tags below which nothing is wanted.

        Raises:
            Damaged: The entries are none.
        """
        position, depth, data = self._first, 0, self._sections.info
        while position < self.end:
            code = data[position]
            if not code:
                depth -= 1
                position += 1
                if depth <= 0:
                    return
                continue
            abbreviation, after = self._abbreviation_at(position)
            if abbreviation.tag in wanted or (abbreviation.has_children and abbreviation.tag in passed):
                entry, after = self._decode(position)
                sibling = entry and entry.values.get(SIBLING)
                if entry and abbreviation.tag in wanted:
                    yield depth, entry
                elif sibling and isinstance(sibling.value, int) and after < sibling.value <= self.end:
                    position = sibling.value
                    continue
            else:
                after = self._step_over(abbreviation, after)
            depth += abbreviation.has_children
            position = after

    def ranges(self, entry: Entry) -> Ranges:
        """Return the `[start, end)` of an entry's code.

        Raises:
            Damaged: They are none.
        """
        values = entry.values
        if RANGES in values:
            base = self._address(self.top.values.get(LOW_PC)) or 0
            return list(self._range_list(values[RANGES], base))
        low, high = self._address(values.get(LOW_PC)), values.get(HIGH_PC)
        if low is None or high is None or not isinstance(high.value, int):
            return []
        end = (
            self._address(high)
            if high.form == _ADDRESS or high.form in _INDEXED_ADDRESSES
            else low + high.value
        )
        return [(low, end)] if end is not None else []

    def number(self, entry: Entry, attribute: int) -> int:
        """Return the number that an attribute of an entry is; 0 where it has none."""
        value = entry.values.get(attribute)
        return value.value if value is not None and isinstance(value.value, int) else 0

    def text(self, entry: Entry, attribute: int) -> str:
        """Return the text that an attribute of an entry is; "" where it has none."""
        value = entry.values.get(attribute)
        if value is None:
            return ""
        form, content = value
        if isinstance(content, int):
            if form in _INDEXED_STRINGS:
                base = self._bases[_STR_OFFSETS_BASE]
                content = _word(self._sections.str_offsets, base + 4 * content)
                form = 0x0E
            if form not in _STRINGS:
                return ""
            strings = getattr(self._sections, _STRINGS[form])
            content = bytes(ByteReader(strings, content, len(strings)).string())
        return content.decode("utf-8", "replace")

    def _address(self, value: Value | None) -> int | None:
        if value is None or not isinstance(value.value, int):
            return None
        if value.form in _INDEXED_ADDRESSES:
            return self._indexed_address(value.value)
        return value.value

    def _indexed_address(self, number: int) -> int:
        return _word(self._sections.addr, self._bases[_ADDR_BASE] + 4 * number)

    def _range_list(self, value: Value, base: int) -> Iterator[tuple[int, int]]:
        form, offset = value
        if not isinstance(offset, int):
            raise Damaged
        if self._version < _DWARF5:
            return read_pairs(self._sections.ranges, offset, base)
        lists = self._sections.rnglists
        if form == _INDEXED_RANGES:
            first = self._bases[_RNGLISTS_BASE]
            offset = first + _word(lists, first + 4 * offset)
        return read_range_list(lists, offset, base, self._indexed_address)

    def _abbreviation_reader(self) -> Iterator[tuple[int, _Abbreviation]]:
        """Yield the unit's abbreviations; the first ones are all that most units are asked for."""
        data, offset = self._abbreviations
        numbers = _numbers(data, offset)
        while code := next(numbers):
            tag, has_children = next(numbers), bool(next(numbers))
            attributes = []
            while True:
                attribute, form = next(numbers), next(numbers)
                implicit = next(numbers) if form == _IMPLICIT else 0
                if not attribute and not form:
                    break
                attributes.append((attribute, form, implicit))
            yield code, _Abbreviation(tag, has_children, tuple(attributes), _steps(attributes))

    def _abbreviation_at(self, position: int) -> tuple[_Abbreviation, int]:
        """Return the abbreviation of an entry, and where its values begin."""
        data = self._sections.info
        code, position = data[position], position + 1
        if code & _LEB_MORE:
            reader = ByteReader(data, position - 1, self.end)
            code, position = reader.uleb(), reader.position
        found = self._known.get(code)
        while found is None:
            number, abbreviation = next(self._reader, (0, None))
            if abbreviation is None:
                raise Damaged
            self._known[number] = abbreviation
            found = self._known.get(code)
        return found, position

    def _step_over(self, abbreviation: _Abbreviation, position: int) -> int:
        data = self._sections.info
        for size, form in abbreviation.steps:
            position += size
            if form in _NUMBERS:
                while data[position] & _LEB_MORE:
                    position += 1
                position += 1
            elif form:
                reader = ByteReader(data, position, self.end)
                _variable(reader, form)
                position = reader.position
        return position

    def _decode(self, position: int) -> tuple[Entry | None, int]:
        if not self.start < position < self.end or not self._sections.info[position]:
            return None, position + 1
        abbreviation, position = self._abbreviation_at(position)
        reader = ByteReader(self._sections.info, position, self.end)
        values = {}
        for attribute, form, implicit in abbreviation.attributes:
            value: int | bytes
            if form == _IMPLICIT:
                value = implicit
            elif form in _FIXED:
                value = reader.unsigned(_FIXED[form])
            else:
                value = _variable(reader, form)
            if form in _REFERENCES and isinstance(value, int):
                value += self.start
            values[attribute] = Value(form, value)
        return Entry(abbreviation.tag, values), reader.position


def _numbers(data: bytes, position: int) -> Iterator[int]:
    """Yield unsigned numbers of variable length."""
    while position < len(data):
        byte = data[position]
        position += 1
        if byte < _LEB_MORE:
            yield byte
        else:
            reader = ByteReader(data, position - 1, len(data))
            yield reader.uleb()
            position = reader.position
    raise Damaged


def _steps(attributes: list[tuple[int, int, int]]) -> tuple[tuple[int, int], ...]:
    steps, size = [], 0
    for _, form, _ in attributes:
        if form in _FIXED:
            size += _FIXED[form]
        else:
            steps.append((size, form))
            size = 0
    return (*steps, (size, 0))


def _variable(reader: ByteReader, form: int) -> int | bytes:
    if form in _NUMBERS:
        return reader.uleb()
    if form == _STRING:
        return bytes(reader.string())
    if form in _BLOCKS:
        size = _BLOCKS[form]
        return reader.take(reader.unsigned(size) if size else reader.uleb())
    raise Damaged


def _word(data: bytes, offset: int) -> int:
    return ByteReader(data, offset, len(data)).unsigned(4)
