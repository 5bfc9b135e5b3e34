"""What physical memory is used for, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.report.memory.areas import FRAME_SIZE, Area, Kind, between, by_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.report.memory.areas import Span
    from emulator.report.memory.btron_state import BtronState
    from kernel_model.litecore.heap_reader import Block
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
        defects: Broken rules, a line each.
    """

    start: int
    end: int
    blocks: tuple[Block, ...]
    used: int
    free: int
    largest_free: int
    refused: int
    defects: tuple[str, ...]

    @property
    def fragmentation(self) -> float:
        """1 - largest free block / all free bytes: 0.0 when they are one block or nothing is free."""
        return 1 - self.largest_free / self.free if self.free else 0.0


class Layout(NamedTuple):
    """What physical memory is used for.

    Attributes:
        ram: Extended RAM; memory from 0 on where the kernel uses pages below that.
        areas: Image, bitmap, heap, reserved: sorted, without overlaps. Some may lie outside *ram*.
        frames: None where there is no frame allocator, or none that makes sense. BTRON/386's pages, too.
        heap: The same for the heap.
        notes: Why something is missing.
        btron: What else is known of a BTRON/386 kernel; None for other kernels.
    """

    ram: Span
    areas: tuple[Area, ...]
    frames: Frames | None = None
    heap: HeapState | None = None
    notes: tuple[str, ...] = ()
    btron: BtronState | None = None

    @property
    def defects(self) -> tuple[str, ...]:
        """Broken rules of what manages memory."""
        if self.btron is not None:
            return self.btron.defects
        return self.heap.defects if self.heap is not None else ()

    def inside_ram(self) -> list[Area]:
        """The areas, cut down to RAM."""
        start, end = self.ram
        clipped = (Area(max(area.start, start), min(area.end, end), area.kind) for area in self.areas)
        return [area for area in clipped if area.start < area.end]

    def unmanaged(self) -> list[Area]:
        """RAM that is in no area and not managed by the frame allocator."""
        taken = [(area.start, area.end) for area in self.areas]
        if self.frames is not None:
            taken.append(self.frames.window)
        return [Area(*gap, Kind.UNMANAGED) for gap in between(taken, *self.ram)]

    def regions(self) -> list[Area]:
        """All of RAM by address, each byte once. Needs the runs of `frames`, if there are frames."""
        areas = self.inside_ram()
        result = [*areas, *self.unmanaged()]
        if self.frames is not None and self.frames.runs is not None:
            gaps = list(between([(area.start, area.end) for area in areas], *self.ram))
            result += _inside(self.frames.runs, gaps)
        return by_address(result)


def _inside(runs: Sequence[FrameRun], gaps: Sequence[Span]) -> Iterator[Area]:
    """Cut the runs down to *gaps*; both are ascending."""
    index = 0
    for start, end in gaps:
        while index < len(runs) and runs[index].end * FRAME_SIZE <= start:
            index += 1
        while index < len(runs) and runs[index].start * FRAME_SIZE < end:
            run = runs[index]
            low, high = max(run.start * FRAME_SIZE, start), min(run.end * FRAME_SIZE, end)
            yield Area(low, high, Kind.ALLOCATED if run.used else Kind.FREE)
            if run.end * FRAME_SIZE > end:
                break
            index += 1
