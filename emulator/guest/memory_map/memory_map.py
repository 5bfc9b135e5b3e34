"""The memory map: what physical memory is used for, as plain data.

Of a BTRON/386 kernel addresses are the kernel's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.memory_map.regions import FRAME_SIZE, Region, RegionKind, between, by_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.guest.memory_map.regions import Span
    from kernel_model.audit import Defect
    from kernel_model.blocks import Block
    from kernel_model.btron.kmem import KmemState
    from kernel_model.btron.pools.reader import PoolState
    from kernel_model.litecore.memmap import FrameRun


class Frames(NamedTuple):
    """The managed frames.

    Attributes:
        first: Number of the first managed frame.
        total: Managed frames.
        free: Frames not in use.
        largest_free_run: Most free frames side by side.
        bits: The bitmap.
        reserved: Frames in use for the image, the bitmap, the heap and boot modules.
        runs: The window as alternating runs, where they were asked for.
    """

    first: int
    total: int
    free: int
    largest_free_run: int
    bits: bytes
    reserved: int = 0
    runs: tuple[FrameRun, ...] | None = None

    @property
    def used(self) -> int:
        """Frames in use."""
        return self.total - self.free

    @property
    def allocated(self) -> int:
        """Frames in use that were handed out."""
        return self.used - self.reserved

    @property
    def fragmentation(self) -> float:
        """1 - largest free run / all free frames: 0.0 when they are one run or nothing is free."""
        return 1 - self.largest_free_run / self.free if self.free else 0.0

    @property
    def end(self) -> int:
        """Number of the first frame after the window."""
        return self.first + self.total

    @property
    def window(self) -> Span:
        """Managed memory."""
        return self.first * FRAME_SIZE, self.end * FRAME_SIZE

    def used_in(self, start: int, end: int) -> int:
        """Count the frames in use of [start, end), absolute numbers; those outside the window count as free."""
        low = max(start, self.first) - self.first
        high = min(end, self.end) - self.first
        if high <= low:
            return 0
        piece = int.from_bytes(self.bits[low // 8 : -(-high // 8)], "little") >> low % 8
        return (piece & ((1 << (high - low)) - 1)).bit_count()


class HeapState(NamedTuple):
    """The kernel heap ``[start, end)``; sizes are bytes of bodies.

    Attributes:
        blocks: All of them, as far as their headers make sense.
        refused: Calls of kfree that were refused (``heap_error_count``).
        defects: What breaks an invariant.
    """

    start: int
    end: int
    blocks: tuple[Block, ...]
    used: int
    free: int
    largest_free: int
    refused: int
    defects: tuple[Defect, ...]

    @property
    def fragmentation(self) -> float:
        """1 - largest free block / all free bytes: 0.0 when they are one block or nothing is free."""
        return 1 - self.largest_free / self.free if self.free else 0.0


class PageCount(NamedTuple):
    """How many pages have the same entry in ``pmem_table``."""

    flag: int
    refcount: int
    pages: int


class PageState(NamedTuple):
    """Figures of BTRON/386's page table; all but `by_entry` are counts of pages.

    Attributes:
        shared: Pages in use that have more than one owner; they count as used, too.
        by_entry: Counts by flag and refcount, ascending.
    """

    total: int
    free: int
    used: int
    shared: int
    reserved: int
    largest_free_run: int
    by_entry: tuple[PageCount, ...]

    @property
    def fragmentation(self) -> float:
        """1 - largest free run / all free pages: 0.0 when they are one run or nothing is free."""
        return 1 - self.largest_free_run / self.free if self.free else 0.0


class BtronState(NamedTuple):
    """The state of all layers of a BTRON/386 kernel. A part is None where it is not set up or makes no sense.

    Attributes:
        defects: What breaks an invariant.
    """

    pages: PageState | None = None
    kmem: KmemState | None = None
    pools: tuple[PoolState, ...] = ()
    defects: tuple[Defect, ...] = ()


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
    """

    ram: Span
    regions: tuple[Region, ...]
    frames: Frames | None = None
    heap: HeapState | None = None
    notes: tuple[str, ...] = ()
    btron: BtronState | None = None
    kernel: str | None = None

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What breaks an invariant of the structures that manage memory."""
        if self.btron is not None:
            return self.btron.defects
        return self.heap.defects if self.heap is not None else ()

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
        """Return all of RAM by address, each byte once. This needs the runs of `frames`, if there are frames."""
        regions = self.inside_ram()
        result = [*regions, *self.unmanaged()]
        if self.frames is not None and self.frames.runs is not None:
            gaps = list(between([(region.start, region.end) for region in regions], *self.ram))
            result += _inside(self.frames.runs, gaps)
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
