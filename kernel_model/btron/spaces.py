"""Address spaces of tasks: their page directories, and the regions of user space in them.

Theory. Each task has a page directory of its own; its upper half, kernel space, is a copy of that of ``page_directory``.
``space_table``, by the id of the task, holds the directory's physical address and eight slots for regions. A region is a
range of whole pages with a permission and counts what is mapped in it; `kernel_model.btron.user_pages` does the mapping.

Shortcoming. The slots are believed, except that a region has to be in user space: C would take kernel space's entries for tables.

Source: spec 2.5 and 2.6.
"""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.audit import BrokenStructure, Defect, Invariant, variable
from kernel_model.btron.errors import BtronError, Error
from kernel_model.btron.kernel_space import KERNEL_BASE, physical
from kernel_model.btron.pmem import MAX_SIZE
from kernel_model.btron.tcb import MAX_TASKS
from kernel_model.btron.user_pages import PAGE_USER, PAGE_WRITABLE, UserPages
from kernel_model.page_tables import PAGE_BYTES
from kernel_model.structs import REGION, SPACE_BYTES, SPACE_REGIONS, WORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.audit import Location
    from kernel_model.btron.pmem import Pmem
    from kernel_model.cpu import Cpu
    from kernel_model.memory import Memory

_HALF: Final = PAGE_BYTES // 2
_REGION_WORDS: Final = len(REGION.fields)
_SIZE: Final = REGION.offset("size")
_PERMISSION: Final = REGION.offset("permission")
_WORD_MASK: Final = 0xFFFF_FFFF

_IN_USER_SPACE: Final = Invariant(
    "region-in-user-space", "[0x{:08x}, 0x{:08x}) is no range of pages of user space"
)


class Permission(IntFlag):
    """``VPROT_*``: what may be done with the pages of a region."""

    READ = 1
    WRITE = 2
    EXEC = 4
    USER = 0x1_0000
    """Ring 3 may do it, too."""
    STACK = 0x2_0000
    """Without a handler, the region grows by the page touched."""


class Region(NamedTuple):
    """A region in use.

    Attributes:
        at: Physical address of its ``struct region``.
        start: First address, a page's.
        min_size: Bytes, as are all sizes: whole pages.
        max_size: Not 0.
        permission: Bits of `Permission`.
        handle: Kernel address of the function that is asked about page faults, or 0.
        size: Of what is mapped.
    """

    at: int
    start: int
    min_size: int
    max_size: int
    permission: int
    handle: int
    size: int

    @property
    def end(self) -> int:
        """First address after it."""
        return self.start + self.max_size


