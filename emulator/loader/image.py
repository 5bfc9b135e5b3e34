"""A kernel file, read and checked: what to load where, its symbols, and its source lines.

An image is only data. Loading it into RAM, and clearing what lies past a segment's bytes, is the machine's.

Source: Executable and Linking Format 1.2, book III, "Program Loading".
"""

from __future__ import annotations

from enum import IntFlag
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import BadImage
from emulator.loader.elf.headers import (
    EXECUTABLE_SECTION,
    ElfHeaders,
    ProgramHeader,
    SectionHeader,
    check_inside,
)
from emulator.loader.files import read_file
from emulator.loader.frame import Frame

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from emulator.loader.dwarf.source_lines import LineTable, SourceLine
    from emulator.loader.dwarf.unwind import UnwindTable
    from emulator.loader.elf.symbols import Symbol, SymbolTable

_FOUR_GIB = 1 << 32
_LARGEST_FILE = 1 << 30  # bytes; far above any kernel, and still fit to be read at once


class SegmentFlags(IntFlag):
    """What a segment's memory is for (p_flags)."""

    X = 1
    W = 2
    R = 4


class Segment(NamedTuple):
    """A piece of the kernel in memory.

    Attributes:
        physical: Where it is loaded.
        virtual: Where it is linked.
        size: Bytes in memory, > 0. `[physical, physical + size)` never wraps and meets no other segment.
        data: The bytes of the file, at most *size*; the rest is zero.
        flags: What the memory is for.
    """

    physical: int
    virtual: int
    size: int
    data: bytes
    flags: SegmentFlags

    @property
    def end(self) -> int:
        """First physical address after the segment."""
        return self.physical + self.size

    def __str__(self) -> str:
        return f"the segment 0x{self.physical:08x}-0x{self.end:08x}"


