"""Layer 4: regions of user space, the nine ``v*_reg`` calls.

Theory. A region says what a range of addresses means to a task; pages are mapped into it later, any of it, in any order. Each
mapping owns its page once, so pages can be shared. A page gets a permission when it is mapped, and another when the region
does. A call that maps checks everything else first, maps in ascending order, and takes all of it back when no page is left.

Errors come in the order E_ID, E_PAR for arguments that are wrong by themselves, E_NOEXS, E_PAR for what is not in a region,
E_OBJ, E_NOMEM.

Source: spec 2.5; docs/decisions/0017.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.btron.errors import BtronError, Error
from kernel_model.btron.kernel_space import ADDRESS_SPACE, KERNEL_BASE, check_pointer, physical, virtual
from kernel_model.btron.pmem import MAX_SIZE
from kernel_model.btron.spaces import Permission, Region, check_task_id, protection_of
from kernel_model.btron.user_pages import PAGE_USER, PAGE_WRITABLE, frame
from kernel_model.page_tables import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.btron.spaces import Spaces
    from kernel_model.btron.tasks import Tasks
    from kernel_model.memory import Memory

_WRITE: Final = int(Permission.WRITE)
_ACCESSES: Final = int(Permission.READ | Permission.WRITE | Permission.EXEC)
_KNOWN: Final = _ACCESSES | int(Permission.USER | Permission.STACK)


class Regions:
    """The regions of all tasks. Addresses are user addresses unless they are called kernel addresses.

    Args:
        memory: Physical guest memory.
        spaces: What the regions are in.
        tasks: The tasks.
    """

    def __init__(self, memory: Memory, spaces: Spaces, tasks: Tasks) -> None:
        self._memory = memory
        self._spaces = spaces
        self._pages = spaces.pages
        self._tasks = tasks

    def create(self, task: int, start: int, least: int, most: int, permission: int, handle: int) -> None:
        """Make a region. C: ``vcre_reg``.

        Args:
            task: Id.
            start: Any address in the first page.
            least: Bytes from *start* that it promises to hold.
            most: Bytes from *start* that it can hold.
            permission: Bits of `Permission`.
            handle: Kernel address of a function that is asked about page faults, or 0.

        Raises:
            BtronError: E_ID, E_PAR, E_NOEXS; E_OBJ: it overlaps another; E_NOMEM: all slots are taken.
        """
        check_task_id(task)
        if not (0 < least <= MAX_SIZE and 0 < most <= MAX_SIZE):
            raise BtronError(Error.E_PAR)
        first = _page(start)
        least, most = (_round_up(size + start - first) for size in (least, most))
        if least > most:
            raise BtronError(Error.E_PAR)
        _check_user_range(first, most)
        _check_permission(permission)
        if handle:
            check_pointer(handle)
        self._check_exists(task)
        self._enter(task, Region(0, first, least, most, permission, handle, 0))

    def delete(self, task: int, address: int) -> None:
        """Delete the region that an address is in, and give back what it holds. C: ``vdel_reg``."""
        self._spaces.remove(task, self._find(task, address))

    def map(self, task: int, start: int, size: int, access: int) -> None:
        """Map fresh pages, all zero, with the permission *access*, which the region has. C: ``vmap_reg``.

        Raises:
            BtronError: E_ID, E_PAR, E_NOEXS; E_OBJ: one of the pages is mapped already; E_NOMEM.
        """
        self._map(task, start, size, access, None)

    def map_shared(self, task: int, start: int, pages: int, size: int, access: int) -> None:
        """Map the pages at a kernel address, each with one owner more. C: ``region_map_shared``. Otherwise as `map`."""
        check_task_id(task)
        if pages < KERNEL_BASE or pages % PAGE_BYTES:
            raise BtronError(Error.E_PAR)
        self._map(task, start, size, access, pages)

    def unmap(self, task: int, start: int, size: int) -> None:
        """Unmap pages of a region, and give them back. C: ``vunm_reg``.

        Raises:
            BtronError: E_ID, E_PAR, E_NOEXS; E_OBJ: one of them is not mapped.
        """
        region, pages = self._find_range(task, start, size)
        directory = self._spaces.directory(task)
        if sum(1 for _ in self._pages.mapped(directory, pages.start, pages.stop)) != len(pages):
            raise BtronError(Error.E_OBJ)
        self._pages.unmap(directory, pages.start, pages.stop)
        self._spaces.add_size(region, pages.start - pages.stop)

    def share(self, source: int, target: int, address: int) -> None:
        """Make the region at an address of task *source* in task *target*, too, on the same pages. C: ``vshr_reg``.

        What may be executed may not be written in *target*.

        Raises:
            BtronError: E_ID, E_PAR, E_NOEXS; E_OBJ: it overlaps a region; E_NOMEM: slots or pages run out.
        """
        check_task_id(source)
        check_task_id(target)
        if source == target or address >= KERNEL_BASE:
            raise BtronError(Error.E_PAR)
        self._check_exists(source)
        self._check_exists(target)
        region = self._in_region(source, address)
        permission = region.permission
        if permission & Permission.EXEC:
            permission &= ~_WRITE
        entered = self._enter(target, region._replace(permission=permission))
        try:
            self._share_pages(source, target, entered)
        except BtronError:
            self._spaces.remove(target, entered)
            raise

    def protect(self, task: int, address: int, permission: int) -> None:
        """Give a region, and all that is mapped in it, another permission. C: ``vprt_reg``."""
        check_task_id(task)
        _check_permission(permission)
        region = self._find(task, address)
        protection = protection_of(permission)
        self._pages.protect(self._spaces.directory(task), region.start, region.end, protection)
        self._spaces.set_permission(region, permission)

    def get(self, task: int, start: int, size: int, buffer: int) -> None:
        """Copy from a task's space to a kernel address. C: ``vget_reg``.

        Raises:
            BtronError: E_ID, E_PAR, E_NOEXS; E_MACV: not all of it is mapped. Nothing is copied.
        """
        for at, offset, count in self._parts(task, start, size, buffer, 0):
            self._memory.write(physical(buffer) + offset, self._memory.read(at, count))

    def put(self, task: int, start: int, size: int, buffer: int) -> None:
        """Copy from a kernel address to a task's space. C: ``vput_reg``. Otherwise as `get`; the pages may be written."""
        for at, offset, count in self._parts(task, start, size, buffer, PAGE_WRITABLE):
            self._memory.write(at, self._memory.read(physical(buffer) + offset, count))

    def state(self, task: int, address: int, packet: int) -> None:
        """Write a ``T_REGION`` about the region that an address is in. C: ``vsts_reg``.

        Args:
            task: Id.
            address: Any in the region.
            packet: Kernel address of the ``T_REGION``.
        """
        check_task_id(task)
        check_pointer(packet)
        region = self._find(task, address)
        words = (region.start, region.min_size, region.max_size, region.permission, region.handle)
        self._memory.store_words(physical(packet), words)

    # Checks.

    def _check_exists(self, task: int) -> None:
        if not self._tasks.exists(task) or not self._spaces.directory(task):
            raise BtronError(Error.E_NOEXS)

    def _find(self, task: int, address: int) -> Region:
        """Return the region that an address is in. E_ID, E_PAR, E_NOEXS."""
        check_task_id(task)
        _check_user_range(address, 1)
        self._check_exists(task)
        return self._in_region(task, address)

    def _in_region(self, task: int, address: int) -> Region:
        region = self._spaces.region_at(task, address)
        if region is None:
            raise BtronError(Error.E_PAR)
        return region

    def _find_range(self, task: int, start: int, size: int) -> tuple[Region, range]:
        """Return the region that all of [start, start + size) is in, and its pages. E_ID, E_PAR, E_NOEXS."""
        check_task_id(task)
        _check_user_range(start, size)
        region = self._find(task, start)
        pages = range(_page(start), _round_up(start + size), PAGE_BYTES)
        if pages.stop > region.end:
            raise BtronError(Error.E_PAR)
        return region, pages

    # Changes.

    def _enter(self, task: int, region: Region) -> Region:
        """Put a region into the lowest free slot. E_OBJ, E_NOMEM."""
        others = list(self._spaces.regions(task))
        if any(each.start < region.end and region.start < each.end for each in others):
            raise BtronError(Error.E_OBJ)
        taken = {each.at for each in others}
        free = next((slot for slot in self._spaces.slots(task) if slot not in taken), None)
        if free is None:
            raise BtronError(Error.E_NOMEM)
        entered = region._replace(at=free)
        self._spaces.store(entered)
        return entered

    def _map(self, task: int, start: int, size: int, access: int, source: int | None) -> None:
        """Map the pages at the kernel address *source*; None: fresh ones."""
        check_task_id(task)
        _check_permission(access)
        region, pages = self._find_range(task, start, size)
        if access & ~region.permission:
            raise BtronError(Error.E_PAR)
        directory, protection = self._spaces.directory(task), protection_of(access)
        if next(self._pages.mapped(directory, pages.start, pages.stop), None) is not None:
            raise BtronError(Error.E_OBJ)
        for page in pages:
            try:
                if source is None:
                    self._pages.add(directory, page, protection)
                else:
                    self._pages.share(directory, page, source + page - pages.start, protection)
            except BtronError:
                self._pages.unmap(directory, pages.start, page)
                raise
        self._spaces.add_size(region, pages.stop - pages.start)

    def _share_pages(self, source: int, target: int, region: Region) -> None:
        """Map what *source* holds of a region in *target*; writable only if both may write."""
        allowed = PAGE_USER | protection_of(region.permission)
        directories = self._spaces.directory(source), self._spaces.directory(target)
        for page in self._pages.mapped(directories[0], region.start, region.end):
            word = self._pages.word(directories[0], page)
            protection = word & allowed & (PAGE_WRITABLE | PAGE_USER)
            self._pages.share(directories[1], page, virtual(frame(word)), protection)

    def _parts(
        self, task: int, start: int, size: int, buffer: int, protection: int
    ) -> Iterator[tuple[int, int, int]]:
        """Yield what to copy, page by page: physical address in the space, offset in the buffer, bytes.

        Raises:
            BtronError: E_ID, E_PAR, E_NOEXS; E_MACV: a page is not mapped, or not with *protection*. Nothing was yielded.
        """
        check_task_id(task)
        _check_user_range(start, size)
        if buffer < KERNEL_BASE or buffer + size > ADDRESS_SPACE:
            raise BtronError(Error.E_PAR)
        self._check_exists(task)
        directory, pages = self._spaces.directory(task), range(_page(start), start + size, PAGE_BYTES)
        if not all(self._pages.is_mapped(directory, page, protection) for page in pages):
            raise BtronError(Error.E_MACV)
        for page in pages:
            first, stop = max(page, start), min(page + PAGE_BYTES, start + size)
            yield frame(self._pages.word(directory, page)) + first - page, first - start, stop - first


def _check_user_range(start: int, size: int) -> None:
    if not 0 < size <= min(MAX_SIZE, KERNEL_BASE - start):
        raise BtronError(Error.E_PAR)


def _check_permission(permission: int) -> None:
    if not permission & _ACCESSES or permission & ~_KNOWN:
        raise BtronError(Error.E_PAR)


def _page(address: int) -> int:
    """Return the first address of the page that *address* is in."""
    return address - address % PAGE_BYTES


def _round_up(size: int) -> int:
    return -(-size // PAGE_BYTES) * PAGE_BYTES
