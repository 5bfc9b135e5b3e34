"""The address spaces of a guest: which frames their page tables lie in, and which pages they map to which frames.

Theory. A page table is no data: its words hold frames, each at one linear address. So tables are walked, and not scanned for
pointers. Walks begin at CR3, and at each page that can be a page directory: the CPU finds the tables of interrupts and of
segments by linear addresses, so a kernel maps them at the same addresses in all its spaces.

Most kernels map all of memory once, where they themselves use it: the *direct map*. It is there for every frame, in use or
not, and so says nothing about who has the frame. It is the run of pages around the kernel's image with the distance between
linear and physical addresses that the image has.

Shortcomings. With PAE, of which a directory is 32 bytes anywhere, CR3 is the only one that is known.

Source: Intel SDM volume 3A, 4.3 and 4.4 (paging), 6.10 (IDT).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.x86 import PAGE_SIZE, WORD_MAX, Cr0

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.machine.machine import Machine
    from emulator.trace.table import I64, Flags

PRESENT: Final = 1
_PROGRAMS: Final = 2 | 4  # may write, from ring 3
_LARGE: Final = 1 << 7
_CR4_PSE, _CR4_PAE = 1 << 4, 1 << 5
_PAGE_BITS: Final = 12
_ADDRESS_BITS: Final = 0xF_FFFF_FFFF_F000  # of an entry of 8 bytes
_PAE_FIRST_LEVEL, _PAE_FIRST_BITS = 4, 30


class Pages(NamedTuple):
    """Some pages that are mapped.

    Attributes:
        linear: The address of each.
        frame: The number of the frame that it is mapped to.
        programs: Whether programs in ring 3 may write to it.
    """

    linear: I64
    frame: I64
    programs: Flags

    def where(self, chosen: np.ndarray) -> Pages:
        """Return those that are chosen."""
        return Pages(*(column[chosen] for column in self))


class DirectMap(NamedTuple):
    """Linear addresses [start, end) that are mapped to themselves minus *offset*."""

    start: int
    end: int
    offset: int


class AddressSpaces:
    """The address spaces of a machine that does not run. Nothing is changed.

    Args:
        machine: Its paging is on.

    Attributes:
        current: Physical address of the directory in use.
        tables: Numbers of the frames that the tables and directories walked so far lie in.
    """

    def __init__(self, machine: Machine) -> None:
        registers = machine.registers()
        self._machine = machine
        self._pae = bool(registers.cr4 & _CR4_PAE)
        self._has_large = self._pae or bool(registers.cr4 & _CR4_PSE)
        self._type = np.dtype("<u8" if self._pae else "<u4")
        self._count = PAGE_SIZE // self._type.itemsize
        self._table_bits = _PAGE_BITS + self._count.bit_length() - 1
        self._fixed = [registers.idt_base, registers.gdt_base] if registers.idt_limit else []
        self._walked: set[tuple[int, int]] = set()
        self.current = registers.cr3 & ~(31 if self._pae else PAGE_SIZE - 1)
        self.tables: set[int] = set()

    @staticmethod
    def of(machine: Machine) -> AddressSpaces | None:
        """Return those of a machine; None while its paging is off."""
        return AddressSpaces(machine) if machine.registers().cr0 & Cr0.PG else None

    def is_directory(self, physical: int) -> bool:
        """Return whether a page can be a page directory of the kernel."""
        if self._pae or not self._fixed:
            return False
        expected = [self._machine.translate(address) for address in self._fixed]
        return None not in expected and expected == [self._translate(physical, at) for at in self._fixed]

    def walk(self, directory: int) -> Pages:
        """Return the pages that a directory maps, without the direct map and without the tables that were walked before."""
        none = np.empty(0, np.int64)
        parts = [Pages(none, none, none.astype(np.bool_)), *self._pages(directory)]
        pages = Pages(*(np.concatenate(each) for each in zip(*parts, strict=True)))
        direct = np.zeros(len(pages.linear), np.bool_)
        for start, end, offset in self.direct_maps:
            same = pages.linear - (pages.frame << _PAGE_BITS) == offset
            direct |= same & (pages.linear >= start) & (pages.linear < end)
        return pages.where(~direct)

    @cached_property
    def direct_maps(self) -> list[DirectMap]:
        """The direct maps around the segments of the kernel's image."""
        found: dict[int, DirectMap] = {}
        for segment in self._machine.image.segments:
            offset = segment.virtual - segment.physical
            if offset not in found and self._machine.translate(segment.virtual) == segment.physical:
                page = segment.virtual & ~(PAGE_SIZE - 1)
                found[offset] = DirectMap(self._run(page, offset, -1), self._run(page, offset, 1), offset)
        return list(found.values())

    def _run(self, page: int, offset: int, step: int) -> int:
        """Return where the run of pages at a distance from their frames ends, from one of its pages up or down."""
        while 0 <= page <= WORD_MAX and self._machine.translate(page) == page - offset:
            page += step * PAGE_SIZE
        return page if step > 0 else page + PAGE_SIZE

    def _translate(self, directory: int, linear: int) -> int | None:
        """Return the physical address of a linear one by a directory of two levels."""
        entry = self._entry(directory, linear >> self._table_bits)
        if entry & _LARGE and entry & PRESENT and self._has_large:
            inside = (1 << self._table_bits) - 1
            return entry & ~inside | linear & inside
        if entry & PRESENT:
            entry = self._entry(entry & ~(PAGE_SIZE - 1), linear >> _PAGE_BITS & (self._count - 1))
        return entry & ~(PAGE_SIZE - 1) | linear & (PAGE_SIZE - 1) if entry & PRESENT else None

    def _entry(self, table: int, index: int) -> int:
        address = table + self._type.itemsize * index
        inside = address + self._type.itemsize <= len(self._machine.memory)
        return self._machine.memory.load_u32(address) if inside else 0

    def _entries(self, table: int, count: int) -> I64:
        """Return the entries of a table, 0 where there is no memory for it."""
        size = count * self._type.itemsize
        if table + size > len(self._machine.memory):
            return np.zeros(count, np.int64)
        return np.frombuffer(self._machine.memory.read(table, size), self._type).astype(np.int64)

    def _roots(self, directory: int) -> Iterator[tuple[int, int]]:
        """Yield the tables that hold the entries of tables and large pages, each with its first linear address."""
        if not self._pae:
            yield 0, directory
            return
        self.tables.add(directory >> _PAGE_BITS)
        for index, entry in enumerate(self._entries(directory, _PAE_FIRST_LEVEL).tolist()):
            if entry & PRESENT:
                yield index << _PAE_FIRST_BITS, entry & _ADDRESS_BITS

    def _pages(self, directory: int) -> Iterator[Pages]:
        for base, root in self._roots(directory):
            self.tables.add(root >> _PAGE_BITS)
            entries = self._entries(root, self._count)
            present = (entries & PRESENT) != 0
            large = present & ((entries & _LARGE) != 0) & self._has_large
            yield self._large_pages(base, entries, large)
            for index in np.flatnonzero(present & ~large).tolist():
                table = int(entries[index]) & _ADDRESS_BITS
                linear = base + (index << self._table_bits)
                if (linear, table) not in self._walked:
                    self._walked.add((linear, table))
                    yield self._table(linear, table, int(entries[index]))

    def _table(self, linear: int, table: int, above: int) -> Pages:
        self.tables.add(table >> _PAGE_BITS)
        entries = self._entries(table, self._count)
        index = np.flatnonzero(entries & PRESENT)
        programs = (entries[index] & above & _PROGRAMS) == _PROGRAMS
        return Pages(linear + (index << _PAGE_BITS), (entries[index] & _ADDRESS_BITS) >> _PAGE_BITS, programs)

    def _large_pages(self, base: int, entries: I64, large: np.ndarray) -> Pages:
        """Return large pages as pages of 4 KiB."""
        index = np.flatnonzero(large)
        inside = np.arange(self._count, dtype=np.int64)
        linear = base + (index[:, None] << self._table_bits) + (inside << _PAGE_BITS)
        first = (entries[index] & _ADDRESS_BITS) >> self._table_bits << self._table_bits - _PAGE_BITS
        programs = np.repeat((entries[index] & _PROGRAMS) == _PROGRAMS, self._count)
        return Pages(linear.ravel(), (first[:, None] + inside).ravel(), programs)
