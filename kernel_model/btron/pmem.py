"""Layer 1, pages: a table with an entry for every physical page.

Theory. Entry *i* of the table stands for the 4096 bytes from physical address ``i * 4096``: a flag (free, in use, or
reserved, which is never handed out and never freed) and the number of owners. The table reaches from address 0
to the end of RAM; holes, the kernel image and the table itself are reserved. Page 0 always is, so no allocation is NULL.
A region may have several owners (`Pmem.share`); a page becomes free when the last of them frees it.

Searches examine no single page. The flags of a stretch of the table are put together as a string of one byte for each
page, 0 for a free one, and a run of *n* free pages is a run of *n* zero bytes. A flag is a whole word, so the four
strings of its bytes are or-ed, as four large numbers. The stretch begins at page 0 and grows until it holds a run.

Shortcomings. The lowest run is found from page 0 on every time. Nothing says who the owners are: a caller can free
what belongs to another.

Source: spec 2.2; BTRON/386 memo 11, 2.2.
"""

from __future__ import annotations

import re
from array import array
from typing import TYPE_CHECKING, Final

from kernel_model.audit import BrokenStructure, Defect, Invariant, variable
from kernel_model.btron.errors import BtronError, Error
from kernel_model.btron.kernel_space import KERNEL_BASE, physical, virtual
from kernel_model.btron.pages import PMEM_FREE, PMEM_RESERVED, PMEM_USE, PageRun, page_usage
from kernel_model.memory import WORD_STRUCTS
from kernel_model.structs import BOOT_RANGE, PMEM_ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.btron.kernel_globals import Globals
    from kernel_model.btron.pages import PageUsage
    from kernel_model.memory import Memory

PAGE_BYTES: Final = 4096

MAX_BOOT_RANGES: Final = 16
"""Length of ``boot_ranges`` and of ``boot_reserved``."""

MAX_SIZE: Final = 0x7FFF_FFFF
"""Largest W. Sizes above are negative in C."""

_MAX_COUNT: Final = 0xFFFF_FFFF
_WORD_MASK: Final = 0xFFFF_FFFF
_PAGES_OF_4_GIB: Final = 1 << 20
_ENTRY_BYTES: Final = PMEM_ENTRY.size
_FREE_ENTRY: Final = WORD_STRUCTS[2].pack(PMEM_FREE, 0)
_USED_ENTRY: Final = WORD_STRUCTS[2].pack(PMEM_USE, 1)
_RESERVED_ENTRY: Final = WORD_STRUCTS[2].pack(PMEM_RESERVED, 0)
_FIRST_STRETCH: Final = 256
_STRETCH_GROWTH: Final = 8
_runs_of_entries: Final = re.compile(rb"(.{8})\1*+", re.DOTALL).finditer

AREA: Final = "pmem"
_ENTRIES_IN_MEMORY: Final = Invariant(
    "pmem-entries-in-memory", "there is no memory for the entries of pages 0x{:x} to 0x{:x}"
)
_BOOT_RANGE_COUNT: Final = Invariant("pmem-boot-range-count", f"there are {MAX_BOOT_RANGES} ranges at most")


