"""What lies at an address: the words of a report about a differing byte.

Theory. A byte that two runs disagree on means little by its address. It belongs to a global of the kernel, to the
bitmap, to a block of the heap, or to none of them. The structures may be broken at that moment, so the heap is
read with the walk that distrusts it.

Source: spec 1.2 and 1.3; `kernel_model.structs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.structs import BLOCK_HEADER, FREE_BLOCK, MEMMAP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernel_model.litecore.heap_reader import Block, HeapReader
    from kernel_model.litecore.memmap import Memmap, MemmapFields

_WORD_SYMBOLS: Final = (
    "memmap_lock",
    "heap_start",
    "heap_end",
    "heap_free_list",
    "heap_error_count",
    "heap_lock",
)


def describe(address: int, size: int, symbols: Mapping[str, int], memmap: Memmap, heap: HeapReader) -> str:
    """Return what the *size* bytes from *address* on belong to, by the first of them.

    Examples: ``memmap.bitmap``, ``heap_free_list``, ``bitmap byte 12 (frames 352..359)``, ``bitmap bytes 12..13 (frames
    352..367)``, ``heap block 0x0010a000 .size`` (blocks are named by their headers), ``heap block 0x0010a000 body byte
    24``, and, for anything else, the address itself.
    """
    for name in _WORD_SYMBOLS:
        if symbols[name] <= address < symbols[name] + 4:
            return name
    field = MEMMAP.field_at(address - symbols["memmap"])
    if field is not None:
        return f"memmap.{field.name}"
    return _in_bitmap(address, size, memmap.fields()) or _in_heap(address, heap) or f"0x{address:08x}"


def _in_bitmap(address: int, size: int, fields: MemmapFields) -> str | None:
    """Return which frames bytes of the bitmap stand for, or None outside it."""
    index = address - fields.bitmap
    if not 0 <= index < fields.bitmap_bytes:
        return None
    last_index = min(index + size, fields.bitmap_bytes) - 1
    first = fields.start_frame + 8 * index
    last = min(fields.start_frame + 8 * last_index + 8, fields.end_frame) - 1
    span = f"byte {index}" if index == last_index else f"bytes {index}..{last_index}"
    return f"bitmap {span} (frames {first}..{last})"


def _in_heap(address: int, heap: HeapReader) -> str | None:
    """Return the block and field that a byte of the heap belongs to, or None outside the heap."""
    start, end = heap.bounds()
    if not start <= address < end:
        return None
    for block in heap.blocks():
        if address < block.end:
            return f"heap block 0x{block.header:08x} {_in_block(address - block.header, block)}"
    return f"heap byte 0x{address:08x}, behind a broken header"


def _in_block(offset: int, block: Block) -> str:
    """Return the part of a block that the byte *offset* bytes after its header's start belongs to."""
    field = (BLOCK_HEADER if block.used else FREE_BLOCK).field_at(offset)
    return f"body byte {offset - BLOCK_HEADER.size}" if field is None else f".{field.name}"
