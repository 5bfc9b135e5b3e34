"""Source file and line of an address, from DWARF line programs.

A line program is a byte code that spells out a table of addresses and lines. Only the units whose code is
asked for are decoded; no .debug_info is needed. Damaged line information is no error: such a unit has no lines.

Source: DWARF 5, section 6.2.
"""

from __future__ import annotations

import re
import struct
from array import array
from bisect import bisect_left, bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from emulator.loader.dwarf.byte_reader import ByteReader, Damaged
from emulator.loader.dwarf.line_header import DebugSections, Header, read_header
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEAREST_UNITS = 4

_SET_ADDRESS = re.compile(rb"\x00\x05\x02(....)", re.DOTALL)  # extended opcode, 5 bytes, DW_LNE_set_address


class SourceLine(NamedTuple):
    """A line of the source.

    Attributes:
        file: Path as the compiler recorded it, normalised.
        line: From 1; 0 for code that belongs to no line.
    """

    file: str
    line: int


class _Sequence:
    """Rows of ascending addresses; the code `[start, end)` that one run of the program describes."""

    def __init__(self) -> None:
        self.addresses = array("I")
        self.files = array("I")
        self.lines = array("I")
        self.statements = bytearray()  # 1: a breakpoint may stand there
        self.prologue_ends: list[int] = []  # addresses
        self.end = 0

    def append(self, address: int, file: int, line: int, *, is_statement: bool) -> None:
        self.addresses.append(address)
        self.files.append(file)
        self.lines.append(line)
        self.statements.append(is_statement)

    def find(self, address: int) -> tuple[int, int] | None:
        index = bisect_right(self.addresses, address) - 1
        return (self.files[index], self.lines[index]) if index >= 0 and address < self.end else None

    def begins(self, address: int) -> bool:
        rows = range(bisect_left(self.addresses, address), bisect_right(self.addresses, address))
        return any(self.statements[row] for row in rows)


class LineTable:
    """The line information of one file.

    Args:
        sections: The bytes it is read from.
    """

    def __init__(self, sections: DebugSections) -> None:
        self._sections = sections
        self._units: dict[int, tuple[Header, list[_Sequence]] | None] = {}
        self._lines: dict[str, dict[int, list[int]]] = {}
        starts = sorted(_sequence_starts(sections.line))
        self._starts = [address for address, _ in starts]
        self._offsets = [offset for _, offset in starts]

    def find(self, address: int) -> SourceLine | None:
        """Return the source line of a linked (virtual) address, or None where the file does not say."""
        for header, sequence in self._near(address):
            if (found := sequence.find(address)) is not None:
                file, line = found
                return SourceLine(header.path(file), line)
        return None

    def _near(self, address: int) -> Iterator[tuple[Header, _Sequence]]:
        """Yield the sequences that may hold an address, each with its unit's header, the likeliest first."""
        # The sequence that holds an address is the one that begins closest below it. The search for
        # beginnings can find chance bytes too, so a few more units are tried.
        index = bisect_right(self._starts, address)
        nearest = dict.fromkeys(reversed(self._offsets[max(0, index - _NEAREST_UNITS) : index]))
        for offset in nearest:
            unit = self._unit(offset)
            if unit is not None:
                header, sequences = unit
                yield from ((header, sequence) for sequence in sequences)

    def begins(self, address: int) -> bool:
        """Return whether a row begins at a linked address that is a place for breakpoints."""
        return any(
            sequence.begins(address)
            for _, sequence in self._near(address)
            if sequence.find(address) is not None
        )

    def following(self, address: int) -> int | None:
        """Return the address of the first row after those of a linked address; None where there is none."""
        index = bisect_right(self._starts, address)
        for offset in dict.fromkeys(reversed(self._offsets[max(0, index - _NEAREST_UNITS) : index])):
            unit = self._unit(offset)
            for sequence in () if unit is None else unit[1]:
                row = bisect_right(sequence.addresses, address)
                if row and address < sequence.end:
                    return sequence.addresses[row] if row < len(sequence.addresses) else sequence.end
        return None

    def prologue_end(self, function: range) -> int | None:
        """Return the linked address in a function at which its prologue ends; None where the file does not say."""
        return next(
            (
                address
                for _, sequence in self._near(function.start)
                if sequence.find(function.start) is not None
                for address in sequence.prologue_ends
                if address in function
            ),
            None,
        )

    def addresses(self, file: str, line: int) -> list[int]:
        """Return where the code of a line begins, at places for breakpoints, linked, ascending; *file* is the end of its path, in whole parts."""
        return self.lines(file).get(line, [])

    def lines(self, file: str) -> dict[int, list[int]]:
        """Return the lines of a file that have code, and where that begins, as `addresses` does."""
        if file not in self._lines:
            found: dict[int, set[int]] = {}
            for path, pieces in self._pieces.items():
                if _ends_with(path, file):
                    for address, line in pieces:
                        found.setdefault(line, set()).add(address)
            self._lines[file] = {line: sorted(addresses) for line, addresses in sorted(found.items())}
        return self._lines[file]

    @property
    def files(self) -> list[str]:
        """The paths of the files that have code."""
        return sorted(self._pieces)

    @cached_property
    def _pieces(self) -> dict[str, list[tuple[int, int]]]:
        """Addresses and lines where the code of a line begins, by the path of the file; all units are decoded for this."""
        found: dict[str, list[tuple[int, int]]] = {}
        for offset in dict.fromkeys(self._offsets):
            unit = self._unit(offset)
            if unit is None:
                continue
            header, sequences = unit
            by_number: dict[int, list[tuple[int, int]]] = {}
            for sequence in sequences:
                before = None
                rows = zip(
                    sequence.addresses, sequence.statements, sequence.files, sequence.lines, strict=True
                )
                for address, is_statement, *here in rows:
                    if is_statement and here != before and here[1]:
                        by_number.setdefault(here[0], []).append((address, here[1]))
                        before = here
                    elif here != before:
                        before = None
            for number, pieces in by_number.items():
                found.setdefault(header.path(number), []).extend(pieces)
        return found

    def _unit(self, offset: int) -> tuple[Header, list[_Sequence]] | None:
        """Return the header and the rows of a unit; None where it is damaged."""
        if offset not in self._units:
            try:
                header = read_header(self._sections, offset)
                self._units[offset] = (header, _run(header))
            except Damaged:
                self._units[offset] = None
        return self._units[offset]


