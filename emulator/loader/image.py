"""A kernel file, read and checked: what to load where, its symbols, and its source lines.

An image is only data. Loading it into RAM, and clearing what lies past a segment's bytes, is the machine's.

Source: Executable and Linking Format 1.2, book III, "Program Loading".
"""

from __future__ import annotations

import os.path
from functools import cached_property
from typing import TYPE_CHECKING

from emulator.errors import BadImage
from emulator.loader.containers import unpacked
from emulator.loader.elf.headers import EXECUTABLE_SECTION, LOADED_SECTION, PROGRAM_SECTION, WRITABLE_SECTION
from emulator.loader.files import read_file
from emulator.loader.frame import Frame
from emulator.loader.layout import PLAIN, lay_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from emulator.loader.debug_link import DebugLink
    from emulator.loader.dwarf.frame_entries import FrameSection
    from emulator.loader.dwarf.inlined import InlinedCall, InlinedCalls
    from emulator.loader.dwarf.source_lines import LineTable, SourceLine
    from emulator.loader.dwarf.subprograms import Subprograms
    from emulator.loader.dwarf.units import Units
    from emulator.loader.dwarf.unwind import FrameRules, UnwindTable
    from emulator.loader.elf.headers import ElfHeaders, SectionHeader
    from emulator.loader.elf.symbols import Symbol, SymbolTable
    from emulator.loader.functions.names import FunctionNames
    from emulator.loader.functions.prototypes import Declarations
    from emulator.loader.kasan import Kasan
    from emulator.loader.layout import LoadOptions
    from emulator.loader.segments import Segment

_RAM_END_MAX = 0xC0100000  # with 3 GiB from 1 MiB up
_LARGEST_FILE = 1 << 30  # bytes; far above any kernel, and still fit to be read at once


