"""A small machine's memory as data: 64 frames from 1 MiB on."""

from __future__ import annotations

from emulator.guest.memory_map.memory_map import MemoryMap
from emulator.guest.memory_map.regions import Region, RegionKind
from kernel_model.audit import Defect, Invariant, variable
from kernel_model.blocks import Block
from kernel_model.frames import FrameUsage, frame_usage
from kernel_model.litecore.heap_layout import HeapUsage

RAM = (0x100000, 0x140000)
REGIONS = (
    Region(0x100000, 0x102800, RegionKind.IMAGE),
    Region(0x102800, 0x102808, RegionKind.BITMAP),
    Region(0x102808, 0x103000, RegionKind.RESERVED),
    Region(0x103000, 0x105000, RegionKind.HEAP),
)


def frames(first: int, used: str) -> FrameUsage:
    """Describe frames by a text: ``#`` in use, ``.`` free."""
    number = sum(1 << index for index, character in enumerate(used) if character == "#")
    return frame_usage(first, len(used), number.to_bytes(-(-len(used) // 8), "little"))


def defect(text: str) -> Defect:
    return Defect(Invariant("example", text, names_word=True), "heap", variable("heap_start", 0x100000), 0)


def heap(*, refused: int = 0) -> HeapUsage:
    blocks = (
        Block(0x103000, 4088, used=True),
        Block(0x104000, 504, used=True),
        Block(0x104200, 3576, used=False),
    )
    return HeapUsage(0x103000, 0x105000, 4592, 3576, 3576, refused, blocks)


def memory_map(*, notes: tuple[str, ...] = ()) -> MemoryMap:
    """Return image, bitmap and heap in five frames, three frames handed out, one of them further up."""
    return MemoryMap(
        RAM, REGIONS, frames(0x100, "#######" + "." * 9 + "#" + "." * 47), heap(), notes, reserved=5
    )