def _ends_with(path: str, end: str) -> bool:
    return path == end or path.endswith(f"/{end}")


def _unit_bounds(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield the `[start, end)` of each unit, without reading it.

    The length 0xFFFFFFFF of a 64-bit unit reaches past any section and so ends the search.
    """
    start = 0
    while start + 4 <= len(line):
        (length,) = struct.unpack_from("<I", line, start)
        if start + 4 + length > len(line):
            return
        yield start, start + 4 + length
        start += 4 + length


def _sequence_starts(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield (address, offset of the unit) wherever a unit seems to set an address."""
    for start, end in _unit_bounds(line):
        for match in _SET_ADDRESS.finditer(line, start, end):
            yield int.from_bytes(match[1], "little"), start


class _Rows:
    """The registers of the line machine (DWARF 5, section 6.2.2) and the sequences they have written."""

    def __init__(self, *, is_statement: bool) -> None:
        self.sequences: list[_Sequence] = []
        self._starts_as_statement = is_statement
        self.restart()

    def restart(self) -> None:
        self.address, self.file, self.line, self.is_statement = 0, 1, 1, self._starts_as_statement
        self.is_prologue_end = False
        self.sequence = _Sequence()

    def emit(self) -> None:
        numbers = self.address & WORD_MAX, self.file & WORD_MAX, self.line & WORD_MAX
        self.sequence.append(*numbers, is_statement=self.is_statement)
        if self.is_prologue_end:
            self.sequence.prologue_ends.append(numbers[0])
            self.is_prologue_end = False

    def end_sequence(self) -> None:
        self.sequence.end = self.address & WORD_MAX
        if self.sequence.addresses:
            self.sequences.append(self.sequence)
        self.restart()


def _run(header: Header) -> list[_Sequence]:
    """Run the line program of a unit."""
    reader, rows = header.program, _Rows(is_statement=header.starts_as_statement)
    while reader.position < reader.end:
        opcode = reader.unsigned(1)
        if opcode >= header.opcode_base:
            step = opcode - header.opcode_base
            rows.address += step // header.line_range * header.minimum_instruction
            rows.line += header.line_base + step % header.line_range
            rows.emit()
        elif opcode == 0:
            _run_extended(reader, rows)
        else:
            _run_standard(opcode, header, rows)
    return rows.sequences


def _run_extended(reader: ByteReader, rows: _Rows) -> None:
    instruction = reader.take(reader.uleb())
    match instruction[:1]:
        case b"\x01":  # DW_LNE_end_sequence
            rows.end_sequence()
        case b"\x02":  # DW_LNE_set_address
            rows.address = int.from_bytes(instruction[1:5], "little")
        case _:  # discriminators and vendors' own
            pass


def _run_standard(opcode: int, header: Header, rows: _Rows) -> None:
    reader = header.program
    match opcode:
        case 1:  # DW_LNS_copy
            rows.emit()
        case 2:  # DW_LNS_advance_pc
            rows.address += reader.uleb() * header.minimum_instruction
        case 3:  # DW_LNS_advance_line
            rows.line += reader.sleb()
        case 4:  # DW_LNS_set_file
            rows.file = reader.uleb()
        case 6:  # DW_LNS_negate_stmt
            rows.is_statement = not rows.is_statement
        case 8:  # DW_LNS_const_add_pc
            rows.address += (255 - header.opcode_base) // header.line_range * header.minimum_instruction
        case 9:  # DW_LNS_fixed_advance_pc
            rows.address += reader.unsigned(2)
        case 10:  # DW_LNS_set_prologue_end
            rows.is_prologue_end = True
        case _:  # columns and opcodes of the future
            for _ in range(header.operand_counts[opcode - 1]):
                reader.uleb()
