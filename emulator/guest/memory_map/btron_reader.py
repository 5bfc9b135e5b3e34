"""Read what a BTRON/386 kernel uses its memory for.

As in `reader` nothing is believed before it is checked. The kernel stores addresses of its own, from 0x80000000 upwards;
regions are physical.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from emulator.guest.memory_map.memory_map import BtronState, MemoryMap
from emulator.guest.memory_map.regions import (
    FRAME_SIZE,
    Region,
    RegionKind,
    add_regions,
    by_address,
    round_up,
    with_page_rests,
)
from emulator.wording import counted
from kernel_model.audit import Defect, Invariant, Location, LocationKind, variable
from kernel_model.btron import kmem as kmem_model
from kernel_model.btron.kernel_space import physical
from kernel_model.btron.kmem_reader import read_kmem
from kernel_model.btron.pages import FLAG_NAMES, PMEM_FREE, PMEM_RESERVED, PMEM_USE, page_usage
from kernel_model.btron.pmem import AREA
from kernel_model.btron.pools.reader import PoolReader
from kernel_model.frames import frame_usage
from kernel_model.structs import PMEM_ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.machine.machine import Machine
    from kernel_model.btron.abi import Btron
    from kernel_model.btron.kmem import KmemState
    from kernel_model.btron.pages import PageRun, PageUsage
    from kernel_model.btron.pools.reader import PoolState

_PAGES_MAX = (1 << 32) // FRAME_SIZE
_FREE, _USED, _SHARED, _RESERVED, _KMEM, _COVERED = range(6)  # what a page is, a byte each
_KINDS = {_SHARED: RegionKind.SHARED, _RESERVED: RegionKind.RESERVED, _KMEM: RegionKind.KMEM}
_AS_KMEM = bytes.maketrans(bytes([_USED]), bytes([_KMEM]))
_AS_BITS = bytes([0]) + bytes([1]) * 255
_BITS = 8

_FLAG: Final = Invariant("pmem-flags", "pmem_table: flag 0x{:08x} of {} does not exist", names_word=True)
_REFCOUNT: Final = Invariant("pmem-refcounts", "pmem_table: refcount {} of {}, {}", names_word=True)
_EXTENT_IN_USE: Final = Invariant(
    "kmem-extent-in-use", "kmem extent 0x{:08x}: {} of its pages are not in use", names_word=True
)


def read_btron(machine: Machine, btron: Btron, image: list[Region], modules: list[Region]) -> MemoryMap:
    """Read pages, kmem and pools. See `emulator.guest.memory_map.reader.Reader`."""
    known = by_address(add_regions(image, modules))
    return _Reader(machine, btron).memory_map(known)


class _Reader:
    """One reading."""

    def __init__(self, machine: Machine, btron: Btron) -> None:
        self._memory = machine.memory
        self._size = len(machine.memory)
        self._ram = machine.ram
        self._btron = btron
        self._notes: list[str] = []
        self._defects: list[Defect] = []
        self._page_defects: list[Defect] = []

    def memory_map(self, taken: Sequence[Region]) -> MemoryMap:
        """Return what memory is used for; without a page table its regions are those that are *taken* already."""
        runs: list[PageRun] = []
        kmem = None
        pools: list[PoolState] = []
        try:
            runs = self._page_runs()
            kmem = read_kmem(self._memory, self._size, self._btron.kmem, self._notes, self._defects)
            reader = PoolReader(self._memory, self._size, self._btron, self._notes, self._defects)
            pools.extend(reader.pools())
        except IndexError as error:
            self._notes.append(f"BTRON/386's symbols do not lie in memory: {error}")
        pages = page_usage(runs) if runs else None
        found = MemoryMap((self._ram.start, self._ram.end), tuple(taken))
        if pages is not None:
            found = self._with_pages(found, _page_kinds(runs), kmem, pages)
            self._page_defects[:0] = _entry_defects(pages, self._btron.pmem.table())
        return found._replace(
            notes=tuple(self._notes),
            btron=BtronState(pages, kmem, tuple(pools)),
            defects=(*self._page_defects, *self._defects),
        )

    # Pages.

    def _page_runs(self) -> list[PageRun]:
        table, pages = self._btron.pmem.table(), self._btron.pmem.pages()
        if not table or not pages:
            self._notes.append("the page table is not set up")
            return []
        if pages > _PAGES_MAX or table + PMEM_ENTRY.size * pages > self._size:
            self._notes.append(
                f"the page table makes no sense: pmem_table 0x{table:08x}, pmem_pages 0x{pages:08x}"
            )
            return []
        runs = list(self._btron.pmem.runs())
        if all(run.flag == PMEM_FREE for run in runs):  # page 0 never is
            self._notes.append("the page table is not set up")
            return []
        return runs

    def _with_pages(
        self, found: MemoryMap, kinds: bytearray, kmem: KmemState | None, pages: PageUsage
    ) -> MemoryMap:
        """Add the pages in the form of frames and regions to what was found.

        Args:
            found: Its regions are what is known already.
            kinds: What each page is; is changed.
            kmem: The byte layer.
            pages: Figures.
        """
        used = bytes(kinds).translate(_AS_BITS)
        for start, size in kmem.extents if kmem is not None else ():
            low = physical(start)
            span = slice(low // FRAME_SIZE, (low + size) // FRAME_SIZE)
            outside = len(kinds[span]) - kinds.count(_USED, span.start, span.stop)
            outside -= kinds.count(_SHARED, span.start, span.stop)
            if outside:
                extent = Location(LocationKind.AREA, "kmem", low, low + size, item=start)
                self._page_defects.append(
                    Defect(_EXTENT_IN_USE, kmem_model.AREA, extent, outside, (start, outside))
                )
            kinds[span] = kinds[span].translate(_AS_KMEM)
        table = self._btron.pmem.table()
        known = add_regions(
            list(found.regions), [Region(table, table + PMEM_ENTRY.size * pages.total, RegionKind.TABLE)]
        )
        known = with_page_rests(known)
        for region in known:
            first, stop = region.start // FRAME_SIZE, min(round_up(region.end) // FRAME_SIZE, pages.total)
            kinds[first:stop] = bytes([_COVERED]) * (stop - first)
        regions = by_address([*known, *_page_regions(kinds)])
        nothing_below = any(
            region.start == 0 and region.end >= self._ram.start for region in regions
        )  # all reserved
        return found._replace(
            ram=(self._ram.start if nothing_below else 0, self._ram.end),
            regions=tuple(regions),
            frames=frame_usage(0, pages.total, _packed(used)),
            reserved=pages.total - pages.free - kinds.count(_USED),
        )


def _page_kinds(runs: Sequence[PageRun]) -> bytearray:
    """Return what each page is, a byte each; what has an unknown flag is never handed out, so it is in use."""
    kinds = bytearray(runs[-1].end)
    for start, end, flag, refcount in runs:
        if flag == PMEM_RESERVED:
            kind = _RESERVED
        elif flag == PMEM_USE and refcount > 1:
            kind = _SHARED
        else:
            kind = _FREE if flag == PMEM_FREE else _USED
        if kind:
            kinds[start:end] = bytes([kind]) * (end - start)
    return kinds


def _entry_defects(pages: PageUsage, table: int) -> Iterator[Defect]:
    location = variable("pmem_table", table, PMEM_ENTRY.size * pages.total)
    for flag, refcount, count in pages.by_entry:
        if flag not in FLAG_NAMES:
            yield Defect(_FLAG, AREA, location, flag, (flag, counted(count, "page")))
        elif (flag == PMEM_USE) != (refcount > 0):
            yield Defect(
                _REFCOUNT, AREA, location, refcount, (refcount, counted(count, "page"), FLAG_NAMES[flag])
            )


def _packed(used: bytes) -> bytes:
    """Make a bitmap of bytes that are 0 or 1."""
    size = -(-len(used) // _BITS)
    bits = (int.from_bytes(used[bit::_BITS], "little") << bit for bit in range(_BITS))
    return sum(bits).to_bytes(size, "little")


def _page_regions(kinds: bytearray) -> Iterator[Region]:
    for run in re.finditer(rb"\x02+|\x03+|\x04+", kinds):
        yield Region(run.start() * FRAME_SIZE, run.end() * FRAME_SIZE, _KINDS[run[0][0]])
