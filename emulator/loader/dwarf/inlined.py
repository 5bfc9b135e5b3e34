"""Which functions the compiler has put into the code at an address, and from where they are called.

Only the units whose code is asked for are read. Damaged debug information is no error: there nothing is inlined.

Source: DWARF 5, section 3.3.8.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.dwarf.byte_reader import Damaged
from emulator.loader.dwarf.debug_info import DAMAGE, DebugInfo
from emulator.loader.dwarf.line_header import DebugSections, Header, read_header
from emulator.loader.dwarf.type_names import number_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.dwarf.entries import Entry, Unit

_INLINED: Final = "DW_TAG_inlined_subroutine"
_SCOPES: Final = frozenset(
    (_INLINED, *map("DW_TAG_{}".format, ("lexical_block", "catch_block", "subprogram", "try_block")))
)
_TYPES: Final = frozenset(
    f"DW_TAG_{each}_type" for each in ("array", "class", "enumeration", "structure", "subroutine", "union")
)
_ORIGINS: Final = ("DW_AT_abstract_origin", "DW_AT_specification")
_ORIGINS_MAX: Final = 16


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

    def __init__(self, info: DebugInfo, lines: DebugSections) -> None:
        self._lines = lines
        self._units = info.units
        self._code = sorted(
            (start, end, number)
            for number, unit in enumerate(self._units)
            for start, end in _ranges(unit.top)
        )
        self._code_starts = [start for start, _, _ in self._code]
        self._contents: dict[int, _Contents] = {}

    def find(self, address: int) -> tuple[InlinedCall, ...]:
        """Return the inlined calls that an instruction at a linked address is in, innermost first."""
        index = bisect_right(self._code_starts, address) - 1
        if index < 0 or address >= self._code[index][1]:
            return ()
        number = self._code[index][2]
        contents = self._contents_of(number)
        found = [each for start, end, each in contents.inlined if start <= address < end]
        innermost = max(found, key=lambda each: each.depth, default=None)
        return tuple(self._call(contents.header, each.entry) for each in _outwards(innermost))

    def _contents_of(self, number: int) -> _Contents:
        if number not in self._contents:
            unit = self._units[number]
            try:
                inlined = [
                    (start, end, each) for each in _inlined(unit) for start, end in _ranges(each.entry)
                ]
            except DAMAGE:
                inlined = []
            try:
                header = read_header(self._lines, number_of(unit.top, "DW_AT_stmt_list"))
            except Damaged:
                header = None
            self._contents[number] = _Contents(inlined, header)
        return self._contents[number]

    def _call(self, header: Header | None, entry: Entry) -> InlinedCall:
        line = number_of(entry, "DW_AT_call_line")
        file = "" if header is None or not line else header.path(number_of(entry, "DW_AT_call_file"))
        try:
            return InlinedCall(_name(entry), file, line)
        except DAMAGE:
            return InlinedCall("", file, line)


def _name(entry: Entry) -> str:
    """Return the name of an entry, or of what it is made of."""
    name = ""
    for _ in range(_ORIGINS_MAX):
        linkage = text_of(entry, "DW_AT_linkage_name") or text_of(entry, "DW_AT_MIPS_linkage_name")
        if linkage:
            return linkage
        name = name or text_of(entry)
        origin = next((each for each in _ORIGINS if each in entry.attributes), None)
        if origin is None:
            break
        entry = entry.referred(origin)
    return name


def _inlined(unit: Unit) -> Iterator[_Inlined]:
    """Yield the inlined calls of a unit.

    Raises:
        Damaged: It is damaged.
    """
    found: dict[Entry, _Inlined] = {}
    for *around, entry in unit.walk(_SCOPES, _TYPES):
        if entry.tag == _INLINED:
            outer = next((found[each] for each in reversed(around) if each in found), None)
            found[entry] = _Inlined(len(around), entry, outer)
            yield found[entry]


def _outwards(call: _Inlined | None) -> Iterator[_Inlined]:
    while call is not None:
        yield call
        call = call.around


def _ranges(entry: Entry) -> list[tuple[int, int]]:
    try:
        return [(piece.start, piece.stop) for piece in entry.code() if piece]
    except DAMAGE:
        return []
