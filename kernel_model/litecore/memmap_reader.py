"""Checks the memmap itself, whichever frames are in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from kernel_model.audit import Defect, Invariant, Location, LocationKind, variable
from kernel_model.litecore.memmap import AREA, FRAME_BYTES
from kernel_model.structs import MEMMAP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.litecore.memmap import Memmap, MemmapFields
    from kernel_model.memory import Memory

_START: Final = Invariant("memmap-start", "not where start_frame begins")
_END: Final = Invariant("memmap-end", "not where the last of max_frames frames ends")
_BITMAP: Final = Invariant("memmap-bitmap", "there is no memory for the bitmap")
_UNUSED_BITS: Final = Invariant("memmap-unused-bits", "bits behind the last frame must be set")


class BrokenField(NamedTuple):
    """A member of a ``memmap_t`` and the invariant that it breaks."""

    name: str
    invariant: Invariant


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
        location = variable("memmap", address).member(MEMMAP, broken.name)
        yield Defect(broken.invariant, AREA, location, getattr(fields, broken.name))
    else:
        yield from _last_byte(memory, fields)


def broken_field(fields: MemmapFields, memory_size: int) -> BrokenField | None:
    """Return the member of a ``memmap_t`` that fits neither the others nor memory; None: all do.

    Args:
        fields: Of the struct.
        memory_size: Bytes of physical memory.
    """
    if fields.start_addr != fields.start_frame * FRAME_BYTES:
        return BrokenField("start_addr", _START)
    if fields.end_addr != fields.end_frame * FRAME_BYTES:
        return BrokenField("end_addr", _END)
    if fields.bitmap + fields.bitmap_bytes > memory_size:
        return BrokenField("bitmap", _BITMAP)
    return None


def _last_byte(memory: Memory, fields: MemmapFields) -> Iterator[Defect]:
    index, bits = fields.bitmap_bytes - 1, fields.max_frames % 8
    unused = 0xFF << bits & 0xFF if bits else 0
    address = fields.bitmap + index
    found = memory.load_u8(address)
    if found & unused != unused:
        frames = range(fields.start_frame + 8 * index, fields.end_frame)
        location = Location(LocationKind.BITMAP, "bitmap", address, address + 1, byte=index, frames=frames)
        yield Defect(_UNUSED_BITS, AREA, location, found)
