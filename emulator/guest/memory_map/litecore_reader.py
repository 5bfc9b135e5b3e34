"""Read what a LiteCore kernel uses its memory for. As in `reader` nothing is believed before it is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.guest.memory_map.memory_map import MemoryMap
from emulator.guest.memory_map.regions import (
    FRAME_SIZE,
    Region,
    RegionKind,
    add_regions,
    by_address,
    joined,
    round_up,
    with_page_rests,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.machine.machine import Machine
    from kernel_model.audit import Defect
    from kernel_model.frames import FrameUsage
    from kernel_model.litecore.abi import LiteCore
    from kernel_model.litecore.heap import Heap
    from kernel_model.litecore.heap_layout import HeapUsage
    from kernel_model.litecore.memmap import Memmap, MemmapFields

BLOCKS_MAX = 1_000_000

_FOUR_GIB = 1 << 32


def read_litecore(
    machine: Machine, litecore: LiteCore, image: list[Region], modules: list[Region]
) -> MemoryMap:
    """Read the frame allocator and the heap. See `emulator.guest.memory_map.reader.Reader`."""
    memory_size = len(machine.memory)
    frames = heap = None
    defects: list[Defect] = []
    notes: list[str] = []
    try:
        frames = _read_frames(litecore.memmap, memory_size, notes)
        heap = _read_heap(litecore.heap, memory_size, notes)
        if heap is not None and len(heap.blocks) < BLOCKS_MAX and not litecore.heap.is_valid():
            defects = litecore.heap.validate()
    except IndexError as error:
        notes.append(f"LiteCore's symbols do not lie in memory: {error}")
    regions = add_regions(image, [*_regions_of(litecore, frames, heap), *modules])
    reserved = 0
    if frames is not None:
        regions = with_page_rests(regions)
        reserved = _frames_in_use(frames, regions)
    return MemoryMap(
        (machine.ram.start, machine.ram.end),
        tuple(by_address(regions)),
        frames,
        heap,
        tuple(notes),
        reserved=reserved,
        defects=tuple(defects),
    )


def _read_frames(memmap: Memmap, memory_size: int, notes: list[str]) -> FrameUsage | None:
    problem = _window_problem(memmap.fields(), memory_size)
    if problem:
        notes.append(problem)
        return None
    return memmap.usage()


def _read_heap(heap: Heap, memory_size: int, notes: list[str]) -> HeapUsage | None:
    start, end = heap.bounds()
    if start == end:
        notes.append("the heap is not set up")
        return None
    if not start < end <= memory_size:
        notes.append(f"the heap makes no sense: heap_start 0x{start:08x}, heap_end 0x{end:08x}")
        return None
    usage = heap.usage(BLOCKS_MAX)
    if len(usage.blocks) == BLOCKS_MAX:
        notes.append(f"the heap has {BLOCKS_MAX} blocks or more, and only those are shown")
    return usage


def _window_problem(fields: MemmapFields, memory_size: int) -> str:
    if not fields.max_frames:
        return "the frame allocator is not set up"
    window = (fields.start_frame * FRAME_SIZE, fields.end_frame * FRAME_SIZE)
    is_valid = window == (fields.start_addr, fields.end_addr) and window[1] <= _FOUR_GIB
    if is_valid and fields.bitmap + fields.bitmap_bytes <= memory_size:
        return ""
    values = ", ".join(f"{name} 0x{value:08x}" for name, value in fields._asdict().items())
    return f"the memmap makes no sense: {values}"


def _regions_of(litecore: LiteCore, frames: FrameUsage | None, heap: HeapUsage | None) -> list[Region]:
    regions = []
    if frames is not None:
        bitmap = litecore.memmap.fields().bitmap
        regions.append(Region(bitmap, bitmap + len(frames.bits), RegionKind.BITMAP))
    if heap is not None:
        regions.append(Region(heap.start, heap.end, RegionKind.HEAP))
    return regions


def _frames_in_use(frames: FrameUsage, regions: Iterable[Region]) -> int:
    """Count the frames in use that regions touch."""
    spans = joined((region.start // FRAME_SIZE, round_up(region.end) // FRAME_SIZE) for region in regions)
    return sum(frames.used_in(*span) for span in spans)
