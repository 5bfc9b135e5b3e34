"""Builds i386 page tables in a guest's RAM (Intel SDM vol. 3A, 4.3)."""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING, Literal

from tests.helpers.guest import machine_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.machine.core.handle import Mmu
    from emulator.machine.machine import Machine
    from emulator.machine.memory import PhysicalMemory

DIRECTORY = 0x0020_0000
FIRST_TABLE = 0x0020_1000
PAGE, LARGE_PAGE = 0x1000, 0x0040_0000
CR0_WP = 1 << 16


class Entry(IntFlag):
    """Bits of an entry."""

    P = 1
    W = 2
    U = 4
    A = 0x20
    D = 0x40
    PS = 0x80


P, W, U, A, D, PS = Entry


class PageTables:
    """A page directory and its tables, which are taken one after the other from FIRST_TABLE on."""

    def __init__(self, memory: PhysicalMemory) -> None:
        self._memory = memory
        self._tables: dict[int, int] = {}

    def map(
        self, linear: int, physical: int, flags: Entry = P | W, *, directory_flags: Entry = P | W | U
    ) -> None:
        """Map one 4 KiB page; flags of the directory entry count where the table is new."""
        index = linear >> 22
        if index not in self._tables:
            self._tables[index] = FIRST_TABLE + PAGE * len(self._tables)
            self._memory.store_u32(DIRECTORY + 4 * index, self._tables[index] | directory_flags)
        self._memory.store_u32(self.table_entry(linear), physical | flags)

    def map_large(self, linear: int, physical: int, flags: Entry = P | W) -> None:
        """Map one 4 MiB page."""
        self._memory.store_u32(self.directory_entry(linear), physical | flags | PS)

    def directory_entry(self, linear: int) -> int:
        """Address of the directory entry that a linear address goes through."""
        return DIRECTORY + 4 * (linear >> 22)

    def table_entry(self, linear: int) -> int:
        """Address of the table entry that a linear address goes through."""
        return self._tables[linear >> 22] + 4 * (linear >> 12 & 0x3FF)

    def bits(self, linear: int) -> tuple[Entry, Entry]:
        """A and D bits on the way to a linear address: of the directory entry and of the table entry."""
        words = [self._memory.load_u32(at) for at in (self.directory_entry(linear), self.table_entry(linear))]
        return Entry(words[0]) & (A | D), Entry(words[1]) & (A | D)


def enable_paging(*, write_protect: bool = True, pse: bool = True) -> str:
    """Assembly that switches paging on."""
    return f"""
        movl    $0x{DIRECTORY:x}, %eax
        movl    %eax, %cr3
        movl    %cr4, %eax
        andl    $~0x10, %eax
        orl     ${0x10 if pse else 0}, %eax
        movl    %eax, %cr4
        movl    %cr0, %eax
        andl    $~0x{CR0_WP:x}, %eax
        orl     $0x{0x80000000 | (CR0_WP if write_protect else 0):x}, %eax
        movl    %eax, %cr0
        jmp     paging_is_on
paging_is_on:
    """


def identity_tables(machine: Machine, pages: Mapping[int, Entry] | None = None) -> PageTables:
    """Map the first 4 MiB of RAM to themselves, in pages of 4 KiB; *pages* have flags of their own."""
    tables = PageTables(machine.memory)
    for page in range(0, LARGE_PAGE, PAGE):
        tables.map(page, page, (pages or {}).get(page, P | W))
    return tables


def paged_machine(
    source: str,
    mmu: Mmu = "fast",
    *,
    write_protect: bool = True,
    pse: bool = True,
    pages: Mapping[int, Entry] | None = None,
) -> tuple[Machine, PageTables]:
    """Return a machine whose guest runs with the first 4 MiB mapped to themselves, and the tables."""
    machine = machine_of(enable_paging(write_protect=write_protect, pse=pse) + source, mmu=mmu)
    return machine, identity_tables(machine, pages)


LARGE_PAE_PAGE = 0x0020_0000
NX = 1 << 63
_FIRST_LEVEL = DIRECTORY
_DIRECTORIES = FIRST_TABLE  # four of them, then the tables
Level = Literal["first", "directory", "table"]


class PaeTables:
    """Page tables of three levels (Intel SDM vol. 3A, 4.4): four entries, four directories, tables as they are needed."""

    def __init__(self, memory: PhysicalMemory) -> None:
        self._memory = memory
        self._tables: dict[int, int] = {}
        for index in range(4):
            self._store(_FIRST_LEVEL + 8 * index, _DIRECTORIES + PAGE * index | P)

    def map(self, linear: int, physical: int, flags: Entry = P | W) -> None:
        """Map one 4 KiB page."""
        index = linear >> 21
        if index not in self._tables:
            self._tables[index] = _DIRECTORIES + PAGE * (4 + len(self._tables))
            self._store(self.entry(linear, "directory"), self._tables[index] | P | W | U)
        self._store(self.entry(linear, "table"), physical | flags)

    def map_large(self, linear: int, physical: int, flags: Entry = P | W) -> None:
        """Map one 2 MiB page."""
        self._store(self.entry(linear, "directory"), physical | flags | PS)

    def add_bits(self, linear: int, level: Level, bits: int) -> None:
        """Set bits in an entry that a linear address goes through."""
        at = self.entry(linear, level)
        self._store(at, self._load(at) | bits)

    def entry(self, linear: int, level: Level) -> int:
        """Address of the entry that a linear address goes through."""
        if level == "first":
            return _FIRST_LEVEL + 8 * (linear >> 30)
        if level == "directory":
            return _DIRECTORIES + 8 * (linear >> 21)
        return self._tables[linear >> 21] + 8 * (linear >> 12 & 0x1FF)

    def bits(self, linear: int) -> tuple[Entry, Entry, Entry | None]:
        """A and D bits on the way to a linear address, from the first level on; None for the table that a large page lacks."""
        first, directory = (self._load(self.entry(linear, level)) for level in ("first", "directory"))
        table = None if directory & PS else Entry(self._load(self.entry(linear, "table")) & (A | D))
        return Entry(first & (A | D)), Entry(directory & (A | D)), table

    def _store(self, at: int, entry: int) -> None:
        self._memory.store_words(at, (entry & 0xFFFF_FFFF, entry >> 32))

    def _load(self, at: int) -> int:
        low, high = self._memory.load_words(at, 2)
        return low | high << 32


def enable_pae() -> str:
    """Assembly that switches paging of three levels on, with write protection for the supervisor."""
    return f"""
        movl    ${_FIRST_LEVEL}, %eax
        movl    %eax, %cr3
        movl    $0x20, %eax
        movl    %eax, %cr4
        movl    %cr0, %eax
        orl     $0x{0x80000000 | CR0_WP:x}, %eax
        movl    %eax, %cr0
        jmp     paging_is_on
paging_is_on:
    """
