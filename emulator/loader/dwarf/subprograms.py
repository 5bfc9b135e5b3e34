"""Functions as DWARF describes them: their entries, and where each of their parameters is.

A compiler makes several functions of one: copies of which some parameters are constants or gone, and copies inside of other functions. Such a
copy refers to its origin, and may have fewer parameters, in another order. What is asked for here are the parameters of the origin.

Damaged debug information is no error: such a function is not known.

Source: DWARF 5, sections 2.6 (locations), 3.3 (functions) and 4.1 (parameters).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.loader.dwarf.byte_reader import Damaged
from emulator.loader.dwarf.debug_info import DAMAGE
from emulator.loader.dwarf.line_header import DebugSections, Header, read_header
from emulator.loader.dwarf.locations import Located, located
from emulator.loader.dwarf.type_names import number_of, text_of
from emulator.loader.dwarf.units import declaring, start_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from emulator.loader.dwarf.entries import Entry, Unit
    from emulator.loader.dwarf.source_lines import LineTable
    from emulator.loader.dwarf.units import Units

_PARAMETER = "DW_TAG_formal_parameter"
_ORIGIN = "DW_AT_abstract_origin"
_ASSEMBLY = 0x8001  # DW_LANG_Mips_Assembler, which all assemblers use
_DEPTH_MAX = 64
_POINTER_SIZE = 4
_AGGREGATES = frozenset(("DW_TAG_structure_type", "DW_TAG_union_type", "DW_TAG_class_type"))
_POINTERS = frozenset(("DW_TAG_pointer_type", "DW_TAG_reference_type", "DW_TAG_rvalue_reference_type"))


class Parameter(NamedTuple):
    """A parameter of a function's declaration.

    Attributes:
        size: Bytes; 0 where the file does not say.
        constant: What the compiler knows it to be; None: it does not.
        located: Where it is.
        is_kept: The function itself has it; False: only its origin does.
    """

    size: int
    constant: int | None
    located: tuple[Located, ...]
    is_kept: bool


class Subprogram(NamedTuple):
    """A function, or a copy of one.

    Attributes:
        file: The source file that declares it; "" where that is not said.
        parameters: Those of its declaration, in order.
        frame_base: From what the locations of its variables are counted.
        prologue_end: Linked address of its first instruction after those that set up its frame; None: the file does not say.
        is_variadic: More arguments may follow.
        returns_aggregate: Its caller passes the address for its result as a hidden first argument.
    """

    file: str
    parameters: tuple[Parameter, ...]
    frame_base: tuple[Located, ...]
    prologue_end: int | None
    is_variadic: bool
    returns_aggregate: bool


class Inlined(NamedTuple):
    """A copy of a function inside of another one.

    Attributes:
        symbol: The function's, if it had one.
        file: The source file that declares it; "" where that is not said.
        address: Linked address of the copy's first instruction.
        around: That of the function that it is in.
        parameters: Those of its declaration, in order.
        frame_base: From what the locations of variables are counted.
        prologue_end: Of the function around it, as in `Subprogram`.
    """

    symbol: str
    file: str
    address: int
    around: int
    parameters: tuple[Parameter, ...]
    frame_base: tuple[Located, ...]
    prologue_end: int | None


def _is_assembly(unit: Unit) -> bool:
    """Return whether an assembler has described a unit: it knows no parameters."""
    language = unit.top.attributes.get("DW_AT_language")
    return language is not None and language.value == _ASSEMBLY


class Subprograms:
    """The functions of one file.

    Args:
        units: Of the file.
        lines: Of the same file.
    """

    def __init__(self, units: Units, lines: LineTable) -> None:
        self._units = units
        self._lines = lines
        self._headers: dict[int, Header | None] = {}

    def at(self, address: int) -> Subprogram | None:
        """Return the function whose first instruction is at a linked address; None where the file does not say, as in assembly."""
        try:
            entry = self._units.function_at(address)
            return None if entry is None or _is_assembly(entry.unit) else self._subprogram(entry, address)
        except DAMAGE:
            return None

    def lists_locations(self, address: int) -> bool:
        """Return whether the unit of the function whose first instruction is at a linked address lists locations of variables by address, as optimised code needs it."""
        try:
            entry = self._units.function_at(address)
            return entry is not None and entry.unit.lists_locations()
        except DAMAGE:
            return False

    def inlined(self, names: Collection[str], wanted: Callable[[str], bool]) -> Iterator[Inlined]:
        """Yield the copies of functions inside of others, outer ones first.

        The debug information of each unit is read in which one of the names stands.

        Args:
            names: Of the functions, as their declarations have them.
            wanted: Whether a symbol is one of theirs.
        """
        try:
            for unit in self._units.naming(names):
                for entry, function in self._units.inlined(unit):
                    origin = _origin(entry)
                    symbol = _symbol(origin)
                    if wanted(symbol):
                        yield from self._inlined(symbol, origin, entry, function)
        except DAMAGE:
            return

    def _inlined(self, symbol: str, origin: Entry, entry: Entry, function: Entry) -> Iterator[Inlined]:
        address, around = start_of(entry), start_of(function)
        if address is not None and around is not None:
            parameters = self._parameters(origin, entry)
            frame_base = tuple(located(function, "DW_AT_frame_base"))
            prologue_end = self._prologue_end(function, around)
            yield Inlined(symbol, self._file(origin), address, around, parameters, frame_base, prologue_end)

    def _subprogram(self, entry: Entry, address: int) -> Subprogram:
        origin = _origin(entry)
        return Subprogram(
            self._file(origin),
            self._parameters(origin, entry),
            tuple(located(entry, "DW_AT_frame_base")),
            self._prologue_end(entry, address),
            any(each.tag == "DW_TAG_unspecified_parameters" for each in self._units.children(origin)),
            _type_of(declaring(origin, "DW_AT_type") or origin)[0] in _AGGREGATES,
        )

    def _parameters(self, origin: Entry, entry: Entry) -> tuple[Parameter, ...]:
        """Return the parameters of a function's declaration, with where one of its copies has them."""
        declared = [each for each in self._units.children(origin) if each.tag == _PARAMETER]
        own = {_origin(each).offset: each for each in self._units.children(entry)}
        return tuple(self._parameter(each, own.get(each.offset)) for each in declared)

    def _parameter(self, declared: Entry, own: Entry | None) -> Parameter:
        size = _type_of(declared)[1]
        if own is None:
            return Parameter(size, None, (), is_kept=False)
        constant = own.attributes.get("DW_AT_const_value")
        value = None if constant is None else constant.value
        if value is not None and not isinstance(value, int):
            value = int.from_bytes(bytes(value)[:_POINTER_SIZE], "little")
        return Parameter(size, value, tuple(located(own, "DW_AT_location")), is_kept=True)

    def _file(self, entry: Entry) -> str:
        """Return the name of the file in which an entry is declared; of a method that may be said where its class is."""
        entry = declaring(entry, "DW_AT_decl_file") or entry
        number = entry.attributes.get("DW_AT_decl_file")
        if number is None or entry.unit.info is not self._units.info:  # the numbers of files there are others
            return ""
        header = self._header(number_of(entry.unit.top, "DW_AT_stmt_list"))
        return "" if header is None else header.name(number.value)

    def _header(self, offset: int) -> Header | None:
        """Return the header of a line program; None where it is damaged."""
        if offset not in self._headers:
            section = self._units.info.section
            sections = DebugSections(*map(section, DebugSections._fields))
            try:
                self._headers[offset] = read_header(sections, offset)
            except Damaged:
                self._headers[offset] = None
        return self._headers[offset]

    def _prologue_end(self, entry: Entry, address: int) -> int | None:
        """Return where the line program says that the prologue ends, which only some compilers make it say."""
        end = max((piece.stop for piece in entry.code() if address in piece), default=address)
        return self._lines.prologue_end(range(address, end))


def _origin(entry: Entry) -> Entry:
    """Return what an entry is a copy of; itself, if it is none."""
    for _ in range(_DEPTH_MAX):
        if _ORIGIN not in entry.attributes:
            break
        entry = entry.referred(_ORIGIN)
    return entry


def _symbol(entry: Entry) -> str:
    """Return the symbol of a function: of C its name."""
    for attribute in ("DW_AT_linkage_name", "DW_AT_MIPS_linkage_name", "DW_AT_name"):
        named = declaring(entry, attribute)
        if named is not None:
            return text_of(named, attribute)
    return ""


def _type_of(entry: Entry) -> tuple[str, int]:
    """Return tag and size of an entry's type, without names and qualifiers; ("", 0) for void, and where the file does not say."""
    for _ in range(_DEPTH_MAX):
        if "DW_AT_type" not in entry.attributes:
            break
        entry = entry.referred("DW_AT_type")
        size = entry.attributes.get("DW_AT_byte_size")
        if entry.tag in _POINTERS or size is not None:
            return entry.tag, _POINTER_SIZE if size is None else size.value
    return "", 0
