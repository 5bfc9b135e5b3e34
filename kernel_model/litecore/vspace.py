"""Virtual address space: which ranges of it are in use. No frames, no page tables.

Theory. The ranges in use are records from the kernel heap, chained in address order; what lies between them, from
``vspace_start`` to ``vspace_end``, is free. `VirtualSpace.take` takes the low part of the first gap that is large enough. Where the
managed window, which is mapped to itself, reaches into the address space to hand out, that begins after it.

A record counts only while it could be one: page aligned, above the range before it, inside the address space. So searches go upwards
and end, and a damaged list refuses calls.

Shortcomings. Searches are linear in the number of ranges.

Source: spec 1.4, task 3.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.litecore.spinlock import SpinLock
from kernel_model.page_tables import PAGE_BYTES
from kernel_model.structs import VSPACE_RANGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.litecore.heap import Heap
    from kernel_model.litecore.memmap import Memmap
    from kernel_model.memory import Memory

_WORDS: Final = len(VSPACE_RANGE.fields)
_OWNER_OFFSET: Final = VSPACE_RANGE.offset("owner")
_NEXT_OFFSET: Final = VSPACE_RANGE.offset("next")
_WORD_MASK: Final = 0xFFFF_FFFF


class Owner(IntEnum):
    """Whose a range is. Each is freed only by the call that goes with it. C: ``enum vspace_owner``."""

    ALLOC = 0
    """``vspace_alloc`` and ``vspace_free``."""

    VMALLOC = 1
    """``vmalloc`` and ``vfree``."""

    CLOSING = 2
    """``vfree`` is at work in it."""


class VspaceAddresses(NamedTuple):
    """Addresses of the C globals ``vspace_start`` and so on."""

    start: int
    end: int
    ranges: int
    error_count: int
    lock: int


class VspaceRange(NamedTuple):
    """A range in use.

    Attributes:
        record: Address of its record.
        start: Its first address.
        pages: Its size.
        owner: A value of `Owner`, or whatever is there.
    """

    record: int
    start: int
    pages: int
    owner: int

    @property
    def end(self) -> int:
        """First address after it."""
        return self.start + self.pages * PAGE_BYTES


class VirtualSpace:
    """The allocator of address space on its globals and records in guest memory.

    Args:
        memory: Guest memory.
        addresses: Where the globals lie.
        memmap: Whose window is not handed out; only read from.
        heap: Holds the records.

    All calls raise `kernel_model.audit.BrokenStructure` where the list leads out of memory.
    """

    def __init__(self, memory: Memory, addresses: VspaceAddresses, memmap: Memmap, heap: Heap) -> None:
        self._memory = memory
        self.addresses = addresses
        self._lock = SpinLock(memory, addresses.lock)
        self._memmap = memmap
        self._heap = heap

    # What the guest calls.

    def take(self, pages: int, owner: Owner = Owner.ALLOC) -> int:
        """Take the lowest gap of *pages* pages. C: ``vspace_alloc``.

        Returns:
            Its first address; 0 with nothing changed for 0 pages, no such gap, or no heap for its record.
        """
        with self._lock:
            gap = self._find_gap(pages) if pages else None
            if gap is None:
                return 0
            link, start = gap
            record = self._heap.kmalloc(VSPACE_RANGE.size)
            if not record:
                return 0
            self._memory.store_words(record, (start, pages, owner, self._memory.load_u32(link)))
            self._memory.store_u32(link, record)
            return start

    def give(self, address: int, owner: Owner = Owner.ALLOC) -> bool:
        """Give the range back that begins at *address*. C: ``vspace_free``.

        Returns:
            Whether it was in use and *owner*'s; False: nothing has changed.
        """
        with self._lock:
            found = self._find_range(address, owner)
            if found is None:
                return False
            link, record, _ = found
            self._memory.store_u32(link, self._memory.load_u32(record + _NEXT_OFFSET))
        self._heap.kfree(record)
        return True

    def close(self, address: int) -> int:
        """Mark the range of ``vmalloc`` that begins at *address* as one that ``vfree`` is at work in.

        Returns:
            Its pages; 0 if there is none, which is counted in ``vspace_error_count``.
        """
        with self._lock:
            found = self._find_range(address, Owner.VMALLOC)
            if found is None:
                count = self._memory.load_u32(self.addresses.error_count)
                self._memory.store_u32(self.addresses.error_count, count + 1 & _WORD_MASK)
                return 0
            _, record, pages = found
            self._memory.store_u32(record + _OWNER_OFFSET, Owner.CLOSING)
            return pages

    # Readers: no lock, no change.

    def bounds(self) -> tuple[int, int]:
        """Return where the address space to hand out begins, and ``vspace_end``."""
        load = self._memory.load_u32
        lowest = load(self.addresses.start) or PAGE_BYTES
        return max(lowest, self._memmap.fields().end_addr), load(self.addresses.end)

    def first(self) -> int:
        """Return the address of the first record; 0: there is none. C: ``vspace_ranges``."""
        return self._memory.load_u32(self.addresses.ranges)

    def ranges(self) -> Iterator[VspaceRange]:
        """Yield the ranges in use in address order, up to the first record that cannot be one."""
        for link, each in self._walk():
            if each is None or not link:
                return
            yield each

    def load_record(self, link: int, record: int) -> tuple[int, ...]:
        """Return the words of the record at *record*, to which the word at *link* leads.

        Raises:
            BrokenStructure: It is not in memory.
        """
        try:
            return self._memory.load_words(record, _WORDS)
        except IndexError as error:
            from kernel_model.litecore.paging_damage import record_outside_memory  # only damage needs it

            raise record_outside_memory(self.addresses, link, record) from error

    # What they share.

    def _walk(self) -> Iterator[tuple[int, VspaceRange | None]]:
        """Yield each range with the address of the word that leads to its record.

        At the end of the list comes the address of the word that ends it, with None; at a record that cannot be one, 0 with None.
        """
        lowest, end = self.bounds()
        link = self.addresses.ranges
        while record := self._memory.load_u32(link):
            start, pages, owner, _ = self.load_record(link, record)
            if start < lowest or start % PAGE_BYTES or not 0 < pages <= (end - start) // PAGE_BYTES:
                yield 0, None
                return
            yield link, VspaceRange(record, start, pages, owner)
            lowest = start + pages * PAGE_BYTES
            link = record + _NEXT_OFFSET
        yield link, None

    def _find_gap(self, pages: int) -> tuple[int, int] | None:
        """Return the link that leads past the lowest gap of *pages* pages, and the gap's first address; None: there is none."""
        lowest, end = self.bounds()
        for link, found in self._walk():
            limit = end if found is None else found.start
            if link and limit - lowest >= pages * PAGE_BYTES:
                return link, lowest
            if found is not None:
                lowest = found.end
        return None

    def _find_range(self, address: int, owner: Owner) -> tuple[int, int, int] | None:
        """Return the link to a record, the record, and its pages; None if no range of *owner* begins at *address*."""
        for link, found in self._walk():
            if found is not None and found.start >= address:
                return (
                    (link, found.record, found.pages)
                    if (found.start, found.owner) == (address, owner)
                    else None
                )
        return None
