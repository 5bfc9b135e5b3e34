"""The audits of LiteCore: its heap, its memmap and its locks.

Theory. Everything happens with the lock of its structure held, so all invariants of heap and memmap hold while no lock is
held, wherever the kernel is.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from kernel_model.audit import Audit, BrokenStructure, Defect, Invariant, Location, LocationKind, variable
from kernel_model.blocks import HEADER_BYTES
from kernel_model.frames import FRAME_BYTES
from kernel_model.litecore.heap_layout import ALIGNMENT, BLOCK_HEADER_WORDS, NEXT_OFFSET
from kernel_model.litecore.spinlock import FREE, HELD
from kernel_model.structs import FREE_BLOCK, MEMMAP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kernel_model.blocks import Block
    from kernel_model.litecore.heap import Heap
    from kernel_model.litecore.memmap import Memmap, MemmapFields
    from kernel_model.memory import Memory

HEAP: Final = "heap"
FRAMES: Final = "frames"
"""The areas of LiteCore's profile."""

_HEAP_START_ALIGNED: Final = Invariant("heap-start", "not a multiple of 8")
_HEAP_END_ALIGNED: Final = Invariant("heap-end", "not a multiple of 8, or below heap_start")
_HEAP_IN_MEMORY: Final = Invariant("heap-in-memory", "there is no memory up to there")
_HEAP_MERGED: Final = Invariant("heap-merged", "free, and so is the block before it")
_HEAP_LIST_HEAD: Final = Invariant("heap-list-head", "should be 0x{:08x}, the next free block or the end (0)")
_HEAP_LIST_LINK: Final = Invariant("heap-list-link", _HEAP_LIST_HEAD.violation, of_free_list=True)
_HEAP_SIZE_ALIGNED: Final = Invariant("heap-size-aligned", "not a multiple of 8")
_HEAP_SIZE_MIN: Final = Invariant("heap-size-min", "smaller than 8")
_HEAP_SIZE_FITS: Final = Invariant("heap-size-fits", "reaches beyond heap_end")
_HEAP_USED_FLAG: Final = Invariant("heap-used-flag", "neither 0 nor 1")

_MEMMAP_START: Final = Invariant("memmap-start", "not where start_frame begins")
_MEMMAP_END: Final = Invariant("memmap-end", "not where the last of max_frames frames ends")
_MEMMAP_BITMAP: Final = Invariant("memmap-bitmap", "there is no memory for the bitmap")
_MEMMAP_UNUSED_BITS: Final = Invariant("memmap-unused-bits", "bits behind the last frame must be set")

_LOCKS: Final = {"heap_lock": HEAP, "memmap_lock": FRAMES, "paging_lock": FRAMES, "vspace_lock": "vspace"}
_LOCK_VALUE: Final = Invariant("lock-value", "neither 0 nor 1")
_BITMAP_IN_MEMORY: Final = Invariant(
    "memmap-bitmap-in-memory", "there is no memory for the bitmap of max_frames = 0x{:08x}"
)


def audits(
    memory: Memory, memory_size: int, symbols: Mapping[str, int], heap: Heap, frames: Memmap
) -> tuple[Audit, ...]:
    """Return all audits of one kernel.

    Args:
        memory: Guest memory.
        memory_size: Its bytes.
        symbols: Addresses by the names of the C code.
        heap: The model of the heap; only read from.
        frames: The model of the memmap; only read from.
    """
    return (
        Audit("heap", (HEAP,), lambda: [] if heap.is_valid() else heap_defects(memory, heap)),
        Audit(
            "memmap",
            (FRAMES,),
            lambda: list(memmap_defects(memory, memory_size, frames, symbols["memmap"])),
        ),
        Audit(
            "locks",
            tuple(dict.fromkeys(_locks_in(symbols).values())),
            lambda: list(_lock_defects(memory, symbols)),
        ),
    )


def any_lock_held(memory: Memory, symbols: Mapping[str, int]) -> bool:
    """Return whether the kernel is in the middle of changing a structure."""
    return any(memory.load_u32(symbols[name]) == HELD for name in _locks_in(symbols))


def _locks_in(symbols: Mapping[str, int]) -> dict[str, str]:
    """Return the areas of the locks that a kernel has, by name."""
    return {name: area for name, area in _LOCKS.items() if name in symbols}


def _lock_defects(memory: Memory, symbols: Mapping[str, int]) -> Iterator[Defect]:
    """Yield the words of the spin locks that are none."""
    for name, area in _locks_in(symbols).items():
        value = memory.load_u32(symbols[name])
        if value not in (FREE, HELD):
            yield Defect(_LOCK_VALUE, area, variable(name, symbols[name]), value)


def heap_defects(memory: Memory, heap: Heap) -> list[Defect]:
    """Check every invariant of a heap, one by one, and return what breaks one, in the order found."""
    start, end = heap.bounds()
    if start % ALIGNMENT:
        return [Defect(_HEAP_START_ALIGNED, HEAP, variable("heap_start", heap.addresses.start), start)]
    if end % ALIGNMENT or end < start:
        return [Defect(_HEAP_END_ALIGNED, HEAP, variable("heap_end", heap.addresses.end), end)]
    blocks = list(heap.blocks())
    try:
        return _block_defects(memory, blocks, start, end) + _list_defects(memory, heap, blocks)
    except IndexError:
        return [Defect(_HEAP_IN_MEMORY, HEAP, variable("heap_end", heap.addresses.end), end)]


