"""Page tables of the i386 in memory, read entry by entry.

Theory. A directory entry decides over a *slot* of linear addresses: 4 MiB with tables of two levels, 2 MiB with three (PAE). It maps the slot
as one large page, names the table that maps it page by page, or maps nothing. `Slot.entries` is the same for all of these: one entry for each page of
4 KiB, whose bits mean what those of a table's entry do. For a table it is a view of memory; a large page's entries are counted up from the
directory's.

Nothing is followed that is not memory of the kind that tables lie in. An entry that names such a table is *bad*: it maps nothing here, and `Slot.problem` says why.

Shortcomings. Gate A20 is open. With PAE, a CPU reads the four entries of the first level when CR3 is loaded; here they are read when they are used.

Source: Intel SDM volume 3A, 4.3 and 4.4, tables 4-4 to 4-11.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from kernel_model.memory import OutsideMemory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE_BYTES: Final = 4096
PRESENT, WRITABLE, USER = 1, 2, 4
ACCESSED, DIRTY, LARGE, GLOBAL = 1 << 5, 1 << 6, 1 << 7, 1 << 8
NO_EXECUTE: Final = 1 << 63  # of an entry of 8 bytes
ADDRESS: Final = 0xFF_FFFF_F000
"""The bits of an entry that are an address. A directory entry of a large page has others, too (PSE-36), which `Slot.entries` has put in order."""

_FLAGS: Final = 0xFFF
_TOO_HIGH: Final = 0x7FFF_FF00_0000_0000  # addresses have 40 bits
_FIRST_LEVEL_RESERVED: Final = _TOO_HIGH | NO_EXECUTE
_FOUR_GIB: Final = 1 << 32


class Problem(Enum):
    """Why an entry maps nothing although it is present, or more than there is."""

    OUTSIDE = "the table lies outside memory"
    NOT_RAM = "the table does not lie in RAM"
    RESERVED = "a reserved bit is set"
    ABOVE_4_GIB = "the page lies above 4 GiB"


class Viewed(Protocol):
    """What page tables are read from: a `kernel_model.memory.Memory`, or anything else that can show bytes."""

    def view(self, address: int, size: int) -> memoryview:
        """See `kernel_model.memory.Memory.view`."""


class Slot(NamedTuple):
    """What one directory entry maps.

    Attributes:
        start: First linear address.
        entry_at: Physical address of the directory entry; of the first level's where that decides.
        entry: Its value.
        entries: One for each page, bits as in a table; all 0 where nothing is mapped.
        rights: `WRITABLE` and `USER`, as far as the directory entry grants them, and `NO_EXECUTE` if it forbids that.
        table: Physical address of the table; None: there is none.
        page_size: Bytes of a page: 4 KiB, or the whole slot.
        problem: What is wrong with the directory entry.
    """

    start: int
    entry_at: int
    entry: int
    entries: Sequence[int]
    rights: int = 0
    table: int | None = None
    page_size: int = PAGE_BYTES
    problem: Problem | None = None


class Tables:
    """Tables of two levels: 1024 entries of 4 bytes each.

    Args:
        memory: Where they lie.
        top: Physical address of the first level, aligned.
        ram: Ranges `[start, end)` in which tables may lie; None: all of *memory*.
        pse: Whether bit 7 of a directory entry means a large page.
    """

    entry_bytes = 4
    slot_log2 = 22
    fatal = (
        PRESENT  # of an entry: those bits that decide whether it maps a page; it does with `PRESENT` alone
    )

    def __init__(
        self, memory: Viewed, top: int, ram: Sequence[tuple[int, int]] | None, *, pse: bool = True
    ) -> None:
        self.memory = memory
        self.top = top
        self._ram = ram
        self._pse = pse
        self._nothing = bytes(1 << self.slot_log2 - 12)

    def slot(self, index: int) -> Slot:
        """Return what lies in the slot *index*, from 0."""
        directory, problem = self.words(self.top)
        if directory is None:
            return self._empty(index, self.top, 0, problem)
        return self._slot(index, self.top + 4 * index, directory[index])

    def slots(self) -> Iterator[Slot]:
        """Yield the slots whose directory entries are present, by address; one with a problem if there is no directory."""
        directory, problem = self.words(self.top)
        if directory is None:
            yield self._empty(0, self.top, 0, problem)
            return
        for index, entry in enumerate(directory):
            if entry & PRESENT:
                yield self._slot(index, self.top + 4 * index, entry)

    def levels(self) -> Iterator[int]:
        """Yield the physical addresses of what lies above the tables."""
        yield self.top

    def words(self, at: int) -> tuple[Sequence[int], None] | tuple[None, Problem]:
        """Return the entries of the table at a physical address, or why there are none."""
        try:
            view = self.memory.view(at, PAGE_BYTES)
        except OutsideMemory:
            return None, Problem.OUTSIDE
        if self._ram is not None and not any(
            start <= at and at + PAGE_BYTES <= end for start, end in self._ram
        ):
            return None, Problem.NOT_RAM
        return view.cast("I" if self.entry_bytes == 4 else "Q"), None  # noqa: PLR2004 - one of two sizes

    def _slot(self, index: int, entry_at: int, entry: int) -> Slot:
        if not entry & PRESENT:
            return self._empty(index, entry_at, entry, None)
        if entry & LARGE and self._pse:
            if entry & 1 << 21:
                return self._empty(index, entry_at, entry, Problem.RESERVED)
            page = entry & 0xFFC0_0000 | (entry & 0x001F_E000) << 19  # bits 39 to 32 of the address (PSE-36)
            return self._large(index, entry_at, entry, page)
        return self._with_table(index, entry_at, entry)

    def _with_table(self, index: int, entry_at: int, entry: int) -> Slot:
        table = entry & ADDRESS
        entries, problem = self.words(table)
        if entries is None:
            return self._empty(index, entry_at, entry, problem)
        rights = entry & (WRITABLE | USER | NO_EXECUTE)
        return Slot(index << self.slot_log2, entry_at, entry, entries, rights, table)

    def _large(self, index: int, entry_at: int, entry: int, page: int) -> Slot:
        size = 1 << self.slot_log2
        flags = entry & (_FLAGS | NO_EXECUTE)
        entries = range(page | flags, (page | flags) + size, PAGE_BYTES)
        problem = Problem.ABOVE_4_GIB if page >= _FOUR_GIB else None
        rights = entry & (WRITABLE | USER | NO_EXECUTE)
        return Slot(index << self.slot_log2, entry_at, entry, entries, rights, None, size, problem)

    def _empty(self, index: int, entry_at: int, entry: int, problem: Problem | None) -> Slot:
        return Slot(index << self.slot_log2, entry_at, entry, self._nothing, problem=problem)


class PaeTables(Tables):
    """Tables of three levels: four entries, then 512 entries of 8 bytes each.

    Args:
        memory: Where they lie.
        top: Physical address of the first level, a multiple of 32.
        ram: See `Tables`.
        nx: Whether bit 63 forbids execution; otherwise it is reserved.
    """

    entry_bytes = 8
    slot_log2 = 21

    def __init__(
        self, memory: Viewed, top: int, ram: Sequence[tuple[int, int]] | None, *, nx: bool = False
    ) -> None:
        super().__init__(memory, top, ram)
        self._reserved = _TOO_HIGH | (0 if nx else NO_EXECUTE)
        self.fatal = PRESENT | self._reserved

    def slot(self, index: int) -> Slot:
        """See `Tables.slot`."""
        at, first, directory, problem = self._directory(index >> 9)
        if directory is None:
            return self._empty(index, at, first, problem)
        return self._slot(index, (first & ADDRESS) + 8 * (index & 511), directory[index & 511])

    def slots(self) -> Iterator[Slot]:
        """See `Tables.slots`."""
        for quarter in range(4):
            at, first, directory, problem = self._directory(quarter)
            if problem is not None:
                yield self._empty(quarter << 9, at, first, problem)
            for index, entry in enumerate(directory or ()):
                if entry & PRESENT:
                    yield self._slot(quarter << 9 | index, (first & ADDRESS) + 8 * index, entry)

    def levels(self) -> Iterator[int]:
        """See `Tables.levels`."""
        yield self.top & ~(PAGE_BYTES - 1)
        for quarter in range(4):
            _, first, directory, _ = self._directory(quarter)
            if directory is not None:
                yield first & ADDRESS

    def _directory(self, quarter: int) -> tuple[int, int, Sequence[int] | None, Problem | None]:
        """Return of one entry of the first level: its address, its value, the directory, and why there is none although there should be."""
        at = self.top + 8 * quarter
        first_level, problem = self.words(self.top & ~(PAGE_BYTES - 1))
        if first_level is None:
            return at, 0, None, problem
        first = first_level[(at & PAGE_BYTES - 1) >> 3]
        if not first & PRESENT:
            return at, first, None, None
        if first & _FIRST_LEVEL_RESERVED:
            return at, first, None, Problem.RESERVED
        return at, first, *self.words(first & ADDRESS)

    def _slot(self, index: int, entry_at: int, entry: int) -> Slot:
        if not entry & PRESENT:
            return self._empty(index, entry_at, entry, None)
        if entry & self._reserved or (entry & LARGE and entry & 0x001F_E000):
            return self._empty(index, entry_at, entry, Problem.RESERVED)
        if entry & LARGE:
            return self._large(index, entry_at, entry, entry & ADDRESS & ~0x001F_FFFF)
        return self._with_table(index, entry_at, entry)
