"""What lies at an address of LiteCore's memory.

Theory. The structures may be broken at that moment, so the heap is read with the scan that distrusts it.

Source: spec 1.2 and 1.3; `kernel_model.structs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.audit import Location, LocationKind, table_entry, variable
from kernel_model.frames import FRAME_BYTES
from kernel_model.litecore.symbols import PAGING_SYMBOLS, VSPACE_SYMBOLS
from kernel_model.structs import BLOCK_HEADER, FREE_BLOCK, MEMMAP, VSPACE_RANGE, WORD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernel_model.litecore.abi import LiteCore
    from kernel_model.litecore.heap import Heap
    from kernel_model.litecore.memmap import MemmapFields
    from kernel_model.litecore.paging import Paging
    from kernel_model.litecore.vspace import VirtualSpace

_WORD_SYMBOLS: Final = (
    "memmap_lock",
    "heap_start",
    "heap_end",
    "heap_free_list",
    "heap_error_count",
    "heap_lock",
    *PAGING_SYMBOLS,
    *VSPACE_SYMBOLS,
)


def locate(address: int, size: int, symbols: Mapping[str, int], litecore: LiteCore) -> Location | None:
    """Return what the *size* bytes from *address* on belong to, by the first of them; None: nothing that is known.

    Only in the bitmap does a location depend on *size*: it is of as many bytes, as far as the bitmap goes.
    """
    for name in _WORD_SYMBOLS:
        if name in symbols and symbols[name] <= address < symbols[name] + WORD:
            return variable(name, symbols[name])
    field = MEMMAP.field_at(address - symbols["memmap"])
    if field is not None:
        return variable("memmap", symbols["memmap"]).member(MEMMAP, field)
    return (
        _in_bitmap(address, size, litecore.memmap.fields())
        or _in_page_tables(address, litecore.paging)
        or _in_record(address, litecore.vspace)
        or _in_heap(address, litecore.heap)
    )


def _in_bitmap(address: int, size: int, fields: MemmapFields) -> Location | None:
    """Return which frames bytes of the bitmap stand for, or None outside it."""
    index = address - fields.bitmap
    if not 0 <= index < fields.bitmap_bytes:
        return None
    stop = min(index + size, fields.bitmap_bytes)
    frames = range(fields.start_frame + 8 * index, min(fields.start_frame + 8 * stop, fields.end_frame))
    return Location(LocationKind.BITMAP, "bitmap", address, fields.bitmap + stop, byte=index, frames=frames)


def _in_page_tables(address: int, paging: Paging | None) -> Location | None:
    """Return which page or table an entry of the page directory or of a table maps, or None elsewhere."""
    if paging is None:
        return None
    start = address & -WORD
    index = start % FRAME_BYTES // WORD
    if address - address % FRAME_BYTES == paging.directory() != 0:
        return table_entry(index << 22, start, of_directory=True)
    for above, table in paging.tables():
        if address - address % FRAME_BYTES == table:
            return table_entry(above << 22 | index << 12, start)
    return None


def _in_record(address: int, vspace: VirtualSpace | None) -> Location | None:
    """Return which member of the record of a range lies at an address, or None outside all."""
    if vspace is None:
        return None
    from kernel_model.litecore.paging_damage import record_location  # few kernels have ranges

    for each in vspace.ranges():
        field = VSPACE_RANGE.field_at(address - each.record)
        if field is not None:
            return record_location(each.record).member(VSPACE_RANGE, field)
    return None


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
