"""The kernel heap: first fit in address order, split on allocation, merge on release.

Theory. `kernel_model.litecore.heap_layout` says what the bytes of a heap mean. An allocation takes the low part
of the first free block that is large enough, and leaves the rest as a new free block if at least 16 bytes
(a header and the smallest body) remain. A release merges with both neighbours. Bodies are never cleared, and headers
that a merge swallows remain as stale bytes; the C code leaves exactly the same ones.

A pointer given to `Heap.kfree` is believed only when a scan from a known block, header by header, arrives at its header
and finds it live. So stale headers, and words in bodies that look like one, are never taken for blocks. Free-list searches
check each block (`Heap._search`), go strictly upwards and therefore end, also when the guest overwrote the list.
So do the readers, which are used to examine the damage: `Heap.blocks` stops where headers no longer make sense,
`Heap.validate` says why.

Shortcomings. First fit and the scans are linear in the number of blocks. A heap at address 0 cannot be used, because a link
of 0 means the end of the list.

Source: spec 1.3 and 1.5; LiteCore memory document, "Kernel heap (free-list)".
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from kernel_model.blocks import HEADER_BYTES, Block
from kernel_model.litecore.heap_layout import (
    ALIGNMENT,
    BLOCK_HEADER_WORDS,
    FREE_BLOCK_WORDS,
    MIN_BLOCK_BYTES,
    NEXT_OFFSET,
    USED_OFFSET,
    HeapAddresses,
    HeapUsage,
    is_header,
)
from kernel_model.litecore.spinlock import SpinLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kernel_model.audit import Defect
    from kernel_model.memory import Memory

MAX_REQUEST: Final = 0xFFFF_FFF8
"""Largest size whose rounding up to 8 still fits a word."""

_U32_MASK: Final = 0xFFFF_FFFF
_BEYOND: Final = 1 << 32
"""More than any size, above any address."""

_NO_POSITION: Final = (0, 0, 0, 0, 0)
"""What an allocation makes of a broken free list: the same as of its end."""

_ALIGNMENT_MASK: Final = ALIGNMENT - 1


class Heap:
    """The kernel heap on its globals and blocks in guest memory.

    Args:
        memory: Guest memory.
        addresses: Where the heap's globals lie.
        report: Receives the console line of an invalid `kfree`, with its line end.
    """

    def __init__(self, memory: Memory, addresses: HeapAddresses, report: Callable[[str], None]) -> None:
        self._memory = memory
        self.addresses = addresses
        self._report = report
        self._lock = SpinLock(memory, addresses.lock)

    # What the guest calls.

    def init(self, start: int, end: int) -> None:
        """Make ``[start, end)``, rounded inwards to 8, a heap of one free block. C: ``mem_init``.

        A range that cannot hold a block (16 bytes) leaves an empty heap at the rounded *start*, or at *start* itself
        where rounding would wrap. The error count starts again at 0.
        """
        first, last = _round_up(start), end & ~_ALIGNMENT_MASK
        if first > _U32_MASK:
            first = last = start
        empty = last - first < MIN_BLOCK_BYTES
        if empty:
            last = first
        memory, addresses = self._memory, self.addresses
        with self._lock:
            memory.store_u32(addresses.start, first)
            memory.store_u32(addresses.end, last)
            memory.store_u32(addresses.free_list, 0 if empty else first)
            memory.store_u32(addresses.error_count, 0)
            if not empty:
                memory.store_words(first, (last - first - HEADER_BYTES, 0, 0))

    def kmalloc(self, size: int) -> int:
        """Take *size* bytes (rounded up to 8). C: ``kmalloc``.

        Returns:
            Address of the body; 0 with nothing changed for a size of 0, one whose rounding would wrap, or no fit.
        """
        if not 0 < size <= MAX_REQUEST:
            return 0
        wanted = _round_up(size)
        memory = self._memory
        with self._lock:
            link, header, available, next_free, _ = (
                self._search(*self.bounds(), wanted, _BEYOND) or _NO_POSITION
            )
            if not header:
                return 0
            rest = available - wanted
            if rest >= MIN_BLOCK_BYTES:
                new_header = header + HEADER_BYTES + wanted
                memory.store_words(header, (wanted, 1))
                memory.store_words(new_header, (rest - HEADER_BYTES, 0, next_free))
                memory.store_u32(link, new_header)
            else:
                memory.store_u32(header + USED_OFFSET, 1)
                memory.store_u32(link, next_free)
            return header + HEADER_BYTES

    def kfree(self, pointer: int) -> None:
        """Give back a body that `kmalloc` returned. 0 is ignored. C: ``kfree``.

        A pointer that is not the body of a live block changes nothing but ``heap_error_count``, and is reported.
        """
        if not pointer:
            return
        with self._lock:
            freed = self._release(pointer - HEADER_BYTES)
            if not freed:
                count = self._memory.load_u32(self.addresses.error_count)
                self._memory.store_u32(self.addresses.error_count, count + 1 & _U32_MASK)
        if not freed:
            self._report(f"kfree: not allocated: 0x{pointer:08x}\n")

    def has_space(self, size: int) -> bool:
        """Return whether ``kmalloc(size)`` would succeed. C: ``mem_has_space(MEM_TYPE_HEAP, size)``."""
        if not 0 < size <= MAX_REQUEST:
            return False
        with self._lock:
            _, header, *_ = self._search(*self.bounds(), _round_up(size), _BEYOND) or _NO_POSITION
            return header != 0

    # Readers: no lock, no change.

    def bounds(self) -> tuple[int, int]:
        """Return ``heap_start`` and ``heap_end``."""
        load = self._memory.load_u32
        return load(self.addresses.start), load(self.addresses.end)

    def blocks(self) -> Iterator[Block]:
        """Yield all blocks in address order, up to the first header that cannot be one."""
        header, end = self.bounds()
        while header < end:
            try:
                size, used = self._memory.load_words(header, BLOCK_HEADER_WORDS)
            except IndexError:  # a heap_end beyond the memory
                return
            if not is_header(size, used, end - header - HEADER_BYTES):
                return
            yield Block(header, size, bool(used))
            header += HEADER_BYTES + size

    def usage(self, blocks_max: int | None = None) -> HeapUsage:
        """Read the blocks that `blocks` yields, the first *blocks_max* of them, and add them up."""
        start, end = self.bounds()
        blocks = tuple(islice(self.blocks(), blocks_max))
        free = [block.size for block in blocks if not block.used]
        used = sum(block.size for block in blocks if block.used)
        refused = self._memory.load_u32(self.addresses.error_count)
        return HeapUsage(start, end, used, sum(free), max(free, default=0), refused, blocks)

    def is_valid(self) -> bool:
        """Return whether `validate` would find nothing, in a fraction of its time."""
        start, end = self.bounds()
        if start % ALIGNMENT or end % ALIGNMENT or end < start:
            return False
        try:
            words = self._memory.view(start, end - start).cast("I")
        except IndexError:
            return False
        link = self._memory.load_u32(self.addresses.free_list)
        index, stop, was_free = 0, len(words), False
        while index < stop:
            size, used = words[index], words[index + 1]
            if used > 1 or size % ALIGNMENT or not ALIGNMENT <= size <= 4 * (stop - index) - HEADER_BYTES:
                return False
            if not used:
                if was_free or link != start + 4 * index:
                    return False
                link = words[index + 2]
            was_free = not used
            index += (HEADER_BYTES + size) // 4
        return link == 0

    def validate(self) -> list[Defect]:
        """Check every invariant of the heap and return what breaks one, in the order found."""
        from kernel_model.litecore.audits import heap_defects  # only a heap that is not valid needs it

        return heap_defects(self._memory, self)

    # What both share.

    def _search(self, start: int, end: int, wanted: int, limit: int) -> tuple[int, int, int, int, int] | None:
        """Search the free list for the first block of *wanted* bytes or more, or to the first at *limit* or above.

        Args:
            start: ``heap_start``.
            end: ``heap_end``.
            wanted: Bytes, a multiple of 8.
            limit: An address.

        Returns:
            The address of the word that links to the block; its header, 0 at the end of the list; its size; its
            own link; and the end of the free block before it, or *start*. None if the search met a header
            that cannot belong to a free block, or that does not lie above the one before.
        """
        load_words = self._memory.load_words
        link, lowest, known = self.addresses.free_list, start, start
        highest, bodies_end = end - MIN_BLOCK_BYTES, end - HEADER_BYTES
        header = self._memory.load_u32(link)
        size = next_free = 0
        while header:
            if header & _ALIGNMENT_MASK or not lowest <= header <= highest:
                return None
            size, used, next_free = load_words(header, FREE_BLOCK_WORDS)
            if used or size & _ALIGNMENT_MASK or not ALIGNMENT <= size <= bodies_end - header:
                return None
            if size >= wanted or header >= limit:
                break
            link = lowest = header + NEXT_OFFSET  # headers are aligned: the next one up is here or above
            known = link + size
            header = next_free
        return link, header, size, next_free, known

    def _release(self, header: int) -> bool:
        """Make the live block at *header* free and merge it; False with nothing changed if there is none."""
        memory = self._memory
        start, end = self.bounds()
        if header & _ALIGNMENT_MASK or not start <= header <= end - MIN_BLOCK_BYTES:
            return False
        position = self._search(start, end, _BEYOND, header)
        if position is None:
            return False
        link, after, after_size, after_next, known = position
        if known != header and not self._leads_to(known, header):
            return False
        size, used = memory.load_words(header, BLOCK_HEADER_WORDS)
        if used != 1 or size & _ALIGNMENT_MASK or not ALIGNMENT <= size <= end - HEADER_BYTES - header:
            return False
        if header + HEADER_BYTES + size == after:
            size += HEADER_BYTES + after_size
            after = after_next
        memory.store_words(header, (size, 0, after))
        if known == header and link != self.addresses.free_list:
            before = link - NEXT_OFFSET
            memory.store_words(before, (header + size - before, 0, after))
        else:
            memory.store_u32(link, header)
        return True

    def _leads_to(self, known: int, header: int) -> bool:
        """Return whether stepping from block to block from *known* arrives at *header*; all headers are checked."""
        if known > header or known & _ALIGNMENT_MASK:
            return False
        words = self._memory.view(known, header - known).cast("I")
        index, stop = 0, len(words)
        while index < stop:
            size = words[index]
            if words[index + 1] > 1 or size & _ALIGNMENT_MASK or not size:
                return False
            index += (HEADER_BYTES + size) // 4
        return index == stop


def _round_up(size: int) -> int:
    """Return *size* rounded up to the alignment; may pass 32 bits."""
    return (size + _ALIGNMENT_MASK) & ~_ALIGNMENT_MASK
