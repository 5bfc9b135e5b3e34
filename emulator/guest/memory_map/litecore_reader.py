"""Read what a LiteCore kernel uses its memory for. As in `reader` nothing is believed before it is checked."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from emulator.guest.memory_map.memory_map import Frames, HeapState, MemoryMap
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
    from kernel_model.litecore.abi import LiteCore
    from kernel_model.litecore.memmap import Memmap, MemmapFields
    from kernel_model.memory import Memory

BLOCKS_MAX = 1_000_000

_FOUR_GIB = 1 << 32


def read_litecore(
    machine: Machine, litecore: LiteCore, image: list[Region], modules: list[Region], *, with_runs: bool
) -> MemoryMap:
    """Read the frame allocator and the heap. See `emulator.guest.memory_map.reader.Reader`."""
    frames, heap, notes = _read_layers(machine.memory, litecore, len(machine.memory), with_runs=with_runs)
    regions = add_regions(image, [*_regions_of(litecore, frames, heap), *modules])
    if frames is not None:
        regions = with_page_rests(regions)
        frames = frames._replace(reserved=_frames_in_use(frames, regions))
    ram = (machine.ram.start, machine.ram.end)
    return MemoryMap(ram, tuple(by_address(regions)), frames, heap, tuple(notes))


def _read_layers(
    memory: Memory, litecore: LiteCore, memory_size: int, *, with_runs: bool
) -> tuple[Frames | None, HeapState | None, list[str]]:
    frames = heap = None
    notes = []
    try:
        fields = litecore.memmap.fields()
        problem = _window_problem(fields, memory_size)
        if problem:
            notes.append(problem)
        else:
            frames = _read_frames(memory, litecore.memmap, fields, with_runs=with_runs)
        start, end = litecore.heap.bounds()
        if start == end:
            notes.append("the heap is not set up")
        elif not start < end <= memory_size:
            notes.append(f"the heap makes no sense: heap_start 0x{start:08x}, heap_end 0x{end:08x}")
        else:
            heap = _read_heap(memory, litecore, notes)
    except IndexError as error:
        notes.append(f"LiteCore's symbols do not lie in memory: {error}")
    return frames, heap, notes


def _window_problem(fields: MemmapFields, memory_size: int) -> str:
    if not fields.max_frames:
        return "the frame allocator is not set up"
    window = (fields.start_frame * FRAME_SIZE, fields.end_frame * FRAME_SIZE)
    sound = window == (fields.start_addr, fields.end_addr) and window[1] <= _FOUR_GIB
    if sound and fields.bitmap + fields.bitmap_bytes <= memory_size:
        return ""
    values = ", ".join(f"{name} 0x{value:08x}" for name, value in fields._asdict().items())
    return f"the memmap makes no sense: {values}"


def _read_frames(memory: Memory, memmap: Memmap, fields: MemmapFields, *, with_runs: bool) -> Frames:
    usage = memmap.usage()
    return Frames(
        fields.start_frame,
        fields.max_frames,
        usage.free,
        usage.largest_free_run,
        memory.read(fields.bitmap, fields.bitmap_bytes),
        runs=tuple(memmap.runs()) if with_runs else None,
    )


def _read_heap(memory: Memory, litecore: LiteCore, notes: list[str]) -> HeapState:
    heap = litecore.heap
    start, end = heap.bounds()
    blocks = tuple(islice(heap.blocks(), BLOCKS_MAX))
    if len(blocks) == BLOCKS_MAX:
        notes.append(f"the heap has {BLOCKS_MAX} blocks or more, and only those are shown")
    free = [block.size for block in blocks if not block.used]
    return HeapState(
        start,
        end,
        blocks,
        used=sum(block.size for block in blocks if block.used),
        free=sum(free),
        largest_free=max(free, default=0),
        refused=memory.load_u32(heap.addresses.error_count),
        defects=() if len(blocks) == BLOCKS_MAX or heap.is_valid() else tuple(heap.validate()),
    )


def _regions_of(litecore: LiteCore, frames: Frames | None, heap: HeapState | None) -> list[Region]:
    regions = []
    if frames is not None:
        bitmap = litecore.memmap.fields().bitmap
        regions.append(Region(bitmap, bitmap + len(frames.bits), RegionKind.BITMAP))
    if heap is not None:
        regions.append(Region(heap.start, heap.end, RegionKind.HEAP))
    return regions


def _frames_in_use(frames: Frames, regions: Iterable[Region]) -> int:
    """Count the frames in use that regions touch."""
    spans = joined((region.start // FRAME_SIZE, round_up(region.end) // FRAME_SIZE) for region in regions)
    return sum(frames.used_in(*span) for span in spans)
