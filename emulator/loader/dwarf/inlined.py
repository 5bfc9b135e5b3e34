"""Which functions the compiler has put into the code at an address, and from where they are called.

Only the units whose code is asked for are read. Damaged debug information is no error: there nothing is inlined.

Source: DWARF 5, section 3.3.8.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.dwarf.byte_reader import ByteReader, Damaged
from emulator.loader.dwarf.entries import (
    CALL_FILE,
    CALL_LINE,
    LINKAGE_NAME,
    NAME,
    ORIGIN,
    SPECIFICATION,
    STATEMENTS,
    Entry,
    InfoSections,
    Unit,
)
from emulator.loader.dwarf.line_header import DebugSections, Header, read_header

if TYPE_CHECKING:
    from collections.abc import Iterator

_INLINED: Final = 0x1D
_SCOPES: Final = frozenset(
    (0x0B, _INLINED, 0x25, 0x2E, 0x32)
)  # blocks, inlined calls, catch blocks, functions, try blocks
_TYPES: Final = frozenset(
    (0x01, 0x02, 0x04, 0x13, 0x15, 0x17)
)  # arrays, classes, enumerations, structures, functions, unions
_MIPS_LINKAGE_NAME: Final = 0x2007
_ORIGINS_MAX: Final = 16
_DAMAGE: Final = (Damaged, IndexError)


class InlinedCall(NamedTuple):
    """A call whose function stands in its caller's code.

    Attributes:
        function: The name of what is called, as its symbol would be; "" where it is not known.
        file: Where the call stands in the source: a path as the compiler recorded it; "" where it is not known.
        line: In *file*; 0 where it is not known.
    """

    function: str
    file: str
    line: int


class _Inlined(NamedTuple):
    """A call with its depth among the entries, and the one that it stands in."""

    depth: int
    entry: Entry
    around: _Inlined | None


class _Contents(NamedTuple):
    """What is inlined in a unit, with the code of each, and its files."""

    inlined: list[tuple[int, int, _Inlined]]
    header: Header | None


class InlinedCalls:
    """The inlined calls of one file.

    Args:
        info: What it says of functions.
        lines: The names of its files.
    """

    def __init__(self, info: InfoSections, lines: DebugSections) -> None:
        self._sections = info
        self._lines = lines
        self._units = list(_units(info))
        self._starts = [unit.start for unit in self._units]
        self._code = sorted(
            (start, end, number)
            for number, unit in enumerate(self._units)
            for start, end in _ranges(unit, unit.top)
        )
        self._code_starts = [start for start, _, _ in self._code]
        self._contents: dict[int, _Contents] = {}

    def find(self, address: int) -> tuple[InlinedCall, ...]:
        """Return the inlined calls that an instruction at a linked address is in, innermost first."""
        index = bisect_right(self._code_starts, address) - 1
        if index < 0 or address >= self._code[index][1]:
            return ()
        number = self._code[index][2]
        unit, contents = self._units[number], self._contents_of(number)
        found = [each for start, end, each in contents.inlined if start <= address < end]
        innermost = max(found, key=lambda each: each.depth, default=None)
        return tuple(self._call(unit, contents.header, each.entry) for each in _outwards(innermost))

    def _contents_of(self, number: int) -> _Contents:
        if number not in self._contents:
            unit = self._units[number]
            try:
                inlined = [
                    (start, end, each) for each in _inlined(unit) for start, end in _ranges(unit, each.entry)
                ]
            except _DAMAGE:
                inlined = []
            try:
                header = read_header(self._lines, unit.number(unit.top, STATEMENTS))
            except Damaged:
                header = None
            self._contents[number] = _Contents(inlined, header)
        return self._contents[number]

    def _call(self, unit: Unit, header: Header | None, entry: Entry) -> InlinedCall:
        line = unit.number(entry, CALL_LINE)
        file = "" if header is None or not line else header.path(unit.number(entry, CALL_FILE))
        try:
            return InlinedCall(self._name(unit, entry), file, line)
        except _DAMAGE:
            return InlinedCall("", file, line)

    def _name(self, unit: Unit, entry: Entry) -> str:
        """Return the name of an entry, or of what it is made of."""
        name = ""
        for _ in range(_ORIGINS_MAX):
            linkage = unit.text(entry, LINKAGE_NAME) or unit.text(entry, _MIPS_LINKAGE_NAME)
            if linkage:
                return linkage
            name = name or unit.text(entry, NAME)
            origin = unit.number(entry, ORIGIN) or unit.number(entry, SPECIFICATION)
            index = bisect_right(self._starts, origin) - 1
            if not origin or index < 0:
                break
            unit = self._units[index]
            entry = unit.entry(origin)
        return name


def _units(sections: InfoSections) -> Iterator[Unit]:
    """Yield the units of a file; those that are damaged, or of an unknown kind, are passed over."""
    start = 0
    while start + 4 <= len(sections.info):
        end = start + 4 + ByteReader(sections.info, start, start + 4).unsigned(4)
        with suppress(*_DAMAGE):
            yield Unit(sections, start)
        start = end


def _inlined(unit: Unit) -> Iterator[_Inlined]:
    """Yield the inlined calls of a unit.

    Raises:
        Damaged: It is damaged.
    """
    around: list[_Inlined] = []
    for depth, entry in unit.walk(_SCOPES, _TYPES):
        while around and around[-1].depth >= depth:  # it has ended
            around.pop()
        if entry.tag == _INLINED:
            around.append(_Inlined(depth, entry, around[-1] if around else None))
            yield around[-1]


def _outwards(call: _Inlined | None) -> Iterator[_Inlined]:
    while call is not None:
        yield call
        call = call.around


def _ranges(unit: Unit, entry: Entry) -> list[tuple[int, int]]:
    try:
        return [(start, end) for start, end in unit.ranges(entry) if start < end]
    except _DAMAGE:
        return []
