"""What can be wrong with the memmap itself, whichever frames are in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.defect import Defect
from kernel_model.litecore.memmap import FRAME_BYTES
from kernel_model.structs import MEMMAP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.litecore.memmap import Memmap
    from kernel_model.memory import Memory


def memmap_defects(memory: Memory, memory_size: int, memmap: Memmap, address: int) -> Iterator[Defect]:
    """Yield the broken rules of a ``memmap_t`` and of its bitmap's unused bits; one that is not set up has none.

    Args:
        memory: Physical memory.
        memory_size: Its bytes.
        memmap: The model; only read from.
        address: Of the struct.
    """
    fields = memmap.fields()
    if not any(fields):
        return

    def defect(field: str, problem: str) -> Defect:
        return Defect(address + MEMMAP.offset(field), f"memmap.{field}", getattr(fields, field), problem)

    if fields.start_addr != fields.start_frame * FRAME_BYTES:
        yield defect("start_addr", "not where start_frame begins")
    elif fields.end_addr != fields.end_frame * FRAME_BYTES:
        yield defect("end_addr", "not where the last of max_frames frames ends")
    elif fields.bitmap + fields.bitmap_bytes > memory_size:
        yield defect("bitmap", "there is no memory for the bitmap")
    else:
        yield from _last_byte(memory, fields.bitmap + fields.bitmap_bytes - 1, fields.max_frames)


def _last_byte(memory: Memory, address: int, frames: int) -> Iterator[Defect]:
    unused = 0xFF << frames % 8 & 0xFF if frames % 8 else 0
    found = memory.load_u8(address)
    if found & unused != unused:
        problem = "bits behind the last frame must be set"
        yield Defect(address, "bitmap", found, problem)