class Pmem:
    """The page allocator on its table in guest memory.

    Args:
        memory: Physical guest memory.
        addresses: Where the kernel's globals lie.
    """

    def __init__(self, memory: Memory, addresses: Globals) -> None:
        self._memory = memory
        self.addresses = addresses

    # What the guest calls.

    def init(self) -> None:
        """Build the table from what the boot code has put down. C: ``pmem_init``.

        All is reserved but the pages of the boot ranges that are in no reserved range. The boot code has put down whole
        pages; what lies beyond the table is left out.

        Raises:
            BtronError: E_NOMEM: no page is free. The table is built nevertheless.
        """
        pages, addresses = self.pages(), self.addresses
        self._fill(0, pages % _PAGES_OF_4_GIB, _RESERVED_ENTRY)  # C counts in bytes, which wrap
        for start, end in self._boot_ranges("boot_range", addresses.boot_ranges, addresses.boot_range_count):
            self._fill(start // PAGE_BYTES, min(end // PAGE_BYTES, pages), _FREE_ENTRY)
        for start, end in self._boot_ranges(
            "boot_reserved", addresses.boot_reserved, addresses.boot_reserved_count
        ):
            self._fill(start // PAGE_BYTES, min(end // PAGE_BYTES, pages), _RESERVED_ENTRY)
        if not self.free_pages():
            raise BtronError(Error.E_NOMEM)

    def alloc(self, size: int) -> int:
        """Take the lowest run of free pages that holds *size* bytes. C: ``pmem_alloc``.

        Returns:
            The run's kernel address; 0 with nothing changed for a size that is not positive, or no run. The pages are
            not cleared.
        """
        if not 0 < size <= MAX_SIZE:
            return 0
        count = -(-size // PAGE_BYTES)
        first = self._lowest_run(count)
        if first is None:
            return 0
        self._fill(first, first + count, _USED_ENTRY)
        return virtual(first * PAGE_BYTES)

    def free(self, region: int, size: int) -> None:
        """Give up one ownership of each page of a region; a page without owners is free. C: ``pmem_free``.

        Args:
            region: Kernel address of the first page.
            size: Bytes, rounded up to pages.

        Raises:
            BtronError: E_PAR: *size* is not positive, *region* is not the kernel address of a page, or one of the pages
                does not exist or is not in use. Nothing is changed.
        """
        address, count = self._span(region, size)
        if self._memory.read(address, _ENTRY_BYTES * count) == _USED_ENTRY * count:
            self._memory.write(address, _FREE_ENTRY * count)
            return
        counts = self._owners(address, count)
        self._set_owners(address, [owners - 1 for owners in counts])

    def share(self, region: int, size: int) -> None:
        """Add one owner to each page of a region. C: ``pmem_share``. Arguments as for `free`.

        Raises:
            BtronError: E_PAR: as for `free`, or a page cannot count one more owner. Nothing is changed.
        """
        address, count = self._span(region, size)
        counts = self._owners(address, count)
        if _MAX_COUNT in counts:
            raise BtronError(Error.E_PAR)
        self._set_owners(address, [owners + 1 for owners in counts])

    def free_pages(self) -> int:
        """Return the number of free pages. C: ``pmem_free_pages``."""
        return self._flags(0, self.pages()).count(PMEM_FREE)

    # Readers: no change.

    def pages(self) -> int:
        """Return the number of entries of the table. C: ``pmem_pages``."""
        return self._memory.load_u32(self.addresses.pmem_pages)

    def table(self) -> int:
        """Return the physical address of the table."""
        return physical(self._memory.load_u32(self.addresses.pmem_table))

    def runs(self) -> Iterator[PageRun]:
        """Yield the whole table as runs of equal entries, in address order."""
        for run in _runs_of_entries(self._memory.read(self.table(), _ENTRY_BYTES * self.pages())):
            start, end = run.span()
            yield PageRun(start // _ENTRY_BYTES, end // _ENTRY_BYTES, *WORD_STRUCTS[2].unpack(run[1]))

    def usage(self) -> PageUsage:
        """Return how the pages are used."""
        return page_usage(self.runs())

    def _entries(self, first: int, stop: int) -> int:
        """Return the physical address of the entries of the pages ``[first, stop)``.

        Raises:
            BrokenStructure: They are not in memory.
        """
        table = self._memory.load_u32(self.addresses.pmem_table)
        address, size = table - KERNEL_BASE + _ENTRY_BYTES * first, _ENTRY_BYTES * (stop - first)
        try:
            self._memory.view(address, size)
        except IndexError as error:
            location = variable("pmem_table", self.addresses.pmem_table)
            defect = Defect(_ENTRIES_IN_MEMORY, AREA, location, table, (first, stop))
            raise BrokenStructure(defect) from error
        return address

    def _boot_ranges(self, name: str, address: int, count_address: int) -> list[tuple[int, int]]:
        """Return the ranges that the boot code has put down at *address*."""
        count = self._memory.load_u32(count_address)
        if count > MAX_BOOT_RANGES:
            location = variable(f"{name}_count", count_address)
            raise BrokenStructure(Defect(_BOOT_RANGE_COUNT, AREA, location, count))
        words = self._memory.view(address, BOOT_RANGE.size * count).cast("I").tolist()
        return list(zip(words[::2], words[1::2], strict=True))

    def _fill(self, first: int, stop: int, entry: bytes) -> None:
        """Write *entry* for the pages ``[first, stop)``."""
        if first < stop:
            self._memory.write(self._entries(first, stop), entry * (stop - first))

    def _flags(self, first: int, stop: int) -> bytes:
        """Return one byte for each page of ``[first, stop)``: 0 exactly when its flag is `PMEM_FREE`."""
        entries = self._memory.read(self._entries(first, stop), _ENTRY_BYTES * (stop - first))
        columns = (int.from_bytes(entries[column::_ENTRY_BYTES], "little") for column in range(4))
        a, b, c, d = columns
        return (a | b | c | d).to_bytes(stop - first, "little")

    def _lowest_run(self, count: int) -> int | None:
        """Return the first page of the lowest run of *count* free pages, or None.

        A run inside a stretch is the lowest of all: one that only begins in the stretch would begin after it.
        """
        pages = self.pages()
        wanted = bytes(min(count, pages + 1))
        stretch = max(_FIRST_STRETCH, 2 * len(wanted))
        while True:
            first = self._flags(0, min(stretch, pages)).find(wanted)
            if first >= 0:
                return first
            if stretch >= pages:
                return None
            stretch *= _STRETCH_GROWTH

    def _span(self, region: int, size: int) -> tuple[int, int]:
        """Return the address of a region's first entry and the count of its pages; E_PAR if it is not one."""
        first, offset = divmod(region - KERNEL_BASE & _WORD_MASK, PAGE_BYTES)
        count = -(-size // PAGE_BYTES)
        if offset or not 0 < size <= MAX_SIZE or first + count > self.pages():
            raise BtronError(Error.E_PAR)
        return self._entries(first, first + count), count

    def _owners(self, address: int, count: int) -> list[int]:
        """Return the numbers of owners of pages that must all be in use, or E_PAR."""
        words = self._memory.view(address, _ENTRY_BYTES * count).cast("I").tolist()
        counts = words[1::2]
        if words[::2].count(PMEM_USE) != count or 0 in counts:
            raise BtronError(Error.E_PAR)
        return counts

    def _set_owners(self, address: int, counts: list[int]) -> None:
        """Write the entries of pages with these numbers of owners."""
        entries = array("I", bytes(_ENTRY_BYTES * len(counts)))
        entries[::2] = array("I", [PMEM_USE if owners else PMEM_FREE for owners in counts])
        entries[1::2] = array("I", counts)
        self._memory.write(address, entries.tobytes())
