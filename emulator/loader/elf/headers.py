"""The headers of an ELF32 i386 executable, checked.

Decoded here: the import of pyelftools alone would take a sixth of a short run, and its objects follow links and counts that a
hostile file can set to anything. Nothing here reads more than the file's own bytes, whatever the headers claim.

Source: Tool Interface Standard, Executable and Linking Format 1.2, book I chapter 1 and book III chapter 1.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.errors import BadImage

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"\x7fELF"
_TRACE_MAGIC = b"ARROW1"  # of any file in Arrow's format
_HEADER = struct.Struct("<16xHH4xIII6xHHHHH")  # see `_Header`
_PROGRAM_HEADER = struct.Struct("<IIIIIII4x")
_SECTION_HEADER = struct.Struct("<IIIIIII12x")
HEADER_SIZE = _HEADER.size
PROGRAM_HEADER_SIZE = _PROGRAM_HEADER.size
SECTION_HEADER_SIZE = _SECTION_HEADER.size

_CLASS_OFFSET = 4
_CLASS_32, _CLASS_64 = 1, 2
_BYTE_ORDER_OFFSET = 5
_LITTLE_ENDIAN, _BIG_ENDIAN = 1, 2

_I386 = 3
_RELOCATABLE, _EXECUTABLE, _SHARED, _CORE = 1, 2, 3, 4
_NOT_EXECUTABLE = {
    _RELOCATABLE: "a relocatable object (ET_REL), not a linked executable",
    _SHARED: "a shared or position-independent object (ET_DYN), not an executable; link it with -no-pie",
    _CORE: "a core dump (ET_CORE), not an executable; kmemu inspect --page-directory reads one of RAM",
}

LOADED_SEGMENT: Final = 1
"""PT_LOAD: the kind of a segment that is loaded."""

PROGRAM_SECTION, SYMBOL_SECTION, STRING_SECTION, NOTE_SECTION = 1, 2, 3, 7
"""SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_NOTE: kinds of sections."""

WRITABLE_SECTION, LOADED_SECTION, EXECUTABLE_SECTION = 1, 2, 4
"""SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR: the section can be written, lies in memory, holds code."""


class _Header(NamedTuple):
    """What is used of the ELF header."""

    kind: int
    machine: int
    entry: int
    program_offset: int
    section_offset: int
    program_size: int
    program_count: int
    section_size: int
    section_count: int
    section_names: int


class ProgramHeader(NamedTuple):
    """One entry of the program header table.

    Attributes:
        number: Position in the table, from 0.
        kind: p_type.
        offset: Where its bytes begin in the file.
        virtual: p_vaddr.
        physical: p_paddr.
        file_size: Bytes in the file.
        memory_size: Bytes in memory; the rest is cleared.
        flags: PF_X 1, PF_W 2, PF_R 4.
    """

    number: int
    kind: int
    offset: int
    virtual: int
    physical: int
    file_size: int
    memory_size: int
    flags: int


class SectionHeader(NamedTuple):
    """One entry of the section header table.

    Attributes:
        name: Empty where the name table is damaged: names serve only to find debug information.
        kind: sh_type.
        flags: SHF_ bits.
        address: First linked address, 0 for sections outside memory.
        offset: Where its bytes begin in the file.
        size: Bytes.
        link: Index of a related section; for a symbol table, its string table.
    """

    name: str
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


class ElfHeaders:
    """The ELF header and, on demand, the two tables that it points to.

    Args:
        data: The whole file.
        path: Its name, for messages.

    Raises:
        BadImage: Not an ELF32 little-endian i386 executable, or a table lies outside the file.
    """

    def __init__(self, data: bytes, path: str) -> None:
        self._data = data
        self._path = path
        self._check_identification()
        self._header = _Header._make(_HEADER.unpack_from(data))
        self._check_header()

    @property
    def entry(self) -> int:
        """Address of the first instruction, virtual or physical as the linker left it."""
        return self._header.entry

    def program_headers(self) -> Iterator[ProgramHeader]:
        """Yield the program header table in order."""
        for index in range(self._header.program_count):
            offset = self._header.program_offset + index * PROGRAM_HEADER_SIZE
            yield ProgramHeader(index, *_PROGRAM_HEADER.unpack_from(self._data, offset))

    def sections(self) -> tuple[SectionHeader, ...]:
        """Read the section header table; empty where the file has none."""
        header = self._header
        if header.section_offset == 0:
            return ()
        entries = [
            _SECTION_HEADER.unpack_from(self._data, header.section_offset + index * SECTION_HEADER_SIZE)
            for index in range(header.section_count)
        ]
        names = self._section_names(entries)
        return tuple(SectionHeader(_name_at(names, name), *others) for name, *others in entries)

    def _section_names(self, entries: list[tuple[int, ...]]) -> bytes:
        index = self._header.section_names
        if index >= len(entries):
            return b""
        _name, _kind, _flags, _address, start, size, _link = entries[index]
        return self._data[start : start + size]

    def _check_identification(self) -> None:
        data = self._data
        if not data:
            raise BadImage(self._path, "is empty")
        if data.startswith(_TRACE_MAGIC):
            raise BadImage(
                self._path,
                "looks like a trace of kmemu, not a kernel; kmemu trace, report, export and diff read traces",
            )
        if not data.startswith(MAGIC):
            raise BadImage(self._path, f"not an ELF file: begins with {data[:4].hex(' ')}, not 7f 45 4c 46")
        self._check_inside("the ELF header", 0, HEADER_SIZE)
        elf_class, order = data[_CLASS_OFFSET], data[_BYTE_ORDER_OFFSET]
        if elf_class != _CLASS_32:
            what = "a 64-bit ELF file" if elf_class == _CLASS_64 else f"of unknown ELF class {elf_class}"
            raise BadImage(self._path, f"is {what}, not a 32-bit one", value=elf_class)
        if order != _LITTLE_ENDIAN:
            what = "a big-endian ELF file" if order == _BIG_ENDIAN else f"of unknown byte order {order}"
            raise BadImage(self._path, f"is {what}, not a little-endian one", value=order)

    def _check_header(self) -> None:
        header = self._header
        if header.machine != _I386:
            raise BadImage(self._path, f"is for machine {_machine_name(header.machine)}, not EM_386")
        if header.kind != _EXECUTABLE:
            what = _NOT_EXECUTABLE.get(header.kind, f"of ELF type {header.kind}, not an executable")
            raise BadImage(self._path, f"is {what}")
        self._check_table(
            "program header",
            header.program_offset,
            header.program_count,
            header.program_size,
            PROGRAM_HEADER_SIZE,
        )
        if header.section_offset:
            self._check_table(
                "section header",
                header.section_offset,
                header.section_count,
                header.section_size,
                SECTION_HEADER_SIZE,
            )

    def _check_table(self, what: str, offset: int, count: int, entry_size: int, expected: int) -> None:
        if count == 0:
            return
        if entry_size != expected:
            raise BadImage(
                self._path, f"{what} entries are {entry_size} bytes, not {expected}", value=entry_size
            )
        self._check_inside(f"the {what} table", offset, count * entry_size)

    def _check_inside(self, what: str, offset: int, size: int) -> None:
        check_inside(self._data, self._path, what, offset, size)


def check_inside(data: bytes, path: str, what: str, offset: int, size: int) -> None:
    """Refuse a part of the file that reaches past its end.

    Args:
        data: The whole file.
        path: Its name, for the message.
        what: The part's name, with its article.
        offset: Where the part begins in the file.
        size: Bytes.

    Raises:
        BadImage: The file ends before the part does.
    """
    if offset + size > len(data):
        raise BadImage(
            path,
            f"truncated: {what} takes bytes 0x{offset:08x}-0x{offset + size:08x}, the file ends at 0x{len(data):08x}",
            value=offset + size,
        )


def _name_at(names: bytes, offset: int) -> str:
    end = names.find(b"\0", offset)
    return names[offset:end].decode("utf-8", "replace") if end >= 0 else ""


def _machine_name(machine: int) -> str | int:
    """Return the name of a machine, or its number where it has none."""
    from elftools.elf.enums import ENUM_E_MACHINE  # takes longer to import than a kernel to load

    return next((name for name, number in ENUM_E_MACHINE.items() if number == machine), machine)
