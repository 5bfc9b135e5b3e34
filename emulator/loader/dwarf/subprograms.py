"""Functions as DWARF describes them: their entries, and where each of their parameters is.

A compiler makes several functions of one: copies of which some parameters are constants or gone, and copies inside of other functions. Such a
copy refers to its origin, and may have fewer parameters, in another order. What is asked for here are the parameters of the origin.

Damaged debug information is no error: such a function is not known.

Source: DWARF 5, sections 2.6 (locations), 3.3 (functions) and 4.1 (parameters).
"""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from emulator.loader.dwarf.debug_info import damage, open_debug_info
from emulator.loader.dwarf.split_units import is_skeleton, split_unit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Entry: TypeAlias = Any  # pyelftools' DIEs and units, which have few types

_FUNCTION = "DW_TAG_subprogram"
_INLINED = "DW_TAG_inlined_subroutine"
_PARAMETER = "DW_TAG_formal_parameter"
_ORIGIN = "DW_AT_abstract_origin"
_ASSEMBLY = 0x8001  # DW_LANG_Mips_Assembler, which all assemblers use
_DEPTH_MAX = 64
_POINTER_SIZE = 4
_VERSION_5 = 5
_AGGREGATES = frozenset(("DW_TAG_structure_type", "DW_TAG_union_type", "DW_TAG_class_type"))
_POINTERS = frozenset(("DW_TAG_pointer_type", "DW_TAG_reference_type", "DW_TAG_rvalue_reference_type"))


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
        name: The function's.
        address: Linked address of the copy's first instruction.
        around: That of the function that it is in.
        parameters: Those of its declaration, in order.
        frame_base: From what the locations of variables are counted.
        prologue_end: Of the function around it, as in `Subprogram`.
    """

    name: str
    address: int
    around: int
    parameters: tuple[Parameter, ...]
    frame_base: tuple[Located, ...]
    prologue_end: int | None


class _Unit(NamedTuple):
    """The functions of a unit.

    Attributes:
        functions: By the addresses of their first instructions.
        children: What is directly in a function or in a copy of one, by its offset.
        inlined: Copies inside of functions, each with that function.
    """

    functions: dict[int, Entry]
    children: defaultdict[int, list[Entry]]
    inlined: list[tuple[Entry, Entry]]


def _is_assembly(unit: Entry) -> bool:
    """Return whether an assembler has described a unit: it knows no parameters."""
    language = unit.get_top_DIE().attributes.get("DW_AT_language")
    return language is not None and language.value == _ASSEMBLY


class Subprograms:
    """The functions of one file.

    Args:
        data: The file.
        path: Its name: parts of its debug information may be in files beside it.
    """

    def __init__(self, data: bytes, path: str) -> None:
        self._dwarf, self._info = open_debug_info(data)
        self._path = path
        self._read: dict[Entry, _Unit] = {}

    def at(self, address: int) -> Subprogram | None:
        """Return the function whose first instruction is at a linked address; None where the file does not say, as in assembly."""
        try:
            for unit in self._units_at(address):
                entry = self._unit(unit).functions.get(address)
                if entry is not None:
                    return None if _is_assembly(unit) else self._subprogram(entry, address)
        except damage():
            pass
        return None

    def inlined(self, names: Collection[str]) -> Iterator[Inlined]:
        """Yield the copies of functions inside of others.

        The debug information of each unit is read in which one of the names stands.

        Args:
            names: Of the functions.
        """
        try:
            for unit in self._units_with(names) if self._dwarf is not None else ():
                for entry, function in self._unit(unit).inlined:
                    origin = _origin(entry)
                    name = _name(origin)
                    if name in names:
                        yield from self._inlined(name, origin, entry, function)
        except damage():
            return

    def _units_with(self, names: Collection[str]) -> Iterator[Entry]:
        """Yield the units that may have copies of functions; where a unit may name what is elsewhere, all."""
        strings = self._dwarf.debug_str_sec.stream.getvalue() if self._dwarf.debug_str_sec else b""
        needles = [name.encode() + b"\0" for name in names]
        references = [
            struct.pack("<I", match.start())
            for needle in needles
            for match in re.finditer(re.escape(needle), strings)
        ]
        pattern = re.compile(b"|".join(map(re.escape, [*needles, *references])))
        by_index = self._dwarf.debug_str_offsets_sec is not None  # a unit says the number of a string only
        refers_to_others = b"-flto" in strings
        for unit in self._dwarf.iter_CUs():
            start, end = unit.cu_offset, unit.cu_offset + unit["unit_length"] + _POINTER_SIZE
            may_name = by_index or refers_to_others or is_skeleton(unit)
            if may_name or pattern.search(self._info, start, end):
                yield unit

    def _inlined(self, name: str, origin: Entry, entry: Entry, function: Entry) -> Iterator[Inlined]:
        address, around = self._start(entry), self._start(function)
        if address is not None and around is not None:
            parameters = self._parameters(origin, entry)
            frame_base = tuple(self._located(function, "DW_AT_frame_base"))
            yield Inlined(name, address, around, parameters, frame_base, self._prologue_end(function, around))

    def _units_at(self, address: int) -> Iterator[Entry]:
        """Yield the units that may have a function at an address, likely ones first."""
        if self._dwarf is None:
            return
        table = self._dwarf.get_aranges() if self._dwarf.debug_aranges_sec is not None else None
        offset = table.cu_offset_at_addr(address) if table is not None and table.entries else None
        if offset is not None:
            yield self._dwarf.get_CU_at(offset)
        for ranges, unit in self._units:
            if unit.cu_offset != offset and (
                not ranges or any(start <= address < end for start, end in ranges)
            ):
                yield unit

    @cached_property
    def _units(self) -> list[tuple[list[tuple[int, int]], Any]]:
        """All units, with the ranges of their code."""
        return [(list(self._ranges(unit.get_top_DIE())), unit) for unit in self._dwarf.iter_CUs()]

    def _ranges(self, entry: Entry) -> Iterator[tuple[int, int]]:
        """Yield the `[start, end)` of an entry's code, the one with its first instruction first."""
        from elftools.dwarf.ranges import BaseAddressEntry

        attributes = entry.attributes
        if "DW_AT_ranges" in attributes:
            base = _base(entry.cu)
            lists = entry.dwarfinfo.range_lists()
            for each in lists.get_range_list_at_offset(attributes["DW_AT_ranges"].value, cu=entry.cu):
                if isinstance(each, BaseAddressEntry):
                    base = each.base_address
                else:
                    offset = 0 if getattr(each, "is_absolute", False) else base
                    yield each.begin_offset + offset, each.end_offset + offset
        elif "DW_AT_low_pc" in attributes and "DW_AT_high_pc" in attributes:
            low, high = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"]
            yield low, high.value if high.form == "DW_FORM_addr" else low + high.value

    def _unit(self, unit: Entry) -> _Unit:
        """Return the functions of a unit, or of the one whose skeleton it is."""
        if unit not in self._read:
            whole = split_unit(unit, self._path) if is_skeleton(unit) else None
            self._read[unit] = self._functions(unit) if whole is None else self._unit(whole)
        return self._read[unit]

    def _functions(self, unit: Entry) -> _Unit:
        found = _Unit({}, defaultdict(list), [])
        around: list[Entry] = []
        # Entry by entry: damaged references from one to its sibling may lead back.
        for entry in unit.iter_DIEs():
            if entry.tag is None:
                del around[-1:]
                continue
            if around and around[-1].tag in (_FUNCTION, _INLINED):
                found.children[around[-1].offset].append(entry)
            if entry.tag == _INLINED:
                function = next((each for each in reversed(around) if each.tag == _FUNCTION), entry)
                found.inlined.append((entry, function))
            if entry.tag == _FUNCTION and (start := self._start(entry)) is not None:
                found.functions.setdefault(start, entry)
            if entry.has_children:
                around.append(entry)
        return found

    def _start(self, entry: Entry) -> int | None:
        """Return the address of a function's first instruction; None: it has no code."""
        for name in ("DW_AT_entry_pc", "DW_AT_low_pc"):
            if name in entry.attributes:
                return int(entry.attributes[name].value)
        return next((start for start, _ in self._ranges(entry)), None)

    def _children(self, entry: Entry) -> list[Entry]:
        """Return what is directly in a function."""
        return self._unit(entry.cu).children[entry.offset]

    def _subprogram(self, entry: Entry, address: int) -> Subprogram:
        origin = _origin(entry)
        specified = _specification(origin)
        return Subprogram(
            self._file(origin),
            self._parameters(origin, entry),
            tuple(self._located(entry, "DW_AT_frame_base")),
            self._prologue_end(entry, address),
            any(each.tag == "DW_TAG_unspecified_parameters" for each in self._children(origin)),
            _type_of(origin if "DW_AT_type" in origin.attributes else specified)[0] in _AGGREGATES,
        )

    def _parameters(self, origin: Entry, entry: Entry) -> tuple[Parameter, ...]:
        """Return the parameters of a function's declaration, with where one of its copies has them."""
        declared = [each for each in self._children(origin) if each.tag == _PARAMETER]
        own = {_origin(each).offset: each for each in self._children(entry)}
        return tuple(self._parameter(each, own.get(each.offset)) for each in declared)

    def _parameter(self, declared: Entry, own: Entry | None) -> Parameter:
        size = _type_of(declared)[1]
        if own is None:
            return Parameter(size, None, (), is_kept=False)
        constant = own.attributes.get("DW_AT_const_value")
        value = None if constant is None else constant.value
        if value is not None and not isinstance(value, int):
            value = int.from_bytes(bytes(value)[:_POINTER_SIZE], "little")
        return Parameter(size, value, tuple(self._located(own, "DW_AT_location")), is_kept=True)

    def _located(self, entry: Entry, attribute: str) -> Iterator[Located]:
        """Yield the locations that an attribute of an entry names."""
        from elftools.dwarf.dwarf_expr import DWARFExprParser
        from elftools.dwarf.locationlists import BaseAddressEntry, LocationEntry, LocationExpr, LocationParser

        found = entry.attributes.get(attribute)
        if found is None:
            return
        unit = entry.cu
        parse = DWARFExprParser(unit.structs).parse_expr
        parser = LocationParser(entry.dwarfinfo.location_lists())
        locations = parser.parse_from_attribute(found, unit["version"], die=entry)
        if isinstance(locations, LocationExpr):
            yield Located(0, 0, parse(locations.loc_expr))
            return
        base = _base(unit)
        for each in locations:
            if isinstance(each, BaseAddressEntry):
                base = each.base_address
            elif isinstance(each, LocationEntry):
                offset = 0 if each.is_absolute else base
                yield Located(each.begin_offset + offset, each.end_offset + offset, parse(each.loc_expr))

    def _file(self, entry: Entry) -> str:
        """Return the name of the file in which an entry is declared."""
        if entry.dwarfinfo is not self._dwarf:  # the numbers of files there are others
            return ""
        number, program = entry.attributes.get("DW_AT_decl_file"), self._dwarf.line_program_for_CU(entry.cu)
        if number is None or program is None:
            return ""
        files = program.header["file_entry"]
        first = 0 if program.header["version"] >= _VERSION_5 else 1
        return str(files[number.value - first]["name"].decode("utf-8", "replace"))

    def _prologue_end(self, entry: Entry, address: int) -> int | None:
        """Return where the line program says that the prologue ends, which only some compilers make it say."""
        program = self._dwarf.line_program_for_CU(entry.cu)
        if program is None:
            return None
        end = max((end for start, end in self._ranges(entry) if start <= address < end), default=address)
        rows = (row.state for row in program.get_entries() if row.state is not None)
        return next((row.address for row in rows if row.prologue_end and address <= row.address < end), None)


