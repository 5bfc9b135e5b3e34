"""The header of a DWARF line program (versions 2 to 5): its parameters and its file table.

Decoded here and not by pyelftools, whose parser believes the counts in the file: 36 bytes can make it build
a list of any length. Here time and memory stay in proportion to the bytes that are read.

Source: DWARF 5, section 6.2.4; DWARF 4, section 6.2.4 for the older form.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

from emulator.loader.dwarf.byte_reader import ByteReader, Damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

_VERSIONS = range(2, 6)
_DWARF5 = 5
_VERSION_WITH_OPERATIONS = 4  # from here on the header has the number of operations of an instruction
_MAX_ENTRIES = 1 << 16  # files of a unit

# Content types and forms of a version 5 header.
_PATH, _DIRECTORY = 1, 2
_FIXED_FORMS = {0x0B: 1, 0x05: 2, 0x06: 4, 0x07: 8, 0x1E: 16}  # data1, data2, data4, data8, data16


class DebugSections(NamedTuple):
    """The bytes of the sections that hold line information; empty where the file has none."""

    line: bytes
    line_str: bytes
    str: bytes


class Header(NamedTuple):
    """What a line program needs to run, and the file table of its unit. Paths are put together when they are asked for.

    Attributes:
        minimum_instruction: Bytes by which addresses advance.
        starts_as_statement: Whether the first row is a place for breakpoints.
        line_base: Lowest line step of a special opcode.
        line_range: Number of line steps of the special opcodes, not 0.
        operand_counts: For each standard opcode, from 1.
        program: Reads the program.
        directories: The first is where the compiler ran; it is empty before version 5.
        files: Name and number of the directory.
        first_file: Number of the first of them.
    """

    minimum_instruction: int
    starts_as_statement: bool
    line_base: int
    line_range: int
    operand_counts: bytes
    program: ByteReader
    directories: list[memoryview]
    files: list[tuple[memoryview, int]]
    first_file: int

    @property
    def opcode_base(self) -> int:
        """The first special opcode."""
        return len(self.operand_counts) + 1

    def name(self, number: int) -> str:
        """Return a file's name as the compiler wrote it, "" where the table has no such number."""
        index = number - self.first_file
        return bytes(self.files[index][0]).decode("utf-8", "replace") if 0 <= index < len(self.files) else ""

    def path(self, number: int) -> str:
        """Return a file's path, "?" where the table has no such number."""
        index = number - self.first_file
        if not 0 <= index < len(self.files):
            return "?"
        name, directory = self.files[index]
        # Directories are relative to the first one, where the compiler ran.
        parts = [
            bytes(self.directories[i]) for i in dict.fromkeys((0, directory)) if i < len(self.directories)
        ]
        return posixpath.normpath(posixpath.join(b"", *parts, bytes(name))).decode("utf-8", "replace")


_FileTable = tuple[list[memoryview], list[tuple[memoryview, int]]]  # directories and files


def read_header(sections: DebugSections, offset: int) -> Header:
    """Read the header of the unit at *offset* of .debug_line.

    Raises:
        Damaged: It is no header of a known version.
    """
    reader = ByteReader(sections.line, offset, len(sections.line))
    length = reader.unsigned(4)
    reader.end = min(reader.end, reader.position + length)
    version = reader.unsigned(2)
    if version not in _VERSIONS:
        raise Damaged
    if version == _DWARF5:
        reader.take(2)  # address size, segment selector size
    header_length = reader.unsigned(4)
    program = ByteReader(sections.line, reader.position + header_length, reader.end)
    reader.end = min(reader.end, program.position)
    minimum_instruction = reader.unsigned(1)
    if version >= _VERSION_WITH_OPERATIONS:
        reader.take(1)
    starts_as_statement = reader.unsigned(1) != 0
    line_base = int.from_bytes(reader.take(1), "little", signed=True)
    line_range, opcode_base = reader.take(2)
    if not line_range or not opcode_base:
        raise Damaged
    operand_counts = reader.take(opcode_base - 1)
    directories, files = _files_5(reader, sections) if version == _DWARF5 else _files_2(reader)
    first_file = 0 if version == _DWARF5 else 1
    return Header(
        minimum_instruction,
        starts_as_statement,
        line_base,
        line_range,
        operand_counts,
        program,
        directories,
        files,
        first_file,
    )


def _files_2(reader: ByteReader) -> _FileTable:
    """Read the file table of versions 2 to 4: files count from 1, directory 0 is not recorded."""
    directories: list[memoryview] = [memoryview(b"")]
    while name := reader.string():
        directories.append(name)
    entries: list[tuple[memoryview, int]] = []
    while name := reader.string():
        if len(entries) == _MAX_ENTRIES:
            raise Damaged
        entries.append((name, reader.uleb()))
        reader.uleb()  # time of modification
        reader.uleb()  # size
    return directories, entries


def _files_5(reader: ByteReader, sections: DebugSections) -> _FileTable:
    """Read the file table of version 5: both tables count from 0, directory 0 is the compiler's own."""
    directories = [path for path, _ in _entries_5(reader, sections)]
    return directories, list(_entries_5(reader, sections))


def _entries_5(reader: ByteReader, sections: DebugSections) -> Iterator[tuple[memoryview, int]]:
    formats = [(reader.uleb(), reader.uleb()) for _ in range(reader.unsigned(1))]
    count = reader.uleb()
    if count > _MAX_ENTRIES:
        raise Damaged
    for _ in range(count):
        values = {content: _value_5(reader, form, sections) for content, form in formats}
        path, directory = values.get(_PATH), values.get(_DIRECTORY, 0)
        if not isinstance(path, memoryview) or not isinstance(directory, int):
            raise Damaged
        yield path, directory


def _value_5(reader: ByteReader, form: int, sections: DebugSections) -> memoryview | int:
    match form:
        case 0x08:  # DW_FORM_string
            return reader.string()
        case 0x1F:  # DW_FORM_line_strp
            return _string_at(sections.line_str, reader.unsigned(4))
        case 0x0E:  # DW_FORM_strp
            return _string_at(sections.str, reader.unsigned(4))
        case 0x0F:  # DW_FORM_udata
            return reader.uleb()
        case 0x09:  # DW_FORM_block
            return memoryview(reader.take(reader.uleb()))
        case _ if form in _FIXED_FORMS:
            return reader.unsigned(_FIXED_FORMS[form])
        case _:
            raise Damaged


def _string_at(strings: bytes, offset: int) -> memoryview:
    return ByteReader(strings, offset, len(strings)).string()
