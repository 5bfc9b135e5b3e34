"""What every kernel's page tables have to keep, whoever it is that frames come from.

Theory. A directory entry leads to a table, and a table that maps nothing is given back. A frame that a table takes, or that is
mapped, is in use: else it is handed out to somebody else, who then shares it without knowing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.audit import Defect, Invariant, table_entry
from kernel_model.page_tables import ADDRESS, PAGE_BYTES, PRESENT, Tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kernel_model.audit import Location
    from kernel_model.memory import Memory
    from kernel_model.page_tables import Slot

FREE_DIRECTORY: Final = Invariant("map-free-directory", "the page directory lies in {}", of_mapping=True)
NO_TABLE: Final = Invariant("map-no-table", "{}", of_mapping=True)
EMPTY_TABLE: Final = Invariant("map-empty-table", "a table that maps nothing is kept", of_mapping=True)
FREE_TABLE: Final = Invariant("map-free-table", "the table lies in {}", of_mapping=True)
FREE_PAGE: Final = Invariant("map-free-page", "maps {}", of_mapping=True)


class MappedPage(NamedTuple):
    """A page of 4 KiB that a table maps.

    Attributes:
        linear: Its linear address.
        frame: Number of the frame.
        entry: The table's entry.
        entry_at: Physical address of the entry.
        rights: `WRITABLE` and `USER`, as far as both levels grant them.
        task: Whose tables they are; None: there is one space only.
    """

    linear: int
    frame: int
    entry: int
    entry_at: int
    rights: int
    task: int | None = None

    @property
    def location(self) -> Location:
        """The entry."""
        return table_entry(self.linear, self.entry_at, self.task)


class TableAudit:
    """Reads some tables of one directory, and notes what is wrong with them.

    Args:
        memory: Physical memory.
        directory: Physical address of the page directory.
        slots: Which of its entries to read; all of these lead to tables of 4 KiB pages.
        area: The area of the profile that frames belong to.
        task: Whose tables they are; None: there is one space only.
        unused: Returns what is wrong with a frame that a table takes, or that is mapped at a linear address; "" if nothing is.
    """

    def __init__(
        self,
        memory: Memory,
        directory: int,
        slots: Iterable[int],
        area: str,
        task: int | None,
        unused: Callable[[int, int | None], str],
    ) -> None:
        self._tables = Tables(memory, directory, None, pse=False)
        self._slots = slots
        self._area = area
        self._task = task
        self._unused = unused
        self.defects: list[Defect] = []

    def pages(self) -> Iterator[MappedPage]:
        """Yield the pages that are mapped; afterwards `defects` is whole."""
        for index in self._slots:
            slot = self._tables.slot(index)
            if slot.problem is not None:
                self._note(NO_TABLE, slot, slot.problem.value)
            elif slot.table is not None:
                yield from self._pages(slot, slot.table)

    def _pages(self, slot: Slot, table: int) -> Iterator[MappedPage]:
        reason = self._unused(table // PAGE_BYTES, None)
        if reason:
            self._note(FREE_TABLE, slot, reason)
        if not any(slot.entries):
            self._note(EMPTY_TABLE, slot)
        for index, entry in enumerate(slot.entries):
            if entry & PRESENT:
                linear, entry_at = slot.start + PAGE_BYTES * index, table + self._tables.entry_bytes * index
                frame = (entry & ADDRESS) // PAGE_BYTES
                page = MappedPage(linear, frame, entry, entry_at, entry & slot.rights, self._task)
                self._check_frame(page)
                yield page

    def _check_frame(self, page: MappedPage) -> None:
        reason = self._unused(page.frame, page.linear)
        if reason:
            self.defects.append(Defect(FREE_PAGE, self._area, page.location, page.entry, (reason,)))

    def _note(self, invariant: Invariant, slot: Slot, *values: str) -> None:
        location = table_entry(slot.start, slot.entry_at, self._task, of_directory=True)
        self.defects.append(Defect(invariant, self._area, location, slot.entry, values))