class KernelImage:
    """A kernel's ELF file.

    Use `read`, or pass bytes that did not come from a file.

    Args:
        data: The whole file.
        path: Its name, for messages.

    Raises:
        BadImage: It cannot be loaded.

    Attributes:
        path: The file's name as given.
        name: Its last part.
        data: The whole file.
        entry: Address of the first instruction, as linked.
        segments: In order of physical addresses, at least one.
        physical_entry: Physical address of the first instruction. It lies in a segment.
    """

    def __init__(self, data: bytes, path: str) -> None:
        self.path = path
        self.name = Path(path).name
        self.data = data
        self._headers = ElfHeaders(data, path)
        self.entry = self._headers.entry
        self.segments = tuple(sorted(self._load_segments(), key=lambda segment: segment.physical))
        self._check_segments()
        self.physical_entry = self._find_physical_entry()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> KernelImage:
        """Read a kernel file.

        Raises:
            BadImage: It cannot be read, or is no loadable i386 executable.
        """
        name = str(path)
        try:
            return cls(read_file(name, _LARGEST_FILE), name)
        except OSError as error:
            raise BadImage(name, f"cannot be read: {error.strerror}") from error

    @property
    def start(self) -> int:
        """Lowest physical address of the image."""
        return self.segments[0].physical

    @property
    def end(self) -> int:
        """First physical address after the image."""
        return self.segments[-1].end

    def check_fits(self, ram: Iterable[tuple[int, int]]) -> None:
        """Make sure that every segment lies in RAM.

        Args:
            ram: Physical ranges `[start, end)` of the machine's RAM.

        Raises:
            BadImage: A segment lies, at least in part, outside all of them.
        """
        ranges = tuple(ram)
        for segment in self.segments:
            if not any(start <= segment.physical and segment.end <= end for start, end in ranges):
                windows = ", ".join(f"0x{start:08x}-0x{end:08x}" for start, end in ranges)
                raise BadImage(self.path, f"{segment} lies outside RAM ({windows})", value=segment.physical)

    @property
    def symbols(self) -> dict[str, Symbol]:
        """Defined symbols by name; empty for a stripped file.

        Raises:
            BadImage: The symbol table is damaged.
        """
        return self._symbol_table.by_name

    def symbol(self, name: str) -> Symbol | None:
        """Return the symbol called *name*, if there is one.

        Raises:
            BadImage: The symbol table is damaged.
        """
        return self.symbols.get(name)

    def function_at(self, address: int) -> tuple[Symbol, int] | None:
        """Return the function that an address lies in, and the offset in it.

        Args:
            address: Virtual. A physical one does as well: a kernel linked high starts at its physical addresses.

        Raises:
            BadImage: The symbol table is damaged.
        """
        return self._symbol_table.function_at(self._linked(address))

    def function_extent(self, address: int) -> range | None:
        """Return the linked addresses of the function that an address (as in `function_at`) lies in.

        Raises:
            BadImage: The symbol table is damaged.
        """
        return self._symbol_table.extent_at(self._linked(address))

    @property
    def code_sections(self) -> list[range]:
        """Linked addresses of the sections that hold code, ascending; empty where the file does not say."""
        code = [
            range(each.address, each.address + each.size)
            for each in self._sections
            if each.flags & EXECUTABLE_SECTION
        ]
        return sorted(code, key=lambda section: section.start)

    @property
    def function_extents(self) -> bytes:
        """Linked start and end of each function and label in the code, as 32-bit words, ascending by start.

        Raises:
            BadImage: The symbol table is damaged.
        """
        return self._symbol_table.extents

    def source_line(self, address: int) -> SourceLine | None:
        """Return the source line of an address (as in `function_at`), or None where the file does not say."""
        return self._line_table.find(self._linked(address))

    @cached_property
    def unwind_table(self) -> UnwindTable:
        """The rules by which the caller of code at a linked address is found; empty where the file does not say."""
        from emulator.loader.dwarf.frame_entries import FrameSection
        from emulator.loader.dwarf.unwind import read_unwind_table

        addresses = {section.name: section.address for section in self._sections}
        sections = [
            FrameSection(self._debug_section(name), addresses.get(name, 0), name == ".eh_frame")
            for name in (".eh_frame", ".debug_frame")
        ]
        code = [range(segment.virtual, segment.virtual + segment.size) for segment in self.segments]
        return read_unwind_table(sections, code)

    def location(self, address: int) -> Frame:
        """Return the function, the offset in it and the source line of an address (as in `function_at`).

        With a damaged symbol table no function is named: what happened at the address matters more. `symbols` reports the damage.
        """
        try:
            function = self.function_at(address)
        except BadImage:
            function = None
        line = self.source_line(address)
        name, offset = ("", 0) if function is None else (function[0].name, function[1])
        file, number = ("", 0) if line is None else line
        return Frame(address, name, offset, file, number)

    def call_site(self, return_address: int) -> Frame:
        """Return the frame of the call that goes on at *return_address*, named like `location`.

        What begins at a return address may be another line or, after a call that never returns, another function. So it is
        named by the byte before it, the call's last one.
        """
        last = self.location(return_address - 1)
        return last._replace(address=return_address, offset=last.offset + 1 if last.function else 0)

    def physical(self, address: int) -> int:
        """Return where a linked address is loaded. Outside all segments it is returned as it is."""
        for segment in self.segments:
            if segment.virtual <= address < segment.virtual + segment.size:
                return address - segment.virtual + segment.physical
        return address

    def code(self, address: int, size: int) -> bytes:
        """Return the file's bytes at a linked address; fewer than *size*, or none, where the file has no more."""
        for segment in self.segments:
            if segment.virtual <= address < segment.virtual + segment.size:
                offset = address - segment.virtual
                return segment.data[offset : offset + size]
        return b""

    def _linked(self, address: int) -> int:
        """Translate a physical address into the linked one, unless it is a linked one already."""
        if any(segment.virtual <= address < segment.virtual + segment.size for segment in self.segments):
            return address
        for segment in self.segments:
            if segment.physical <= address < segment.end:
                return address - segment.physical + segment.virtual
        return address

    @cached_property
    def _sections(self) -> tuple[SectionHeader, ...]:
        return self._headers.sections()

    @cached_property
    def _symbol_table(self) -> SymbolTable:
        from emulator.loader.elf.symbols import read_symbols

        return read_symbols(self.data, self._sections, self.path)

    @cached_property
    def _line_table(self) -> LineTable:
        from emulator.loader.dwarf.line_header import DebugSections
        from emulator.loader.dwarf.source_lines import LineTable

        return LineTable(
            DebugSections(*map(self._debug_section, (".debug_line", ".debug_line_str", ".debug_str")))
        )

    def _debug_section(self, name: str) -> bytes:
        for section in self._sections:
            # A compressed section (SHF_COMPRESSED, 0x800) counts as absent.
            if section.name == name and section.kind == "SHT_PROGBITS" and not section.flags & 0x800:
                return self.data[section.offset : section.offset + section.size]
        return b""

    def _load_segments(self) -> Iterator[Segment]:
        for header in self._headers.program_headers():
            if header.kind != "PT_LOAD":
                continue
            self._check_header(header)
            if header.memory_size:
                yield Segment(
                    header.physical,
                    header.virtual,
                    header.memory_size,
                    self.data[header.offset : header.offset + header.file_size],
                    SegmentFlags(header.flags & 7),
                )

    def _check_header(self, header: ProgramHeader) -> None:
        what = f"segment {header.number} at 0x{header.physical:08x}"
        if header.file_size > header.memory_size:
            raise BadImage(
                self.path,
                f"{what} has {header.file_size} bytes in the file but only {header.memory_size} in memory",
                value=header.file_size,
            )
        for address in (header.physical, header.virtual):
            if address + header.memory_size > _FOUR_GIB:
                raise BadImage(
                    self.path,
                    f"segment {header.number} at 0x{address:08x} is 0x{header.memory_size:x} bytes long and wraps past 4 GiB",
                    value=header.memory_size,
                )
        check_inside(self.data, self.path, what, header.offset, header.file_size)

    def _check_segments(self) -> None:
        if not self.segments:
            raise BadImage(self.path, "has no loadable segments (PT_LOAD)")
        for lower, upper in zip(self.segments, self.segments[1:], strict=False):
            if lower.end > upper.physical:
                raise BadImage(self.path, f"{lower} overlaps {upper}", value=upper.physical)

    def _find_physical_entry(self) -> int:
        # The linker records a virtual entry, unless the linker script says otherwise.
        for segment in self.segments:
            if segment.virtual <= self.entry < segment.virtual + segment.size:
                return self.entry - segment.virtual + segment.physical
        for segment in self.segments:
            if segment.physical <= self.entry < segment.end:
                return self.entry
        raise BadImage(
            self.path, f"the entry point 0x{self.entry:08x} is in no loaded segment", value=self.entry
        )
