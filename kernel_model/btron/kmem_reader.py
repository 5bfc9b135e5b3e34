"""Reads the byte allocator: what it owns and what of that is free. Both are checked on the way.

The guest may have overwritten everything. Nothing is believed before it is checked, and no list is followed for more than
`BLOCKS_MAX` entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.audit import Defect, Invariant, Location, LocationKind, variable
from kernel_model.btron.kernel_space import KERNEL_BASE, physical
from kernel_model.btron.kmem import ALIGNMENT, AREA, MAX_EXTENTS
from kernel_model.btron.pmem import PAGE_BYTES
from kernel_model.btron.pools.reader import BLOCKS_MAX, holds
from kernel_model.structs import KMEM_ENTRY, KMEM_EXTENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernel_model.btron.kmem import Kmem
    from kernel_model.memory import Memory

Span = tuple[int, int]
"""Half open."""

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


class KmemState(NamedTuple):
    """The byte allocator.

    Attributes:
        extents: What it owns.
        areas: The free list, as far as it makes sense.
    """

    extents: tuple[Span, ...]
    areas: tuple[Span, ...]

    @property
    def owned(self) -> int:
        """Bytes of the extents."""
        return sum(end - start for start, end in self.extents)

    @property
    def free(self) -> int:
        """Bytes of the free areas."""
        return sum(end - start for start, end in self.areas)

    @property
    def largest_free(self) -> int:
        """Bytes of the largest free area."""
        return max((end - start for start, end in self.areas), default=0)

    @property
    def fragmentation(self) -> float:
        """1 - largest free area / all free bytes: 0.0 when they are one area or nothing is free."""
        return 1 - self.largest_free / self.free if self.areas else 0.0


class KmemReader:
    """One reading.

    Args:
        memory: Physical memory.
        memory_size: Its bytes.
        kmem: The model; only read from.
        notes: Receives why something is missing.
        defects: Receives what breaks an invariant.
    """

    def __init__(
        self, memory: Memory, memory_size: int, kmem: Kmem, notes: list[str], defects: list[Defect]
    ) -> None:
        self._memory = memory
        self._size = memory_size
        self._kmem = kmem
        self._notes = notes
        self._defects = defects

    def state(self) -> KmemState | None:
        """Return what the layer has; None if it makes no sense."""
        addresses = self._kmem.addresses
        count = self._memory.load_u32(addresses.extent_count)
        if count > MAX_EXTENTS:
            self._notes.append(f"kmem makes no sense: kmem_extent_count 0x{count:08x}")
            return None
        extents = []
        position = KERNEL_BASE
        for index, (start, size) in enumerate(self._kmem.extents()):
            aligned = not start % PAGE_BYTES and not size % PAGE_BYTES
            if position > start or not aligned or not size or not holds(self._size, start, size):
                place = addresses.extents + KMEM_EXTENT.size * index
                location = variable("kmem_extents", place, item=index).member(KMEM_EXTENT, "start")
                self._defects.append(Defect(_EXTENT, AREA, location, start, (start, size)))
                continue
            extents.append((start, start + size))
            position = start + size
        return KmemState(tuple(extents), tuple(self._free_areas(extents)))

    def _free_areas(self, extents: Sequence[Span]) -> Iterator[Span]:
        """Follow the free list; an entry must be aligned, after the one before it and inside an extent."""
        head, before = self._kmem.addresses.free_list, 0
        entry = self._memory.load_u32(head)
        position = index = 0
        for _ in range(BLOCKS_MAX):
            if not entry:
                return
            while index < len(extents) and extents[index][1] <= entry:
                index += 1
            inside = index < len(extents) and extents[index][0] <= entry
            if not inside or entry < position or entry % ALIGNMENT:
                link = _member(before, "next") if before else variable("kmem_free_list", head)
                self._defects.append(Defect(_LINK, AREA, link, entry, (entry,)))
                return
            following, size = self._memory.load_words(physical(entry), 2)
            if size % ALIGNMENT or not ALIGNMENT <= size <= extents[index][1] - entry:
                self._defects.append(Defect(_SIZE, AREA, _member(entry, "size"), size, (entry, size)))
                return
            yield entry, entry + size
            before, entry, position = entry, following, entry + size
        self._notes.append(f"kmem has {BLOCKS_MAX} free areas or more, and only those are shown")


def _member(area: int, field: str) -> Location:
    """Return the location of a word at the start of the free area at a kernel address."""
    start = physical(area)
    return Location(LocationKind.AREA, "kmem", start, start, item=area).member(KMEM_ENTRY, field)
