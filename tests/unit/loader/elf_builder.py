"""Builds small ELF32 executables byte by byte, so that every field can be made wrong."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

EHDR = struct.Struct("<16sHHIIIIIHHHHHH")
PHDR = struct.Struct("<8I")
SHDR = struct.Struct("<10I")

# Offsets of header fields, for `patch`.
E_CLASS, E_DATA = 4, 5
E_TYPE, E_MACHINE, E_ENTRY, E_PHOFF, E_SHOFF = 16, 18, 24, 28, 32
E_PHENTSIZE, E_PHNUM, E_SHENTSIZE, E_SHNUM, E_SHSTRNDX = 42, 44, 46, 48, 50
P_TYPE, P_OFFSET, P_VADDR, P_PADDR, P_FILESZ, P_MEMSZ = 0, 4, 8, 12, 16, 20
SH_TYPE, SH_OFFSET, SH_SIZE, SH_LINK = 4, 16, 20, 24

PT_LOAD, PT_NOTE = 1, 4
PROGBITS, SYMTAB, STRTAB, NOBITS = 1, 2, 3, 8
LOCAL, GLOBAL = 0, 1
NOTYPE, OBJECT, FUNC, SECTION, FILE = 0, 1, 2, 3, 4
TEXT = 1  # section number of .text in `build_elf`
ABSOLUTE = 0xFFF1

BASE = 0x00100000


@dataclass
class Load:
    """A program header and its bytes."""

    physical: int = BASE
    data: bytes = b"\x90" * 64
    memory_size: int | None = None
    virtual: int | None = None
    flags: int = 5
    kind: int = PT_LOAD


@dataclass
class Sym:
    """A symbol table entry."""

    name: str
    value: int
    size: int = 0
    kind: int = NOTYPE
    bind: int = GLOBAL
    section: int = TEXT


@dataclass
class Elf:
    """What goes into the file."""

    loads: list[Load] = field(default_factory=lambda: [Load()])
    entry: int = BASE
    symbols: list[Sym] = field(default_factory=list)
    sections: dict[str, bytes] = field(default_factory=dict)


def build_elf(elf: Elf | None = None) -> bytes:
    """Return the file: headers, segments, sections, section header table.

    Sections are: 0 null, 1 .text (the first segment), 2 .symtab, 3 .strtab, then the given ones, then .shstrtab.
    """
    elf = elf or Elf()
    body = bytearray(EHDR.size + PHDR.size * len(elf.loads))
    offsets = []
    for load in elf.loads:
        offsets.append(len(body))
        body += load.data
    for index, (load, offset) in enumerate(zip(elf.loads, offsets, strict=True)):
        PHDR.pack_into(body, EHDR.size + index * PHDR.size, *_program_header(load, offset))

    strings = bytearray(b"\0")
    table = bytearray(16)
    for symbol in elf.symbols:
        table += struct.pack(
            "<IIIBBH",
            len(strings),
            symbol.value,
            symbol.size,
            symbol.bind << 4 | symbol.kind,
            0,
            symbol.section,
        )
        strings += symbol.name.encode() + b"\0"

    first = elf.loads[0] if elf.loads else Load(data=b"")
    headers = [
        (".text", PROGBITS, 6, first.virtual or first.physical, offsets[0] if offsets else 0, _size(first), 0)
    ]
    for name, kind, data, link in (
        (".symtab", SYMTAB, bytes(table), 3),
        (".strtab", STRTAB, bytes(strings), 0),
        *((name, PROGBITS, data, 0) for name, data in elf.sections.items()),
    ):
        headers.append((name, kind, 0, 0, len(body), len(data), link))
        body += data
    return _finish(body, headers, elf)


def _size(load: Load) -> int:
    return len(load.data) if load.memory_size is None else load.memory_size


def _program_header(load: Load, offset: int) -> tuple[int, ...]:
    virtual = load.physical if load.virtual is None else load.virtual
    return load.kind, offset, virtual, load.physical, len(load.data), _size(load), load.flags, 4096


def _finish(body: bytearray, headers: list[tuple[str, int, int, int, int, int, int]], elf: Elf) -> bytes:
    names = bytearray(b"\0")
    rows = [(0,) * 10]
    for name, kind, flags, address, offset, size, link in [
        *headers,
        (".shstrtab", STRTAB, 0, 0, len(body), 0, 0),
    ]:
        rows.append((len(names), kind, flags, address, offset, size, link, 0, 1, 16 if kind == SYMTAB else 0))
        names += name.encode() + b"\0"
    rows[-1] = (*rows[-1][:5], len(names), *rows[-1][6:])
    body += names
    ident = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    counts = (EHDR.size, PHDR.size, len(elf.loads), SHDR.size, len(rows), len(rows) - 1)
    EHDR.pack_into(body, 0, ident, 2, 3, 1, elf.entry, EHDR.size, len(body), 0, *counts)
    return bytes(body) + b"".join(SHDR.pack(*row) for row in rows)


def patch(data: bytes, offset: int, form: str, value: int) -> bytes:
    """Return *data* with one field replaced."""
    changed = bytearray(data)
    struct.pack_into(form, changed, offset, value)
    return bytes(changed)


def patch_program_header(data: bytes, index: int, offset: int, value: int) -> bytes:
    """Return *data* with one word of a program header replaced."""
    return patch(data, EHDR.size + index * PHDR.size + offset, "<I", value)


def patch_section_header(data: bytes, index: int, offset: int, value: int) -> bytes:
    """Return *data* with one word of a section header replaced."""
    (table,) = struct.unpack_from("<I", data, E_SHOFF)
    return patch(data, table + index * SHDR.size + offset, "<I", value)
