"""The audit of BTRON/386's address spaces: page tables against regions and against the owners of pages.

Theory. All that user space takes comes from pmem: a directory for each task, tables, and pages, of which each mapping is an
owner. A page lies in a region of its task and grants no more than this does. A region counts the bytes that are mapped in it.
Everything happens with interrupts off, so all of this holds while they are on.

Source: spec 2.2, 2.5 and 2.6.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.audit import Defect, Invariant, variable
from kernel_model.btron.page_reader import is_in_memory
from kernel_model.btron.pages import FLAG_NAMES, PMEM_USE
from kernel_model.btron.pmem import AREA
from kernel_model.btron.spaces import Permission
from kernel_model.btron.tcb import MAX_TASKS
from kernel_model.page_tables import PAGE_BYTES, USER, WRITABLE
from kernel_model.structs import PMEM_ENTRY, REGION, SPACE_BYTES, SPACE_REGIONS, WORD
from kernel_model.table_audit import FREE_DIRECTORY, TableAudit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.audit import Location
    from kernel_model.btron.pmem import Pmem
    from kernel_model.memory import Memory
    from kernel_model.table_audit import MappedPage

_USER_SLOTS: Final = range(512)
_RIGHTS: Final = (  # an entry's bit, what a region has for it, what it allows
    (WRITABLE, Permission.WRITE, "writing"),
    (USER, Permission.USER, "access from ring 3"),
)

_OWNERS: Final = Invariant("map-owners", "page 0x{:05x} is mapped {} times, but has {}", of_mapping=True)
_NO_REGION: Final = Invariant("map-no-region", "the page is in no region of the task", of_mapping=True)
_PERMISSION: Final = Invariant(
    "map-permission", "allows {}, which the region at 0x{:08x} does not", of_mapping=True
)
_SIZE: Final = Invariant("map-region-size", "0x{:08x} bytes are mapped in the region", of_mapping=True)


class _Region(NamedTuple):
    """A region of a task, and where its record lies."""

    task: int
    slot: int
    address: int
    start: int
    end: int
    permission: int
    size: int

    def member(self, name: str) -> Location:
        """Return the location of a member of the record."""
        at = self.address + REGION.offset(name)
        whole = variable("space_table", at, WORD, item=self.task)
        return whole._replace(field=f"regions[{self.slot}].{name}")


class SpaceAudit:
    """The audit of all spaces at one moment.

    Args:
        memory: Physical memory.
        memory_size: Its bytes.
        space_table: Physical address of ``space_table``.
        pmem: The model of the pages; only read from.
    """

    def __init__(self, memory: Memory, memory_size: int, space_table: int, pmem: Pmem) -> None:
        self._memory = memory
        self._space_table = space_table
        self._pmem_table, self._page_count = pmem.table(), pmem.pages()
        if not is_in_memory(self._pmem_table, self._page_count, memory_size):
            self._page_count = 0  # a defect of the table, and none of a page
        self._mapped: list[MappedPage] = []
        self._defects: list[Defect] = []

    def defects(self) -> list[Defect]:
        """Return what is wrong, task by task, and what is mapped more often than it has owners."""
        if self._page_count:
            for task in range(1, MAX_TASKS + 1):
                self._check_space(task)
            self._defects += self._owner_defects()
        return self._defects

    def _check_space(self, task: int) -> None:
        address = self._space_table + SPACE_BYTES * task
        directory = self._memory.load_u32(address)
        if not directory:
            return
        reason = self._unused(directory // PAGE_BYTES)
        if reason:
            location = variable("space_table", address, WORD, item=task)._replace(field="directory")
            self._defects.append(Defect(FREE_DIRECTORY, AREA, location, directory, (reason,)))
            return
        audit = TableAudit(self._memory, directory, _USER_SLOTS, AREA, task, self._unused)
        regions = list(self._regions(task, address + WORD))
        mapped: Counter[_Region] = Counter()
        for page in audit.pages():
            self._mapped.append(page)
            region = next((each for each in regions if each.start <= page.linear < each.end), None)
            self._defects += _page_defects(page, region)
            if region is not None:
                mapped[region] += PAGE_BYTES
        self._defects += audit.defects
        for region in regions:
            if region.size != mapped[region]:
                location = region.member("size")
                self._defects.append(Defect(_SIZE, AREA, location, region.size, (mapped[region],)))

    def _regions(self, task: int, address: int) -> Iterator[_Region]:
        for slot in range(SPACE_REGIONS):
            at = address + REGION.size * slot
            start, _, max_size, permission, _, size = self._memory.load_words(at, REGION.size // WORD)
            if max_size:
                yield _Region(task, slot, at, start, start + max_size, permission, size)

    def _unused(self, page: int, _linear: int | None = None) -> str:
        """Return what is wrong with a page that a space uses; "" if nothing is."""
        flag, _ = self._entry(page)
        if flag == PMEM_USE:
            return ""
        return f"page 0x{page:05x}, which is {FLAG_NAMES.get(flag, 'no RAM')}"

    def _entry(self, page: int) -> tuple[int, int]:
        """Return flag and refcount of a page; (-1, 0) outside RAM."""
        if page >= self._page_count:
            return -1, 0
        flag, refcount = self._memory.load_words(self._pmem_table + PMEM_ENTRY.size * page, 2)
        return flag, refcount

    def _owner_defects(self) -> Iterator[Defect]:
        """Yield one defect for each page with fewer owners than mappings, at the last of its entries."""
        times = Counter(page.frame for page in self._mapped)
        last = {page.frame: page for page in self._mapped if times[page.frame] > 1}
        for frame, page in last.items():
            flag, owners = self._entry(frame)
            if flag == PMEM_USE and owners < times[frame]:
                text = "1 owner" if owners == 1 else f"{owners} owners"
                yield Defect(_OWNERS, AREA, page.location, page.entry, (frame, times[frame], text))


def _page_defects(page: MappedPage, region: _Region | None) -> Iterator[Defect]:
    if region is None:
        yield Defect(_NO_REGION, AREA, page.location, page.entry)
        return
    for bit, permission, text in _RIGHTS:
        if page.rights & bit and not region.permission & permission:
            yield Defect(_PERMISSION, AREA, page.location, page.entry, (text, region.start))
