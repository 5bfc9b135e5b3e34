"""The memory map: what physical memory is used for, as plain data.

Of a BTRON/386 kernel addresses are the kernel's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.memory_map.regions import FRAME_SIZE, Region, RegionKind, between, by_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.guest.memory_map.regions import Span
    from emulator.guest.memory_map.spaces import Spaces
    from kernel_model.audit import Defect
    from kernel_model.btron.kmem import KmemState
    from kernel_model.btron.pages import PageUsage
    from kernel_model.btron.pools.reader import PoolState
    from kernel_model.frames import FrameRun, FrameUsage
    from kernel_model.litecore.heap_layout import HeapUsage


class BtronState(NamedTuple):
    """The state of all layers of a BTRON/386 kernel. A part is None where it is not set up or makes no sense."""

    pages: PageUsage | None = None
    kmem: KmemState | None = None
    pools: tuple[PoolState, ...] = ()


class MemoryMap(NamedTuple):
    """What physical memory is used for.

    Attributes:
        ram: Extended RAM; memory from 0 on where the kernel uses pages below that.
        regions: Image, bitmap, heap, reserved: sorted, without overlaps. Some may lie outside *ram*.
        frames: None where there is no frame allocator, or none that makes sense. BTRON/386's pages, too.
        heap: The same for the heap.
        notes: Why something is missing.
        btron: What else is known of a BTRON/386 kernel; None for other kernels.
        kernel: Name of the kernel, if it is one that is known.
        reserved: Frames in use for the image, the bitmap, the heap, page tables and boot modules.
        defects: What breaks an invariant of the structures that manage memory.
        spaces: The address spaces; None: paging is off, or they cannot be read.
    """

    ram: Span
    regions: tuple[Region, ...]
    frames: FrameUsage | None = None
    heap: HeapUsage | None = None
    notes: tuple[str, ...] = ()
    btron: BtronState | None = None
    kernel: str | None = None
    reserved: int = 0
    defects: tuple[Defect, ...] = ()
    spaces: Spaces | None = None

    @property
    def bitmap(self) -> FrameUsage | None:
        """The frames of a kernel that keeps a bitmap of them; None for BTRON/386, of whose pages `btron` says more."""
        return self.frames if self.btron is None else None

    @property
    def unit(self) -> str:
        """What the kernel calls 4 KiB that it hands out: a frame, or a page."""
        return "frame" if self.btron is None else "page"

    @property
    def allocated(self) -> int:
        """Frames in use that were handed out."""
        return 0 if self.frames is None else self.frames.used - self.reserved

    def inside_ram(self) -> list[Region]:
        """Return the regions, cut down to RAM."""
        start, end = self.ram
        clipped = (
            Region(max(region.start, start), min(region.end, end), region.kind) for region in self.regions
        )
        return [region for region in clipped if region.start < region.end]

    def unmanaged(self) -> list[Region]:
        """Return the RAM that is in no region and not managed by the frame allocator."""
        taken = [(region.start, region.end) for region in self.regions]
        if self.frames is not None:
            taken.append(self.frames.window)
        return [Region(*gap, RegionKind.UNMANAGED) for gap in between(taken, *self.ram)]

    def whole_ram(self) -> list[Region]:
        """Return all of RAM by address, each byte once.

        This takes a second or so where hundreds of thousands of frames alternate.
        """
        regions = self.inside_ram()
        result = [*regions, *self.unmanaged()]
        if self.frames is not None:
            gaps = list(between([(region.start, region.end) for region in regions], *self.ram))
            result += _inside(tuple(self.frames.runs()), gaps)
        return by_address(result)


def _inside(runs: Sequence[FrameRun], gaps: Sequence[Span]) -> Iterator[Region]:
    """Cut the runs down to *gaps*; both are ascending."""
    index = 0
    for start, end in gaps:
        while index < len(runs) and runs[index].end * FRAME_SIZE <= start:
            index += 1
        while index < len(runs) and runs[index].start * FRAME_SIZE < end:
            run = runs[index]
            low, high = max(run.start * FRAME_SIZE, start), min(run.end * FRAME_SIZE, end)
            yield Region(low, high, RegionKind.ALLOCATED if run.used else RegionKind.FREE)
            if run.end * FRAME_SIZE > end:
                break
            index += 1
