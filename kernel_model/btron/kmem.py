"""Layer 2, bytes: a list of free areas, carved from pages that the layer takes when it needs more.

Theory. Only free areas carry a header, ``struct kmem_entry``: the kernel address of the next one (0 = last) and the
bytes of the area, these eight included. The list is in address order. An allocated area has no header: whoever
frees it says how long it is. Addresses and sizes are multiples of 8, so every piece that remains can hold a header.

An allocation takes the *tail* of the first area that is large enough: only that area's size changes. If there is none,
the layer takes pages, adds them to the list like a freed area, and searches again. What it owns is kept as extents,
ascending, adjacent ones merged; pages never go back.

The guest can overwrite any header. A search therefore believes an entry only if it is aligned, lies above the
one before and inside one extent, and has a size that does, too. So a search always ends; a broken list
gives nothing, takes nothing back, and does not grow.

Shortcomings. First fit is linear in the number of areas. With 64 extents that touch nowhere the layer cannot
grow. A wrong size that names only allocated bytes cannot be noticed.

Source: spec 2.3; BTRON/386 memo 11, 2.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from kernel_model.audit import BrokenStructure, Defect, Invariant, variable
from kernel_model.btron.errors import BtronError, Error
from kernel_model.btron.kernel_space import ADDRESS_SPACE, KERNEL_BASE, OFFSET_MASK, virtual
from kernel_model.btron.pmem import MAX_SIZE, PAGE_BYTES
from kernel_model.structs import KMEM_ENTRY, KMEM_EXTENT, WORD

if TYPE_CHECKING:
    from kernel_model.btron.kernel_globals import Globals
    from kernel_model.btron.pmem import Pmem
    from kernel_model.memory import Memory

ALIGNMENT: Final = 8
"""Bytes: of addresses and sizes, and the smallest area."""

GROWTH_BYTES: Final = 40960
"""The layer takes at least this much from the page layer."""

MAX_EXTENTS: Final = 64
MAX_REQUEST: Final = 0x7FFF_FFF8
"""Largest size whose rounding up to 8 is still a positive W: more than any area has."""

_ALIGNMENT_MASK: Final = ALIGNMENT - 1
_SIZE_OFFSET: Final = KMEM_ENTRY.offset("size")
_EXTENT_BYTES: Final = KMEM_EXTENT.size
_NOWHERE: Final = (0, 0)
_WORD_MASK: Final = 0xFFFF_FFFF

AREA: Final = "kmem"
_EXTENT_COUNT: Final = Invariant("kmem-extent-count", f"there are {MAX_EXTENTS} extents at most")
_EXTENT_SIZE: Final = Invariant("kmem-extent-size", "such an extent is not in kernel space")


class Area(NamedTuple):
    """A stretch of kernel space: kernel address of its first byte, and its bytes."""

    start: int
    size: int

    @property
    def end(self) -> int:
        """Address after the last byte."""
        return self.start + self.size


class KmemState(NamedTuple):
    """What the byte allocator has.

    Attributes:
        extents: What it owns.
        areas: The free list, as far as it makes sense.
    """

    extents: tuple[Area, ...]
    areas: tuple[Area, ...]

    @property
    def owned(self) -> int:
        """Bytes of the extents."""
        return sum(extent.size for extent in self.extents)

    @property
    def free(self) -> int:
        """Bytes of the free areas."""
        return sum(area.size for area in self.areas)

    @property
    def largest_free(self) -> int:
        """Bytes of the largest free area."""
        return max((area.size for area in self.areas), default=0)

    @property
    def fragmentation(self) -> float:
        """1 - largest free area / all free bytes: 0.0 when they are one area or nothing is free."""
        return 1 - self.largest_free / self.free if self.areas else 0.0


class Kmem:
    """The byte allocator on its globals and free areas in guest memory.

    Args:
        memory: Physical guest memory.
        addresses: Where the kernel's globals lie.
        pmem: The layer that pages come from.
    """

    def __init__(self, memory: Memory, addresses: Globals, pmem: Pmem) -> None:
        self._memory = memory
        self._pmem = pmem
        self.addresses = addresses

    # What the guest calls.

    def init(self) -> None:
        """Own nothing: an empty list and no extents. C: ``kmem_init``."""
        self._memory.store_u32(self.addresses.kmem_free_list, 0)
        self._memory.store_u32(self.addresses.kmem_extent_count, 0)

    def alloc(self, size: int) -> int:
        """Take *size* bytes (rounded up to 8). C: ``kmem_alloc``.

        Returns:
            Kernel address; 0 for a size that is not positive, a broken list, or when pages or extents run out.
        """
        if not 0 < size <= MAX_SIZE:
            return 0
        wanted = (size + _ALIGNMENT_MASK) & ~_ALIGNMENT_MASK
        position = self._search(wanted, ADDRESS_SPACE)
        if position and not position[1]:
            position = self._search(wanted, ADDRESS_SPACE) if self._grow(wanted) else None
        if not position:
            return 0
        link, entry, available, next_entry, _ = position
        if available > wanted:
            available -= wanted
            self._memory.store_u32((entry & OFFSET_MASK) + _SIZE_OFFSET, available)
            return entry + available
        self._memory.store_u32(link, next_entry)
        return entry

    def free(self, address: int, size: int) -> None:
        """Give back an area that `alloc` returned. C: ``kmem_free``.

        Args:
            address: Kernel address of the area.
            size: Its bytes, as requested.

        Raises:
            BtronError: E_PAR: *size* is not positive; the area is not aligned, not inside one extent, or
                overlaps a free one; or the list is broken. Nothing is changed.
        """
        if not 0 < size <= MAX_SIZE or address & _ALIGNMENT_MASK:
            raise BtronError(Error.E_PAR)
        whole = (size + _ALIGNMENT_MASK) & ~_ALIGNMENT_MASK
        if address + whole > self._extent_of(address)[1]:
            raise BtronError(Error.E_PAR)
        self._insert(address, whole)

    # Readers: no change.

    def owns(self, address: int, size: int) -> bool:
        """Return whether ``[address, address + size)`` lies inside one extent."""
        return address + size <= self._extent_of(address)[1]

    def extents(self) -> list[Area]:
        """Return what the layer owns, in address order."""
        words = self._extent_words()
        return [Area(*pair) for pair in zip(words[::2], words[1::2], strict=True)]

    def areas(self) -> list[Area]:
        """Return the free areas in address order, up to where the list is broken."""
        areas: list[Area] = []
        self._search(ADDRESS_SPACE, ADDRESS_SPACE, areas)
        return areas

    def state(self) -> KmemState:
        """Return extents and free areas."""
        return KmemState(tuple(self.extents()), tuple(self.areas()))

    def _search(
        self, wanted: int, limit: int, passed: list[Area] | None = None
    ) -> tuple[int, int, int, int, int] | None:
        """Search the list for the first area of *wanted* bytes or more, or to the first at *limit* or above.

        Args:
            wanted: Bytes.
            limit: A kernel address.
            passed: Receives every area that was passed.

        Returns:
            The physical address of the word that links to the area; the area, 0 at the end of the list; its size; its
            own link; and the end of the area before it, or 0. None if the search met an entry that cannot be one.
        """
        load_words = self._memory.load_words
        link = self.addresses.kmem_free_list
        entry = self._memory.load_u32(link)
        size = next_entry = before = before_end = start = end = 0
        while entry:
            if not start <= entry < end:
                start, end = self._extent_of(entry)
            if entry & _ALIGNMENT_MASK or not before < entry < end:
                return None
            next_entry, size = load_words(entry & OFFSET_MASK, 2)
            if size & _ALIGNMENT_MASK or not ALIGNMENT <= size <= min(end - entry, MAX_REQUEST):
                return None
            if size >= wanted or entry >= limit:
                break
            if passed is not None:
                passed.append(Area(entry, size))
            link = entry & OFFSET_MASK
            before, before_end = entry, entry + size
            entry = next_entry
        return link, entry, size, next_entry, before_end

    def _insert(self, address: int, size: int) -> None:
        """Add an area inside an extent to the list and merge it; E_PAR if it overlaps one or the list is broken."""
        position = self._search(ADDRESS_SPACE, address)
        if position is None:
            raise BtronError(Error.E_PAR)
        link, after, after_size, after_next, before_end = position
        end = address + size
        if before_end > address or 0 < after < end:
            raise BtronError(Error.E_PAR)
        if end == after:
            size += after_size
            after = after_next
        self._memory.store_words(address & OFFSET_MASK, (after, size))
        if before_end == address:
            self._memory.store_words(link, (after, address + size - virtual(link)))
        else:
            self._memory.store_u32(link, address)

    def _grow(self, wanted: int) -> bool:
        """Take pages for *wanted* bytes and add them to the list; False if that cannot be."""
        size = -(-max(GROWTH_BYTES, wanted) // PAGE_BYTES) * PAGE_BYTES
        start = self._pmem.alloc(size)
        if not start:
            return False
        if not self._add_extent(start, size):
            self._pmem.free(start, size)
            return False
        try:
            self._insert(start, size)
        except BtronError:  # the pages overlap a free area: somebody freed them although they are the layer's
            return False
        return True

    def _extent_words(self) -> list[int]:
        """Return start and size of each extent, one after the other."""
        count = self._memory.load_u32(self.addresses.kmem_extent_count)
        if count > MAX_EXTENTS:
            location = variable("kmem_extent_count", self.addresses.kmem_extent_count)
            raise BrokenStructure(Defect(_EXTENT_COUNT, AREA, location, count))
        return self._memory.view(self.addresses.kmem_extents, _EXTENT_BYTES * count).cast("I").tolist()

    def _extent_of(self, address: int) -> tuple[int, int]:
        """Return start and end of the extent that *address* lies in, or `_NOWHERE`."""
        words = self._extent_words()
        for index in range(0, len(words), 2):
            start, size = words[index], words[index + 1]
            if address - start & _WORD_MASK < size:
                if not KERNEL_BASE <= start <= ADDRESS_SPACE - size:
                    self._refuse_extent(index, size)
                return start, start + size
        return _NOWHERE

    def _refuse_extent(self, index: int, size: int) -> NoReturn:
        """Refuse to work with an extent that is no part of kernel space."""
        extent = variable("kmem_extents", self.addresses.kmem_extents + WORD * index, item=index // 2)
        raise BrokenStructure(Defect(_EXTENT_SIZE, AREA, extent.member(KMEM_EXTENT, "size"), size))

    def _add_extent(self, start: int, size: int) -> bool:
        """Note that the layer owns ``[start, start + size)``, too; False, with nothing changed, if there is no room.

        An extent that closes a gap merges with both sides, and those above move down; the last one's bytes remain.
        """
        extents = self.extents()
        index = sum(extent.start < start for extent in extents)
        below = index > 0 and extents[index - 1].end == start
        above = index < len(extents) and start + size == extents[index].start
        first, stop = index - below, index + above
        if below:
            start, size = extents[first].start, extents[first].size + size
        if above:
            size += extents[index].size
        extents[first:stop] = [Area(start, size)]
        if len(extents) > MAX_EXTENTS:
            return False
        for position, extent in enumerate(extents[first:], first):
            self._memory.store_words(self.addresses.kmem_extents + _EXTENT_BYTES * position, extent)
        self._memory.store_u32(self.addresses.kmem_extent_count, len(extents))
        return True
