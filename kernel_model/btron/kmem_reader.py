"""Reads the byte allocator: what it owns and what of that is free. Both are checked on the way.

The guest may have overwritten everything. Nothing is believed before it is checked, and no list is followed for more than
`BLOCKS_MAX` entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.audit import Defect, Invariant, Location, LocationKind, variable
from kernel_model.btron.kernel_space import KERNEL_BASE, physical
from kernel_model.btron.kmem import ALIGNMENT, AREA, MAX_EXTENTS, Area, KmemState
from kernel_model.btron.pmem import PAGE_BYTES
from kernel_model.btron.pools.reader import BLOCKS_MAX, holds
from kernel_model.structs import KMEM_ENTRY, KMEM_EXTENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernel_model.btron.kmem import Kmem
    from kernel_model.memory import Memory

_EXTENT: Final = Invariant(
    "kmem-extent", "kmem_extents: 0x{:08x} with 0x{:08x} bytes makes no sense", names_word=True
)
_LINK: Final = Invariant(
    "kmem-list-link",
    "kmem_free_list: there is no area at 0x{:08x}",
    names_word=True,
    of_free_list=True,
)
_SIZE: Final = Invariant(
    "kmem-list-size",
    "kmem_free_list: area 0x{:08x} cannot have 0x{:08x} bytes",
    names_word=True,
    of_free_list=True,
)


def read_kmem(
    memory: Memory, memory_size: int, kmem: Kmem, notes: list[str], defects: list[Defect]
) -> KmemState | None:
    """Return what the byte allocator has; None if it makes no sense.

    Args:
        memory: Physical memory.
        memory_size: Its bytes.
        kmem: The model; only read from.
        notes: Receives why something is missing.
        defects: Receives what breaks an invariant.
    """
    addresses = kmem.addresses
    count = memory.load_u32(addresses.kmem_extent_count)
    if count > MAX_EXTENTS:
        notes.append(f"kmem makes no sense: kmem_extent_count 0x{count:08x}")
        return None
    extents = []
    position = KERNEL_BASE
    for index, extent in enumerate(kmem.extents()):
        start, size = extent
        aligned = not start % PAGE_BYTES and not size % PAGE_BYTES
        if position > start or not aligned or not size or not holds(memory_size, start, size):
            entry = addresses.kmem_extents + KMEM_EXTENT.size * index
            location = variable("kmem_extents", entry, item=index).member(KMEM_EXTENT, "start")
            defects.append(Defect(_EXTENT, AREA, location, start, (start, size)))
            continue
        extents.append(extent)
        position = extent.end
    areas = tuple(_free_areas(memory, addresses.kmem_free_list, extents, notes, defects))
    return KmemState(tuple(extents), areas)


def _free_areas(
    memory: Memory, head: int, extents: Sequence[Area], notes: list[str], defects: list[Defect]
) -> Iterator[Area]:
    """Follow the free list; an entry must be aligned, after the one before it and inside an extent."""
    before = 0
    entry = memory.load_u32(head)
    position = index = 0
    for _ in range(BLOCKS_MAX):
        if not entry:
            return
        while index < len(extents) and extents[index].end <= entry:
            index += 1
        inside = index < len(extents) and extents[index].start <= entry
        if not inside or entry < position or entry % ALIGNMENT:
            link = _member(before, "next") if before else variable("kmem_free_list", head)
            defects.append(Defect(_LINK, AREA, link, entry, (entry,)))
            return
        following, size = memory.load_words(physical(entry), 2)
        if size % ALIGNMENT or not ALIGNMENT <= size <= extents[index].end - entry:
            defects.append(Defect(_SIZE, AREA, _member(entry, "size"), size, (entry, size)))
            return
        area = Area(entry, size)
        yield area
        before, entry, position = entry, following, area.end
    notes.append(f"kmem has {BLOCKS_MAX} free areas or more, and only those are shown")


def _member(area: int, field: str) -> Location:
    """Return the location of a word at the start of the free area at a kernel address."""
    start = physical(area)
    return Location(LocationKind.AREA, "kmem", start, start, item=area).member(KMEM_ENTRY, field)
