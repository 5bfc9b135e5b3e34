"""An address space: what a set of page tables makes of linear addresses.

Theory. Page tables lie in memory, and an `AddressSpace` reads them there whenever it is asked; it keeps nothing, so that what it says is what memory says
now. A CPU may still use translations that it remembers from before a change (its TLB): those are not seen here. What cannot be followed maps
nothing, and `AddressSpace.problems` says where and why.

Source: Intel SDM volume 3A, 4.3, 4.4 (translation), 4.6 (rights).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.mappings import (
    BadEntry,
    MappedRange,
    Mapping,
    TableFrame,
    joined,
    mapping_in,
    range_of,
    ranges_in,
)
from kernel_model.page_tables import ADDRESS, PAGE_BYTES, PRESENT, PaeTables, Problem, Slot, Tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kernel_model.page_tables import Viewed

LINEAR_END: Final = 1 << 32
"""The end of all linear addresses."""

_OFFSET: Final = PAGE_BYTES - 1
_PAGE_LOG2: Final = 12


class AddressSpace:
    """What page tables map.

    Args:
        memory: Physical memory, where they lie.
        page_directory: Physical address of the page directory, as in CR3: the bits below it are ignored. None: paging is off, and every linear
            address is the physical one.
        pse: Whether there are pages of 4 MiB (CR4.PSE).
        pae: Whether the tables have three levels (CR4.PAE); *page_directory* is then that of the four entries of the first.
        nx: Whether entries can forbid execution (EFER.NXE); only with *pae*.
        ram: Physical ranges `[start, end)` in which tables may lie; None: all of *memory*.
    """

    __slots__ = ("_tables", "page_directory")

    def __init__(
        self,
        memory: Viewed,
        page_directory: int | None,
        *,
        pse: bool = True,
        pae: bool = False,
        nx: bool = False,
        ram: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self._tables: Tables | None = None
        if page_directory is None:
            self.page_directory = None
        elif pae:
            self.page_directory = page_directory & 0xFFFF_FFE0
            self._tables = PaeTables(memory, self.page_directory, ram, nx=nx)
        else:
            self.page_directory = page_directory & 0xFFFF_F000
            self._tables = Tables(memory, self.page_directory, ram, pse=pse)

    @property
    def is_paged(self) -> bool:
        """Whether there are page tables; False while paging is off."""
        return self._tables is not None

    def translate(self, linear: int) -> int | None:
        """Return the physical address of a linear one, or None where nothing is mapped.

        Raises:
            ValueError: There is no such linear address.
        """
        return self.translate_all((linear,))[0]

    def translate_all(self, addresses: Iterable[int]) -> list[int | None]:
        """Translate many addresses: about a million in a third of a second.

        Args:
            addresses: Linear, in any order.

        Raises:
            ValueError: There is no such linear address.
        """
        tables = self._tables
        if tables is None:
            return [_checked(linear) for linear in addresses]
        shift, fatal = tables.slot_log2, tables.fatal
        page_mask = (1 << shift - _PAGE_LOG2) - 1
        slots: dict[int, Sequence[int]] = {}
        result: list[int | None] = []
        for linear in addresses:
            entries = slots.get(linear >> shift)
            if entries is None:
                entries = slots[linear >> shift] = tables.slot(_checked(linear) >> shift).entries
            entry = entries[linear >> _PAGE_LOG2 & page_mask]
            result.append(entry & ADDRESS | linear & _OFFSET if entry & fatal == PRESENT else None)
        return result

    def mapping(self, linear: int) -> Mapping | None:
        """Return how the page of a linear address is mapped, or None where nothing is.

        Raises:
            ValueError: There is no such linear address.
        """
        tables = self._tables
        if tables is None:
            page = _checked(linear) & ~_OFFSET
            return Mapping(page, page, PAGE_BYTES, True, True, False, False, False, False, 0, 0)  # noqa: FBT003 - nothing else is short
        slot = tables.slot(_checked(linear) >> tables.slot_log2)
        return mapping_in(slot, 0 if slot.table is None else linear - slot.start >> _PAGE_LOG2, tables)

    def mappings(self, start: int = 0, end: int = LINEAR_END) -> Iterator[Mapping]:
        """Yield each page that is mapped and has a byte in [start, end), by linear address. Without paging there is none.

        Args:
            start: Linear.
            end: Linear, up to 4 GiB.
        """
        for slot in self.slots():
            if slot.start >= end or slot.start + self.slot_bytes <= start or self._tables is None:
                continue
            first, stop = 0, 1
            if slot.table is not None:
                first = max(start - slot.start, 0) >> _PAGE_LOG2
                stop = min(end - slot.start + _OFFSET >> _PAGE_LOG2, len(slot.entries))
            for index in range(first, stop):
                mapping = mapping_in(slot, index, self._tables)
                if mapping is not None:
                    yield mapping

    def ranges(self, *, contiguous: bool = False) -> Iterator[MappedRange]:
        """Yield what is mapped, by linear address, in the longest pieces with the same rights and size of page.

        Args:
            contiguous: End a piece where the frames do not follow each other, too, so that each has a physical address.
        """
        if self._tables is None:
            yield MappedRange(0, LINEAR_END, 0, writable=True, user=True)
            return
        pieces = (piece for slot in self.slots() for piece in self.pieces(slot))
        yield from joined(pieces, contiguous=contiguous)

    def tables(self) -> Iterator[TableFrame]:
        """Yield the frames that directories and tables take, each once: those of directories first."""
        if self._tables is None:
            return
        found = dict.fromkeys(self._tables.levels())
        for slot in self._tables.slots():
            if slot.table is not None:
                found.setdefault(slot.table, slot.start)
        for frame, start in found.items():
            yield TableFrame(frame, start)

    def recursive(self) -> list[int]:
        """Return the linear addresses at which a directory is mapped as if it were a table, and so the tables as pages."""
        if self._tables is None:
            return []
        levels = {*self._tables.levels()}
        return [slot.start for slot in self.slots() if slot.table in levels]

    def problems(self) -> Iterator[BadEntry]:
        """Yield the present entries that map nothing, by linear address, and large pages above all memory."""
        tables = self._tables
        if tables is None:
            return
        size = self.slot_bytes
        for slot in tables.slots():
            if slot.problem is not None:
                yield BadEntry(slot.start, slot.start + size, slot.entry_at, slot.entry, slot.problem)
            elif slot.table is not None and tables.fatal != PRESENT:
                for index, entry in enumerate(slot.entries):
                    if entry & PRESENT and entry & tables.fatal != PRESENT:
                        start = slot.start + index * PAGE_BYTES
                        at = slot.table + index * tables.entry_bytes
                        yield BadEntry(start, start + PAGE_BYTES, at, entry, Problem.RESERVED)

    def slots(self) -> Iterator[Slot]:
        """Yield what each directory entry that is present maps, by linear address; nothing without paging."""
        return iter(()) if self._tables is None else self._tables.slots()

    @property
    def slot_bytes(self) -> int:
        """Bytes of linear addresses that one directory entry decides over."""
        return LINEAR_END if self._tables is None else 1 << self._tables.slot_log2

    def pieces(self, slot: Slot) -> Iterator[MappedRange]:
        """Yield what a slot of this space maps, in pieces whose frames follow each other."""
        if slot.page_size != PAGE_BYTES:
            yield range_of(slot, slot.start, slot.start + slot.page_size, slot.entries[0])
        elif slot.table is not None and self._tables is not None:
            yield from ranges_in(slot, self._tables.fatal)


def _checked(linear: int) -> int:
    if not 0 <= linear < LINEAR_END:
        raise ValueError(f"0x{linear:x} is no linear address")
    return linear
