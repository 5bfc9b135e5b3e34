"""The headers of an ELF32 i386 executable, checked.

The formats come from pyelftools' `ELFStructs`. Its `ELFFile` is not used: it imports the whole DWARF reader
(twice the start-up time), and its section objects follow links and counts that a hostile file can set to
anything. Nothing here reads more than the file's own bytes, whatever the headers claim.

Source: Tool Interface Standard, Executable and Linking Format 1.2, book I chapter 1 and book III chapter 1.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emulator.errors import BadImage

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"\x7fELF"
_TRACE_MAGIC = b"ARROW1"  # of any file in Arrow's format
HEADER_SIZE = 52
PROGRAM_HEADER_SIZE = 32
SECTION_HEADER_SIZE = 40

_CLASS_OFFSET = 4
_CLASS_32, _CLASS_64 = 1, 2
_BYTE_ORDER_OFFSET = 5
_LITTLE_ENDIAN, _BIG_ENDIAN = 1, 2

_NOT_EXECUTABLE = {
    "ET_REL": "a relocatable object (ET_REL), not a linked executable",
    "ET_DYN": "a shared or position-independent object (ET_DYN), not an executable; link it with -no-pie",
    "ET_CORE": "a core dump (ET_CORE), not an executable",
}


EXECUTABLE_SECTION: Final = 4
"""SHF_EXECINSTR: the section holds code."""


class ProgramHeader(NamedTuple):
    """One entry of the program header table.

    Attributes:
        number: Position in the table, from 0.
        kind: pyelftools' name ("PT_LOAD"), or the number where it has none.
        offset: Where its bytes begin in the file.
        virtual: p_vaddr.
        physical: p_paddr.
        file_size: Bytes in the file.
        memory_size: Bytes in memory; the rest is cleared.
        flags: PF_X 1, PF_W 2, PF_R 4.
    """

    number: int
    kind: str | int
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
        kind: pyelftools' name ("SHT_SYMTAB"), or the number where it has none.
        flags: SHF_ bits.
        address: First linked address, 0 for sections outside memory.
        offset: Where its bytes begin in the file.
        size: Bytes.
        link: Index of a related section; for a symbol table, its string table.
    """

    name: str
    kind: str | int
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
        # The import costs 11 ms, so it waits until something looks like a kernel.
        from elftools.elf.structs import ELFStructs

        self._stream = io.BytesIO(data)
        self._structs = ELFStructs(little_endian=True, elfclass=32)
        self._structs.create_basic_structs()
        self._header = self._parse(self._structs.Elf_Ehdr, 0)
        self._check_header()
        self._structs.create_advanced_structs(self._header["e_type"], self._header["e_machine"])

    @property
    def entry(self) -> int:
        """Address of the first instruction, virtual or physical as the linker left it."""
        return int(self._header["e_entry"])

    def program_headers(self) -> Iterator[ProgramHeader]:
        """Yield the program header table in order."""
        for index in range(self._header["e_phnum"]):
            entry = self._parse(self._structs.Elf_Phdr, self._header["e_phoff"] + index * PROGRAM_HEADER_SIZE)
            yield ProgramHeader(
                index,
                entry["p_type"],
                entry["p_offset"],
                entry["p_vaddr"],
                entry["p_paddr"],
                entry["p_filesz"],
                entry["p_memsz"],
                entry["p_flags"],
            )

    def sections(self) -> tuple[SectionHeader, ...]:
        """Read the section header table; empty where the file has none."""
        header = self._header
        if header["e_shoff"] == 0:
            return ()
        entries = [
            self._parse(self._structs.Elf_Shdr, header["e_shoff"] + index * SECTION_HEADER_SIZE)
            for index in range(header["e_shnum"])
        ]
        names = self._section_names(entries)
        return tuple(
            SectionHeader(
                _name_at(names, entry["sh_name"]),
                entry["sh_type"],
                entry["sh_flags"],
                entry["sh_addr"],
                entry["sh_offset"],
                entry["sh_size"],
                entry["sh_link"],
            )
            for entry in entries
        )

    def _section_names(self, entries: list[Any]) -> bytes:
        index = self._header["e_shstrndx"]
        if index >= len(entries):
            return b""
        start = entries[index]["sh_offset"]
        return self._data[start : start + entries[index]["sh_size"]]

    # pyelftools carries no types, so its structures and containers are Any here.
    def _parse(self, structure: Any, offset: int) -> Any:
        self._stream.seek(offset)
        return structure.parse_stream(self._stream)

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
        if header["e_machine"] != "EM_386":
            raise BadImage(self._path, f"is for machine {header['e_machine']}, not EM_386")
        if header["e_type"] != "ET_EXEC":
            what = _NOT_EXECUTABLE.get(header["e_type"], f"of ELF type {header['e_type']}, not an executable")
            raise BadImage(self._path, f"is {what}")
        self._check_table(
            "program header", header["e_phoff"], header["e_phnum"], header["e_phentsize"], PROGRAM_HEADER_SIZE
        )
        if header["e_shoff"]:
            self._check_table(
                "section header",
                header["e_shoff"],
                header["e_shnum"],
                header["e_shentsize"],
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