def _base(unit: Entry) -> int:
    """Return the address that the ranges and lists of a unit are counted from."""
    low = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
    return 0 if low is None else int(low.value)


def _origin(entry: Entry) -> Entry:
    """Return what an entry is a copy of; itself, if it is none."""
    for _ in range(_DEPTH_MAX):
        if _ORIGIN not in entry.attributes:
            break
        entry = entry.get_DIE_from_attribute(_ORIGIN)
    return entry


def _name(entry: Entry) -> str:
    name = entry.attributes.get("DW_AT_name") or _specification(entry).attributes.get("DW_AT_name")
    return "" if name is None else str(name.value.decode("utf-8", "replace"))


def _specification(entry: Entry) -> Entry:
    """Return the declaration that an entry defines; itself, if there is none."""
    name = "DW_AT_specification"
    return entry.get_DIE_from_attribute(name) if name in entry.attributes else entry


def _type_of(entry: Entry) -> tuple[str, int]:
    """Return tag and size of an entry's type, without names and qualifiers; ("", 0) for void, and where the file does not say."""
    for _ in range(_DEPTH_MAX):
        if "DW_AT_type" not in entry.attributes:
            break
        entry = entry.get_DIE_from_attribute("DW_AT_type")
        size = entry.attributes.get("DW_AT_byte_size")
        if entry.tag in _POINTERS or size is not None:
            return entry.tag, _POINTER_SIZE if size is None else size.value
    return "", 0