def _block_defects(memory: Memory, blocks: list[Block], start: int, end: int) -> list[Defect]:
    """Return the unmerged neighbours, and the header at which the scan broke off."""
    defects = [
        Defect(_HEAP_MERGED, HEAP, _member(right.header, "used"), 0)
        for left, right in pairwise(blocks)
        if not left.used and not right.used
    ]
    stop = blocks[-1].end if blocks else start
    if stop < end:
        size, used = memory.load_words(stop, BLOCK_HEADER_WORDS)
        defect = _header_defect(stop, size, used, end)
        defects += [defect] if defect else []
    return defects


def _list_defects(memory: Memory, heap: Heap, blocks: list[Block]) -> list[Defect]:
    """Compare the free list with the free blocks; *blocks* may end early where a header is broken."""
    expected = [block.header for block in blocks if not block.used] + [0]
    blocks_end = blocks[-1].end if blocks else heap.bounds()[0]
    link, before = heap.addresses.free_list, None
    for header in expected:
        found = memory.load_u32(link)
        if found != header:
            if header == 0 and blocks_end <= found < heap.bounds()[1] and found % ALIGNMENT == 0:
                return []  # continues after the broken header, where no block can be known
            if before is None:
                location = variable("heap_free_list", link)
                return [Defect(_HEAP_LIST_HEAD, HEAP, location, found, (header,))]
            return [Defect(_HEAP_LIST_LINK, HEAP, _member(before, "next"), found, (header,))]
        link, before = header + NEXT_OFFSET, header
    return []


def _header_defect(header: int, size: int, used: int, end: int) -> Defect | None:
    """Return the first invariant that a header breaks, or None."""
    if size % ALIGNMENT:
        return Defect(_HEAP_SIZE_ALIGNED, HEAP, _member(header, "size"), size)
    if size < ALIGNMENT:
        return Defect(_HEAP_SIZE_MIN, HEAP, _member(header, "size"), size)
    if size > end - header - HEADER_BYTES:
        return Defect(_HEAP_SIZE_FITS, HEAP, _member(header, "size"), size)
    if used > 1:
        return Defect(_HEAP_USED_FLAG, HEAP, _member(header, "used"), used)
    return None


def _member(header: int, field: str) -> Location:
    """Return the location of a word of the block whose header lies at *header*."""
    block = Location(LocationKind.BLOCK, "heap", header, header, item=header)
    return block.member(FREE_BLOCK, field)


def memmap_defects(memory: Memory, memory_size: int, memmap: Memmap, address: int) -> Iterator[Defect]:
    """Yield the defects of a ``memmap_t`` and of its bitmap's unused bits; one that is not set up has none.

    Args:
        memory: Physical memory.
        memory_size: Its bytes.
        memmap: The model; only read from.
        address: Of the struct.
    """
    fields = memmap.fields()
    if not any(fields):
        return
    broken = broken_field(fields, memory_size)
    if broken is not None:
        name, invariant = broken
        location = variable("memmap", address).member(MEMMAP, name)
        yield Defect(invariant, FRAMES, location, getattr(fields, name))
    else:
        yield from _last_byte(memory, fields)


def broken_field(fields: MemmapFields, memory_size: int) -> tuple[str, Invariant] | None:
    """Return the member of a ``memmap_t`` that fits neither the others nor memory, and what it breaks; None: all fit.

    Args:
        fields: Of the struct.
        memory_size: Bytes of physical memory.
    """
    if fields.start_addr != fields.start_frame * FRAME_BYTES:
        return ("start_addr", _MEMMAP_START)
    if fields.end_addr != fields.end_frame * FRAME_BYTES:
        return ("end_addr", _MEMMAP_END)
    if fields.bitmap + fields.bitmap_bytes > memory_size:
        return ("bitmap", _MEMMAP_BITMAP)
    return None


def _last_byte(memory: Memory, fields: MemmapFields) -> Iterator[Defect]:
    index, bits = fields.bitmap_bytes - 1, fields.max_frames % 8
    unused = 0xFF << bits & 0xFF if bits else 0
    address = fields.bitmap + index
    found = memory.load_u8(address)
    if found & unused != unused:
        frames = range(fields.start_frame + 8 * index, fields.end_frame)
        location = Location(LocationKind.BITMAP, "bitmap", address, address + 1, byte=index, frames=frames)
        yield Defect(_MEMMAP_UNUSED_BITS, FRAMES, location, found)


def bitmap_outside_memory(address: int, fields: MemmapFields) -> BrokenStructure:
    """Return what the model raises when there is no memory for the bitmap of the ``memmap_t`` at *address*."""
    location = variable("memmap", address).member(MEMMAP, "bitmap")
    return BrokenStructure(Defect(_BITMAP_IN_MEMORY, FRAMES, location, fields.bitmap, (fields.max_frames,)))
