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

from emulator.x86 import PAGE_SIZE, WORD_MAX, Cr0, Cr4
from kernel_model.page_tables import ADDRESS, PRESENT, USER, WRITABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.machine.machine import Machine
    from emulator.trace.table import I64, Flags
    from kernel_model.address_space import AddressSpace
    from kernel_model.page_tables import Slot

_PROGRAMS: Final = WRITABLE | USER
_PAGE_BITS: Final = 12


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
        self._machine = machine
        self._walked: set[tuple[int, int]] = set()
        self.current = machine.cpu.page_directory()
        self.tables: set[int] = set()

    @staticmethod
    def of(machine: Machine) -> AddressSpaces | None:
        """Return those of a machine; None while its paging is off, or is that of 64-bit mode."""
        is_known = machine.cpu.forbids_execution() is not None
        return AddressSpaces(machine) if machine.registers().cr0 & Cr0.PG and is_known else None

    def is_directory(self, physical: int) -> bool:
        """Return whether a page can be a page directory of the kernel."""
        if not self._fixed:
            return False
        space = self._machine.address_space(physical)
        return space.translate_all(self._fixed) == list(self._fixed.values())

    def walk(self, directory: int) -> Pages:
        """Return the pages that a directory maps, without the direct map and without the tables that were walked before."""
        space = self._machine.address_space(directory)
        self.tables.update(each.frame >> _PAGE_BITS for each in space.tables())
        none = np.empty(0, np.int64)
        parts = [Pages(none, none, none.astype(np.bool_)), *self._pages(space)]
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

    @cached_property
    def _fixed(self) -> dict[int, int | None]:
        """Linear addresses that each directory of the kernel maps, and where to; none where they or directories are not known."""
        registers = self._machine.registers()
        if registers.cr4 & Cr4.PAE or not registers.idt_limit:
            return {}
        fixed = {each: self._machine.translate(each) for each in (registers.idt_base, registers.gdt_base)}
        return {} if None in fixed.values() else fixed

    def _pages(self, space: AddressSpace) -> Iterator[Pages]:
        for slot in space.slots():
            if slot.table is not None:
                if (slot.start, slot.table) in self._walked:
                    continue
                self._walked.add((slot.start, slot.table))
            if slot.table is not None or slot.page_size != PAGE_SIZE:
                yield _pages_of(slot)


def _pages_of(slot: Slot) -> Pages:
    """Return what a slot maps; large pages as pages of 4 KiB."""
    entries = np.asarray(slot.entries).astype(np.int64)
    index = np.flatnonzero(entries & PRESENT)
    programs = (entries[index] & slot.rights & _PROGRAMS) == _PROGRAMS
    return Pages(slot.start + (index << _PAGE_BITS), (entries[index] & ADDRESS) >> _PAGE_BITS, programs)