class KernelImage:
    """A kernel's file. Two are equal if they are of the same bytes and symbols, by the same names.

    Use `read`, or pass bytes that did not come from a file.

    Args:
        data: The whole file; a gzip file is decompressed.
        path: Its name, for messages.
        options: What the user says about it.
        symbols: Another file with its symbols, source lines and variables; None: its own.

    Raises:
        BadImage: It cannot be loaded, or the other file is of another build.

    Attributes:
        path: The file's name as given.
        name: Its last part.
        data: The whole file, decompressed.
        entry: Address of the first instruction, as linked.
        segments: In order of physical addresses, at least one.
        physical_entry: Physical address of the first instruction. It lies in a segment.
        is_elf: Whether it is an ELF file, and loaded as one.
        multiboot: The header of the boot protocol by which the kernel is started; None: it has none.
        headers: Of the ELF file with symbols and debug information; None: there is none.
        symbol_data: That file; the kernel's own where there is none.
    """

    def __init__(
        self,
        data: bytes,
        path: str,
        options: LoadOptions = PLAIN,
        symbols: KernelImage | None = None,
    ) -> None:
        self.path = path
        self.name = os.path.basename(path)
        self.data = unpacked(data, path, _LARGEST_FILE)
        layout = lay_out(self.data, path, options, () if symbols is None else symbols.segments)
        self.entry, self.physical_entry = layout.entry, layout.physical_entry
        self.segments: tuple[Segment, ...] = layout.segments
        self.multiboot = layout.multiboot
        self.is_elf = layout.headers is not None
        self._own_headers = layout.headers
        self.headers: ElfHeaders | None = layout.headers if symbols is None else symbols.headers
        self.symbol_data: bytes = self.data if symbols is None else symbols.symbol_data
        self._symbol_path = path if symbols is None else symbols.path
        if symbols is not None:
            from emulator.loader.same_build import check_same_build  # few kernels have two files

            check_same_build(self, self._own_headers, symbols)
        self._identity = self.data, path, options, self.symbol_data, self._symbol_path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KernelImage) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], options: LoadOptions = PLAIN, symbols: str | None = None
    ) -> KernelImage:
        """Read a kernel file.

        Args:
            path: Of the file.
            options: What the user says about it.
            symbols: Path of another ELF file with its symbols. None: the one that the kernel names for its debug information, if that
                was taken out of it and is found; else its own.

        Raises:
            BadImage: It cannot be read, or is no loadable i386 executable; or that of the symbols.
        """
        name = str(path)
        try:
            data = read_file(name, _LARGEST_FILE)
        except OSError as error:
            raise BadImage(name, f"cannot be read: {error.strerror}") from error
        image = cls(data, name, options, None if symbols is None else cls.read(symbols))
        link = image.debug_link
        if link is None:
            return image
        from emulator.loader.debug_link import find_linked  # few kernels have one

        found = find_linked(link, name, _LARGEST_FILE)
        return image if found is None else cls(data, name, options, cls.read(found))

    @property
    def start(self) -> int:
        """Lowest physical address of the image."""
        return self.segments[0].physical

    @property
    def end(self) -> int:
        """First physical address after the image."""
        return self.segments[-1].end

    def check_fits(self, ram: Iterable[tuple[int, int]], rom: tuple[int, int] = (0, 0)) -> None:
        """Make sure that every segment lies in RAM, and the entry.

        Linkers put the headers of an ELF file into a page before the kernel, which is ROM for one linked at 1 MiB.

        Args:
            ram: Physical ranges `[start, end)` of the machine's RAM.
            rom: A range in which a segment may begin. That part of it is not loaded.

        Raises:
            BadImage: A segment lies, at least in part, outside all of them, or the first instruction does.
        """
        ranges = tuple(ram)
        for segment in self.segments:
            first = min(segment.end, rom[1]) if rom[0] <= segment.physical < rom[1] else segment.physical
            if first < segment.end and not any(
                start <= first and segment.end <= end for start, end in ranges
            ):
                windows = ", ".join(f"0x{start:08x}-0x{end:08x}" for start, end in ranges)
                hint = (
                    "; more RAM: --ram"
                    if ranges[-1][0] <= segment.physical and segment.end <= _RAM_END_MAX
                    else ""
                )
                raise BadImage(
                    self.path, f"{segment} lies outside RAM ({windows}){hint}", value=segment.physical
                )
        if not any(start <= self.physical_entry < end for start, end in ranges):
            problem = f"the entry point 0x{self.physical_entry:08x} does not lie in RAM"
            raise BadImage(self.path, problem, value=self.physical_entry)

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
        return self._symbol_table.function_at(self.linked(address))

    def function_extent(self, address: int) -> range | None:
        """Return the linked addresses of the function that an address (as in `function_at`) lies in.

        Raises:
            BadImage: The symbol table is damaged.
        """
        return self._symbol_table.extent_at(self.linked(address))

    @cached_property
    def function_names(self) -> FunctionNames:
        """The names of its functions.

        Raises:
            BadImage: The symbol table is damaged.
        """
        from emulator.loader.functions.names import FunctionNames

        return FunctionNames(self._symbol_table, self._declared_in)

    @property
    def code_sections(self) -> list[range]:
        """Linked addresses of the sections that hold code, ascending; empty where the file does not say."""
        return self._ranges(lambda flags: bool(flags & EXECUTABLE_SECTION))

    @property
    def constant_sections(self) -> list[range]:
        """Linked addresses of the sections that hold code or constants, ascending; empty where the file does not say."""
        loaded, code = LOADED_SECTION, EXECUTABLE_SECTION
        return self._ranges(
            lambda flags: bool(flags & loaded and (flags & code or not flags & WRITABLE_SECTION))
        )

    @property
    def sized_functions(self) -> list[range]:
        """Linked addresses of the functions whose size the symbol table says, in the order of their starts; aliases overlap.

        Raises:
            BadImage: The symbol table is damaged.
        """
        symbols = (each.symbol for each in self._symbol_table.code)
        return [
            range(each.address, each.address + each.size)
            for each in symbols
            if each.kind == "function" and each.size
        ]

    def _ranges(self, wanted: Callable[[int], bool]) -> list[range]:
        """Return the linked addresses of the sections with wanted flags, ascending."""
        found = (
            range(each.address, each.address + each.size) for each in self.sections if wanted(each.flags)
        )
        return sorted(found, key=lambda section: section.start)

    @property
    def function_extents(self) -> bytes:
        """Linked start and end of each function and label in the code, as 32-bit words, ascending by start.

        Raises:
            BadImage: The symbol table is damaged.
        """
        return self._symbol_table.extents

    def source_line(self, address: int) -> SourceLine | None:
        """Return the source line of an address (as in `function_at`), or None where the file does not say."""
        linked = self.linked(address)
        return self._line_table.find(linked) if self.is_linked(linked) else None

    def begins_line(self, address: int) -> bool:
        """Return whether the code of a source line, or a piece of it, begins at an address."""
        linked = self.linked(address)
        return self.is_linked(linked) and self._line_table.begins(linked)

    def addresses_of_line(self, file: str, line: int) -> list[int]:
        """Return where the code of a source line begins, ascending: the first instruction of each piece of it.

        Args:
            file: The end of the path that the compiler recorded, in whole parts: ``heap.c``, ``src/heap.c``.
            line: From 1.
        """
        return [each for each in self._line_table.addresses(file, line) if self.is_linked(each)]

    def prologue_end(self, function: int) -> int | None:
        """Return where the line after a function's first one begins: until there compilers set up its frame. None: the file does not say.

        Args:
            function: Linked address of its first instruction.
        """
        return self._line_table.following(function)

    def lines_of_file(self, file: str) -> dict[int, list[int]]:
        """Return the lines of a source file that have code, ascending, and where that begins, as `addresses_of_line` has it."""
        lines = self._line_table.lines(file)
        return {line: found for line in lines if (found := self.addresses_of_line(file, line))}

    @property
    def has_source_lines(self) -> bool:
        """Whether the file says anything of source lines."""
        return self.has_section(".debug_line")

    @property
    def source_files(self) -> list[str]:
        """The paths of the source files that have code, as the compiler recorded them."""
        return self._line_table.files

    @cached_property
    def unwind_table(self) -> UnwindTable:
        """The rules by which the caller of code at a linked address is found; empty where the file does not say."""
        from emulator.loader.dwarf.unwind import read_unwind_table

        return read_unwind_table(*self._frame_information())

    @cached_property
    def frame_rules(self) -> FrameRules:
        """The same rules, with those for the registers that functions keep for their callers."""
        from emulator.loader.dwarf.unwind import FrameRules

        return FrameRules(*self._frame_information())

    def _frame_information(self) -> tuple[list[FrameSection], list[range]]:
        """Return its call frame information, and where its code is linked."""
        from emulator.loader.dwarf.frame_entries import FrameSection

        sections = [
            *self._unwind_sections(),
            FrameSection(self.debug_section(".debug_frame"), 0, is_eh_frame=False),
        ]
        return sections, [range(segment.virtual, segment.virtual + segment.size) for segment in self.segments]

    def _unwind_sections(self) -> Iterator[FrameSection]:
        """Yield the .eh_frame of the kernel, or else that of the file with its symbols, which may have none of the loaded bytes."""
        from emulator.loader.dwarf.frame_entries import FrameSection

        own = () if self._own_headers is None else self._own_headers.sections()
        for data, sections in ((self.data, own), (self.symbol_data, self.sections)):
            for each in sections:
                if each.name == ".eh_frame" and each.kind == PROGRAM_SECTION:
                    content = data[each.offset : each.offset + each.size]
                    yield FrameSection(content, each.address, is_eh_frame=True)
                    return

    @property
    def unwind_ranges(self) -> list[range]:
        """Linked addresses of its .eh_frame, which has the address of each function."""
        return [range(each.address, each.address + len(each.data)) for each in self._unwind_sections()]

    @cached_property
    def units(self) -> Units:
        """The units of its debug information."""
        from emulator.loader.dwarf.units import Units

        return Units(self.debug_sections, self._symbol_path)

    @cached_property
    def debug_sections(self) -> dict[str, bytes]:
        """The bytes of the sections that `units` are read from, by their names without ``.debug_``; none where there is no such section."""
        from emulator.loader.dwarf.debug_info import SECTIONS

        return {name: self.debug_section(f".debug_{name}") for name in SECTIONS}

    @cached_property
    def subprograms(self) -> Subprograms:
        """The functions and their parameters as the debug information describes them."""
        from emulator.loader.dwarf.subprograms import Subprograms

        return Subprograms(self.units, self._line_table)

    @cached_property
    def declarations(self) -> Declarations:
        """What the file declares: see `emulator.loader.functions.prototypes`."""
        from emulator.loader.functions.prototypes import Declarations

        return Declarations(self.units)

    def location(self, address: int) -> Frame:
        """Return the function by its plain name, the offset in it and the source line of an address (as in `function_at`).

        With a damaged symbol table no function is named: what happened at the address matters more. `symbols` reports the damage.
        """
        from emulator.loader.functions.names import plain_name

        try:
            function = self.function_at(address)
        except BadImage:
            function = None
        line = self.source_line(address)
        name, offset = ("", 0) if function is None else (plain_name(function[0].name), function[1])
        file, number = ("", 0) if line is None else line
        return Frame(address, name, offset, file, number)

    def call_site(self, return_address: int) -> Frame:
        """Return the frame of the call that goes on at *return_address*, named like `location`.

        What begins at a return address may be another line or, after a call that never returns, another function. So it is
        named by the byte before it, the call's last one.
        """
        last = self.location(return_address - 1)
        return last._replace(address=return_address, offset=last.offset + 1 if last.function else 0)

    def inlined_calls(self, address: int) -> tuple[InlinedCall, ...]:
        """Return the inlined calls that an instruction at an address (as in `function_at`) is in, innermost first."""
        linked = self.linked(address)
        return self._inlined_calls.find(linked) if self.is_linked(linked) else ()

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

    def is_linked(self, address: int) -> bool:
        """Return whether a linked address is one of the kernel. Of code and variables that a linker has dropped the debug information stays, at address 0."""
        return any(each.virtual <= address < each.virtual + each.size for each in self.segments)

    def linked(self, address: int) -> int:
        """Translate a physical address into the linked one, unless it is a linked one already."""
        if self.is_linked(address):
            return address
        for segment in self.segments:
            if segment.physical <= address < segment.end:
                return address - segment.physical + segment.virtual
        return address

    @cached_property
    def sections(self) -> tuple[SectionHeader, ...]:
        """The section headers of the file with the symbols; none where there is no ELF file."""
        return () if self.headers is None else self.headers.sections()

    @cached_property
    def _symbol_table(self) -> SymbolTable:
        from emulator.loader.elf.symbols import read_symbols

        return read_symbols(self.symbol_data, self.sections, self._symbol_path)

    @cached_property
    def _line_table(self) -> LineTable:
        from emulator.loader.dwarf.line_header import DebugSections
        from emulator.loader.dwarf.source_lines import LineTable

        return LineTable(
            DebugSections(*map(self.debug_section, (".debug_line", ".debug_line_str", ".debug_str")))
        )

    @cached_property
    def _inlined_calls(self) -> InlinedCalls:
        from emulator.loader.dwarf.inlined import InlinedCalls
        from emulator.loader.dwarf.line_header import DebugSections

        return InlinedCalls(
            self.units.info,
            DebugSections(*(self.debug_section(f".debug_{each}") for each in DebugSections._fields)),
        )

    def _declared_in(self, address: int) -> str:
        """Return the source file that declares the function at a linked address; "" where the file does not say."""
        found = self.subprograms.at(address)
        return "" if found is None else found.file

    @cached_property
    def kasan(self) -> Kasan | None:
        """The shadow that it was compiled for; None: it was not compiled with KASAN, or has a runtime of its own.

        Raises:
            BadImage: Its code looks for the shadow elsewhere than the stubs that it is linked with.
        """
        if b"kmemu_kasan_offset" not in self.symbol_data:  # a symbol of the stubs
            return None
        from emulator.loader.kasan import kasan_of  # few kernels have one

        return kasan_of(self)

    @property
    def has_own_kasan(self) -> bool:
        """Whether it was compiled with KASAN, and has a runtime of its own."""
        if b"__asan_report_" not in self.symbol_data:
            return False
        from emulator.loader.kasan import has_own_runtime  # few kernels have one

        return has_own_runtime(self)

    @property
    def debug_link(self) -> DebugLink | None:
        """The file that has its debug information, as it says; None: it says none, or debug information has been read."""
        section = self._debug_section(".gnu_debuglink")
        if section is None or self.has_section(".debug_info"):
            return None
        from emulator.loader.debug_link import read_debug_link  # few kernels have one

        return read_debug_link(self.symbol_data[section.offset : section.offset + section.size])

    def has_section(self, name: str) -> bool:
        """Return whether there is a section of debug information."""
        section = self._debug_section(name)
        return section is not None and section.size > 0

    def debug_section(self, name: str) -> bytes:
        """Return the bytes of a section of debug information; none where the file has no such section."""
        section = self._debug_section(name)
        if section is None:
            return b""
        from emulator.loader.elf.compression import section_content

        return section_content(self.symbol_data, section)

    def _debug_section(self, name: str) -> SectionHeader | None:
        names = (name, name.replace(".debug", ".zdebug"))
        found = (each for each in self.sections if each.name in names and each.kind == PROGRAM_SECTION)
        return next(found, None)
