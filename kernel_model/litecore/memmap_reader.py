"""What can be wrong with the memmap itself, whichever frames are in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.defect import Defect
from kernel_model.litecore.memmap import FRAME_BYTES
from kernel_model.structs import MEMMAP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.litecore.memmap import Memmap, MemmapFields
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
    broken = broken_field(fields, memory_size)
    if broken is not None:
        field, problem = broken
        yield Defect(address + MEMMAP.offset(field), f"memmap.{field}", getattr(fields, field), problem)
    else:
        yield from _last_byte(memory, fields.bitmap + fields.bitmap_bytes - 1, fields.max_frames)


def broken_field(fields: MemmapFields, memory_size: int) -> tuple[str, str] | None:
    """Return the field of a ``memmap_t`` that fits neither the others nor memory, and why; None: all do.

    Args:
        fields: Of the struct.
        memory_size: Bytes of physical memory.
    """
    if fields.start_addr != fields.start_frame * FRAME_BYTES:
        return "start_addr", "not where start_frame begins"
    if fields.end_addr != fields.end_frame * FRAME_BYTES:
        return "end_addr", "not where the last of max_frames frames ends"
    if fields.bitmap + fields.bitmap_bytes > memory_size:
        return "bitmap", "there is no memory for the bitmap"
    return None


def _last_byte(memory: Memory, address: int, frames: int) -> Iterator[Defect]:
    unused = 0xFF << frames % 8 & 0xFF if frames % 8 else 0
    found = memory.load_u8(address)
    if found & unused != unused:
        problem = "bits behind the last frame must be set"
        yield Defect(address, "bitmap", found, problem)