class Spaces:
    """The address spaces of all tasks, ``space_table``.

    Args:
        memory: Physical guest memory.
        table: Physical address of ``space_table``.
        kernel_directory: Physical address of ``page_directory``.
        pmem: Gives pages and takes them back.
        cpu: Runs the kernel.

    Attributes:
        table: As above.
        kernel_directory: As above.
        pages: What is mapped in user spaces.
    """

    def __init__(self, memory: Memory, table: int, kernel_directory: int, pmem: Pmem, cpu: Cpu) -> None:
        self._memory = memory
        self.table = table
        self.kernel_directory = kernel_directory
        self._pmem = pmem
        self.pages = UserPages(memory, pmem, cpu)

    # What the guest calls.

    def create(self, task: int) -> None:
        """Make an address space whose user half is empty. C: ``space_create``.

        Raises:
            BtronError: E_ID; E_OBJ: the task has one; E_NOMEM.
        """
        check_task_id(task)
        if self.directory(task):
            raise BtronError(Error.E_OBJ)
        page = self._pmem.alloc(PAGE_BYTES)
        if not page:
            raise BtronError(Error.E_NOMEM)
        kernel_half = self._memory.read(self.kernel_directory + _HALF, _HALF)
        self._memory.write(physical(page), bytes(_HALF) + kernel_half)
        self._memory.store_u32(self._space(task), physical(page))

    def clear(self, task: int) -> None:
        """Delete all regions of a task. C: ``space_clear``. A task without a space is left alone."""
        if _is_task_id(task):
            for region in list(self.regions(task)):
                self.remove(task, region)

    def delete(self, task: int) -> None:
        """Delete all regions of a task, and its space. C: ``space_delete``. The CPU does not use its directory."""
        if not _is_task_id(task) or not self.directory(task):
            return
        self.clear(task)
        self.pages.give_back(self.directory(task))
        self._memory.store_u32(self._space(task), 0)

    def directory_in_use(self, task: int) -> int:
        """Return what CR3 has to be while a task runs. C: ``space_directory``."""
        return (_is_task_id(task) and self.directory(task)) or self.kernel_directory

    def check(self, task: int, start: int, size: int, permission: int) -> None:
        """Accept a range of user space, of *size* >= 0 bytes, that lies in regions with all of *permission*. C: ``space_check``.

        Raises:
            BtronError: E_MACV: it is none.
        """
        if not _is_task_id(task) or start >= KERNEL_BASE or size > min(MAX_SIZE, KERNEL_BASE - start):
            raise BtronError(Error.E_MACV)
        end = start + size
        while start < end:
            region = self.region_at(task, start)
            if region is None or permission & ~region.permission:
                raise BtronError(Error.E_MACV)
            start = region.end

    def grow(self, task: int, address: int) -> None:
        """Map a cleared page where a task has touched a region with `Permission.STACK`. C: ``region_grow``.

        Raises:
            BtronError: E_PAR: there is no such region, or the page is mapped; E_NOMEM.
        """
        page = address - address % PAGE_BYTES
        region = self.region_at(task, page) if _is_task_id(task) else None
        if region is None or not region.permission & Permission.STACK:
            raise BtronError(Error.E_PAR)
        directory = self.directory(task)
        if self.pages.is_mapped(directory, page):
            raise BtronError(Error.E_PAR)
        self.pages.add(directory, page, protection_of(region.permission))
        self.add_size(region, PAGE_BYTES)

    def entry(self, task: int, address: int) -> int:
        """Return the entry of the page table that maps a user address; 0: it is not mapped. C: ``space_entry``."""
        if not _is_task_id(task) or not self.directory(task) or address >= KERNEL_BASE:
            return 0
        return self.pages.word(self.directory(task), address)

    # What regions are made of. Ids are those of tasks.

    def directory(self, task: int) -> int:
        """Return the physical address of a task's page directory; 0: it has no space."""
        return self._memory.load_u32(self._space(task))

    def slots(self, task: int) -> range:
        """Return the physical addresses of the slots for regions."""
        first = self._space(task) + WORD
        return range(first, first + REGION.size * SPACE_REGIONS, REGION.size)

    def regions(self, task: int) -> Iterator[Region]:
        """Yield the regions in use, by slot.

        Raises:
            BrokenStructure: One is not in user space.
        """
        for slot, at in enumerate(self.slots(task)):
            start, least, most, permission, handle, size = self._memory.load_words(at, _REGION_WORDS)
            if not most:
                continue
            if (start | most) % PAGE_BYTES or start + most > KERNEL_BASE:
                location = region_location(task, slot, at).member(REGION, "max_size")
                raise BrokenStructure(Defect(_IN_USER_SPACE, "", location, most, (start, start + most)))
            yield Region(at, start, least, most, permission, handle, size)

    def region_at(self, task: int, address: int) -> Region | None:
        """Return the region that an address is in."""
        return next((each for each in self.regions(task) if each.start <= address < each.end), None)

    def remove(self, task: int, region: Region) -> None:
        """Unmap what a region holds, and free its slot."""
        self.pages.unmap(self.directory(task), region.start, region.end)
        self._memory.store_words(region.at, (0,) * _REGION_WORDS)

    def store(self, region: Region) -> None:
        """Write a region into its slot."""
        self._memory.store_words(region.at, region[1:])

    def add_size(self, region: Region, size: int) -> None:
        """Count *size* bytes more, or fewer, as mapped."""
        self._memory.store_u32(region.at + _SIZE, region.size + size & _WORD_MASK)

    def set_permission(self, region: Region, permission: int) -> None:
        """Give a region another permission. The pages have theirs."""
        self._memory.store_u32(region.at + _PERMISSION, permission)

    def _space(self, task: int) -> int:
        """Return the physical address of a task's ``struct space``."""
        return self.table + SPACE_BYTES * task


def protection_of(permission: int) -> int:
    """Return bits of `Permission` as bits of a page's entry."""
    writable, user = permission & Permission.WRITE, permission & Permission.USER
    return PAGE_WRITABLE * bool(writable) | PAGE_USER * bool(user)


def region_location(task: int, slot: int, address: int) -> Location:
    """Return the location of a slot for a region, at a physical address."""
    return variable(f"space_table[{task}].regions", address, REGION.size, item=slot)


def check_task_id(task: int) -> None:
    """Accept what may be the id of a task.

    Raises:
        BtronError: E_ID: it is none.
    """
    if not _is_task_id(task):
        raise BtronError(Error.E_ID)


def _is_task_id(task: int) -> bool:
    return 1 <= task <= MAX_TASKS
