"""Read what a machine's memory is used for.

The guest may have overwritten everything, or may never have set it up. So nothing is believed before it is checked,
and no walk is longer than `BLOCKS_MAX`; what makes no sense is left out, with a note that says why.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from emulator.errors import BadImage
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
from kernel_model.text import defect_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.guest.memory_map.regions import Span
    from emulator.machine.machine import Machine
    from kernel_model.btron.abi import Btron
    from kernel_model.litecore.abi import LiteCore
    from kernel_model.litecore.memmap import Memmap, MemmapFields
    from kernel_model.memory import Memory

BLOCKS_MAX = 1_000_000

_FOUR_GIB = 1 << 32
# Offsets in multiboot_info (Multiboot Specification 0.6.96, section 3.3).
_INFO_MODULE_COUNT, _INFO_MODULES = 20, 24
_MODULE_ENTRY_SIZE = 16


def modules_at_entry(machine: Machine) -> tuple[Span, ...]:
    """Return where a machine that was given boot modules, and has not run yet, holds them."""
    info = machine.cpu.registers().ebx
    load = machine.memory.load_u32
    count, table = load(info + _INFO_MODULE_COUNT), load(info + _INFO_MODULES)
    entries = range(table, table + count * _MODULE_ENTRY_SIZE, _MODULE_ENTRY_SIZE)
    return tuple((load(entry), load(entry + 4)) for entry in entries)


def read_memory_map(machine: Machine, modules: Iterable[Span] = (), *, with_runs: bool = False) -> MemoryMap:
    """Read what a machine's memory is used for now.

    Args:
        machine: Stopped.
        modules: From `modules_at_entry`.
        with_runs: Fill in `Frames.runs`; a second or so where hundreds of thousands of frames alternate.
    """
    from emulator.hle.layers import find_btron, find_litecore  # only here are the models needed

    # Less than a page between two segments is padding.
    spans = joined(((each.physical, each.end) for each in machine.image.segments), gap=FRAME_SIZE - 1)
    image = [Region(*span, RegionKind.IMAGE) for span in spans]
    reserved = [Region(*span, RegionKind.RESERVED) for span in modules]
    frames = heap = None
    found: list[Region] = []
    try:
        litecore = find_litecore(machine)
        if litecore is None:
            btron = find_btron(machine)
            if btron is not None:
                return _btron_memory_map(machine, btron, add_regions(image, reserved), with_runs=with_runs)
            notes = [f"frames and heap are unknown: {_why_unknown(machine)}"]
        else:
            frames, heap, notes = _read_litecore(
                machine.memory, litecore, len(machine.memory), with_runs=with_runs
            )
            found = _regions_of(litecore, frames, heap)
    except BadImage as error:
        notes = [f"frames and heap are unknown: {error.problem}"]
    regions = add_regions(image, [*found, *reserved])
    if frames is not None:
        regions = with_page_rests(regions)
        frames = frames._replace(reserved=_frames_in_use(frames, regions))
    return MemoryMap(
        (machine.ram.start, machine.ram.end), tuple(by_address(regions)), frames, heap, tuple(notes)
    )


def _btron_memory_map(machine: Machine, btron: Btron, taken: list[Region], *, with_runs: bool) -> MemoryMap:
    from emulator.guest.memory_map.btron_reader import read_btron  # not for LiteCore

    memory = machine.memory
    usage = read_btron(memory, len(memory), btron, by_address(taken), with_runs=with_runs)
    start = machine.ram.start
    nothing_below = any(region.start == 0 and region.end >= start for region in usage.regions)  # all reserved
    return MemoryMap(
        (start if usage.frames is None or nothing_below else 0, machine.ram.end),
        tuple(by_address(usage.regions)),
        usage.frames,
        notes=usage.notes,
        btron=usage.state,
    )


def _why_unknown(machine: Machine) -> str:
    """Say why a machine's kernel is none of those that are known."""
    from emulator.hle.kernels import KERNELS, outside_text, symbol_outside

    for kernel in KERNELS:
        if not any(kernel.missing(machine.image.symbols, layer) for layer in kernel.layers):
            outside = symbol_outside(machine, kernel, kernel.layers)
            if outside is not None:
                return outside_text(outside)
    return "the kernel lacks symbols of LiteCore and of BTRON/386 (kmemu inspect names them)"


def _read_litecore(
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
        defects=tuple(map(defect_text, heap.validate())) if len(blocks) < BLOCKS_MAX else (),
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
