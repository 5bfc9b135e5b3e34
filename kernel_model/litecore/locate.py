"""What lies at an address of LiteCore's memory.

Theory. The structures may be broken at that moment, so the heap is read with the scan that distrusts it.

Source: spec 1.2 and 1.3; `kernel_model.structs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.audit import Location, LocationKind, variable
from kernel_model.structs import BLOCK_HEADER, FREE_BLOCK, MEMMAP, WORD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernel_model.litecore.heap import Heap
    from kernel_model.litecore.memmap import Memmap, MemmapFields

_WORD_SYMBOLS: Final = (
    "memmap_lock",
    "heap_start",
    "heap_end",
    "heap_free_list",
    "heap_error_count",
    "heap_lock",
)


def locate(
    address: int, size: int, symbols: Mapping[str, int], memmap: Memmap, heap: Heap
) -> Location | None:
    """Return what the *size* bytes from *address* on belong to, by the first of them; None: nothing that is known.

    Only in the bitmap does a location depend on *size*: it is of as many bytes, as far as the bitmap goes.
    """
    for name in _WORD_SYMBOLS:
        if symbols[name] <= address < symbols[name] + WORD:
            return variable(name, symbols[name])
    field = MEMMAP.field_at(address - symbols["memmap"])
    if field is not None:
        return variable("memmap", symbols["memmap"]).member(MEMMAP, field)
    return _in_bitmap(address, size, memmap.fields()) or _in_heap(address, heap)


def _in_bitmap(address: int, size: int, fields: MemmapFields) -> Location | None:
    """Return which frames bytes of the bitmap stand for, or None outside it."""
    index = address - fields.bitmap
    if not 0 <= index < fields.bitmap_bytes:
        return None
    stop = min(index + size, fields.bitmap_bytes)
    frames = range(fields.start_frame + 8 * index, min(fields.start_frame + 8 * stop, fields.end_frame))
    return Location(LocationKind.BITMAP, "bitmap", address, fields.bitmap + stop, byte=index, frames=frames)


def _in_heap(address: int, heap: Heap) -> Location | None:
    """Return the block and member that a byte of the heap belongs to, or None outside the heap."""
    start, end = heap.bounds()
    if not start <= address < end:
        return None
    for block in heap.blocks():
        if address < block.end:
            whole = Location(LocationKind.BLOCK, "heap", block.header, block.end, item=block.header)
            return whole.part_at(address, BLOCK_HEADER, BLOCK_HEADER if block.used else FREE_BLOCK)
    return Location(LocationKind.UNREADABLE, "heap", address, address + 1, field="header")
