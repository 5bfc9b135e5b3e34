"""Draw physical memory, and the heap, as rows of characters.

A cell is one character and stands for a power of two of bytes. It shows what its bytes are used for: regions by
their letter, the rarest kind first, so that the small ones are shown; everything else by how much of it is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.memory_map.regions import FRAME_SIZE, RegionKind
from emulator.report.text.style import BOLD, DIM
from emulator.wording import address_range, counted, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.guest.memory_map.memory_map import MemoryMap
    from emulator.guest.memory_map.regions import Span
    from emulator.report.text.style import Style
    from kernel_model.frames import FrameUsage
    from kernel_model.litecore.heap_layout import HeapUsage

_ROWS_MAX = 16
_CLOSE_UP_ROWS_MAX = 4
_ADDRESS_WIDTH = len("0x00000000 ")
_HEAP_CELL_MIN = 16  # bytes: the smallest block

_LETTERS = {
    RegionKind.IMAGE: "I",
    RegionKind.BITMAP: "B",
    RegionKind.TABLE: "T",
    RegionKind.PAGING: "P",
    RegionKind.HEAP: "H",
    RegionKind.KMEM: "K",
    RegionKind.RESERVED: "R",
    RegionKind.SHARED: "S",
    RegionKind.UNMANAGED: ":",
}
_COLOURS = {
    RegionKind.IMAGE: "97;44",
    RegionKind.BITMAP: "97;45",
    RegionKind.TABLE: "97;45",
    RegionKind.PAGING: "97;46",
    RegionKind.HEAP: "30;43",
    RegionKind.KMEM: "30;43",
    RegionKind.RESERVED: "97;100",
    RegionKind.SHARED: "30;42",
    RegionKind.ALLOCATED: "32",
    RegionKind.FREE: DIM,
    RegionKind.UNMANAGED: DIM,
}
# Of several in one cell the last is shown.
_RANKS = (
    RegionKind.RESERVED,
    RegionKind.IMAGE,
    RegionKind.HEAP,
    RegionKind.KMEM,
    RegionKind.SHARED,
    RegionKind.BITMAP,
    RegionKind.TABLE,
    RegionKind.PAGING,
)
_NOT_THE_KERNEL = (RegionKind.RESERVED, RegionKind.SHARED)
_QUARTERS = 4


class Cell(NamedTuple):
    """One cell of a memory map; *quarters* (1 to 4) says how much of an ALLOCATED one is taken."""

    kind: RegionKind
    quarters: int = _QUARTERS


def draw_memory(memory_map: MemoryMap, style: Style) -> Iterator[str]:
    """Yield rows for RAM, a close-up of the kernel where it would be lost in those, and the legend."""
    columns = _columns(style)
    cell_size = _cell_size(memory_map.ram, columns, _ROWS_MAX, FRAME_SIZE)
    yield from _titled_rows("Memory", memory_map, memory_map.ram, cell_size, style)
    close_up = _kernel_span(memory_map)
    if close_up is not None:
        close_up_cell = _cell_size(close_up, columns, _CLOSE_UP_ROWS_MAX, FRAME_SIZE)
        if close_up_cell < cell_size:
            yield ""
            yield from _titled_rows("Close-up", memory_map, close_up, close_up_cell, style)
    yield ""
    yield from _legend(memory_map, style)


def draw_heap(heap: HeapUsage, style: Style) -> Iterator[str]:
    """Yield rows that say how much of each part of the heap is in use."""
    columns = _columns(style)
    span = (heap.start, heap.end)
    cell_size = _cell_size(span, columns, 2, _HEAP_CELL_MIN)
    yield from _titles("Heap", span, cell_size, style)
    yield from _rows(_heap_cells(heap, cell_size), heap.start, cell_size, style)


def layer_lines(memory_map: MemoryMap, style: Style) -> Iterator[str]:
    """Yield the figures of the layers of a BTRON/386 kernel; nothing for another one."""
    if memory_map.btron is not None:
        from emulator.report.text.btron import btron_lines  # not for LiteCore

        yield from btron_lines(memory_map.btron, style)


def memory_cells(memory_map: MemoryMap, span: Span, cell_size: int) -> list[Cell]:
    """Return what each cell of *span* shows.

    Args:
        memory_map: What lies where.
        span: Its start is a frame boundary.
        cell_size: Bytes, a multiple of a frame.
    """
    start, end = span
    cells = [Cell(RegionKind.UNMANAGED)] * -(-(end - start) // cell_size)
    if memory_map.frames is not None:
        low = max(memory_map.frames.window[0] - start, 0) // cell_size
        high = -(-(min(memory_map.frames.window[1], end) - start) // cell_size)
        if low < high:
            cells[low:high] = _frames_cells(memory_map.frames, start + low * cell_size, high - low, cell_size)
    for kind in _RANKS:
        for region in memory_map.regions:
            if region.kind is kind and start < region.end and region.start < end:
                low = max(region.start - start, 0) // cell_size
                high = -(-(min(region.end, end) - start) // cell_size)
                cells[low:high] = [Cell(kind)] * (high - low)
    return cells


def _frames_cells(frames: FrameUsage, start: int, count: int, cell_size: int) -> list[Cell]:
    """Return *count* cells from address *start* on, all of them in the window at least in part.

    Halves the range until all its frames are alike, because long stretches of memory are.
    """
    first, last = start // FRAME_SIZE, (start + count * cell_size) // FRAME_SIZE
    used, total = frames.used_in(first, last), min(last, frames.end) - max(first, frames.first)
    if count == 1 or used in (0, total):
        return [_share(used, total)] * count
    half = count // 2
    middle = start + half * cell_size
    return [
        *_frames_cells(frames, start, half, cell_size),
        *_frames_cells(frames, middle, count - half, cell_size),
    ]


def _share(used: int, total: int) -> Cell:
    return Cell(RegionKind.ALLOCATED, -(-_QUARTERS * used // total)) if used else Cell(RegionKind.FREE)


def _heap_cells(heap: HeapUsage, cell_size: int) -> list[Cell]:
    sizes = [min(cell_size, heap.end - start) for start in range(heap.start, heap.end, cell_size)]
    used = [0] * len(sizes)
    for block in heap.blocks:
        if block.used:
            low, high = block.header - heap.start, block.end - heap.start
            first, last = low // cell_size, (high - 1) // cell_size
            used[first] += min(high, (first + 1) * cell_size) - low
            if last > first:
                used[first + 1 : last] = sizes[first + 1 : last]
                used[last] += high - last * cell_size
    return [_share(each, size) for each, size in zip(used, sizes, strict=True)]


def _columns(style: Style) -> int:
    """Cells in a row: the largest power of two that fits, so that rows begin at round addresses."""
    return 1 << (style.width - _ADDRESS_WIDTH).bit_length() - 1


def _cell_size(span: Span, columns: int, rows: int, smallest: int) -> int:
    size = smallest
    while size * columns * rows < span[1] - span[0]:
        size *= 2
    return size


def _kernel_span(memory_map: MemoryMap) -> Span | None:
    """Whole frames from the first to the last region of the kernel, without boot modules; None for no region in RAM."""
    regions = [region for region in memory_map.inside_ram() if region.kind not in _NOT_THE_KERNEL]
    if not regions:
        return None
    start, end = min(region.start for region in regions), max(region.end for region in regions)
    return start - start % FRAME_SIZE, -(-end // FRAME_SIZE) * FRAME_SIZE


def _titles(name: str, span: Span, cell_size: int, style: Style) -> Iterator[str]:
    title = f" {address_range(*span)}, {human_size(span[1] - span[0])}"
    scale = f"a cell is {human_size(cell_size)}"
    if len(name + title + scale) + 2 <= style.width:
        yield f"{style.paint(name, BOLD)}{title}; {scale}"
    else:
        yield style.paint(name, BOLD) + title
        yield scale


def _titled_rows(name: str, memory_map: MemoryMap, span: Span, cell_size: int, style: Style) -> Iterator[str]:
    yield from _titles(name, span, cell_size, style)
    yield from _rows(memory_cells(memory_map, span, cell_size), span[0], cell_size, style)


def _rows(cells: Sequence[Cell], start: int, cell_size: int, style: Style) -> Iterator[str]:
    columns = _columns(style)
    rows = [cells[index : index + columns] for index in range(0, len(cells), columns)]
    dull = [Cell(RegionKind.UNMANAGED)] * columns
    left_out = 0
    for number, row in enumerate(rows):
        if row == dull and rows[number - 1 : number + 2] == [dull] * 3:
            left_out += 1
            continue
        if left_out:
            yield style.paint(f"{'':{_ADDRESS_WIDTH}}({left_out} more of these rows)", DIM)
            left_out = 0
        yield f"0x{start + number * columns * cell_size:08x} " + "".join(_painted(row, style))


def _painted(cells: Sequence[Cell], style: Style) -> Iterator[str]:
    """Yield runs of cells of one kind, each in its colour."""
    begin = 0
    for index, cell in enumerate(cells, 1):
        if index == len(cells) or cells[index].kind is not cell.kind:
            text = "".join(_character(each, style) for each in cells[begin:index])
            yield style.paint(text, _COLOURS[cell.kind])
            begin = index


def _character(cell: Cell, style: Style) -> str:
    if cell.kind is RegionKind.ALLOCATED:
        return ("░▒▓█" if style.unicode else "-+*#")[cell.quarters - 1]
    if cell.kind is RegionKind.FREE:
        return "·" if style.unicode else "."
    return _LETTERS[cell.kind]


def _legend(memory_map: MemoryMap, style: Style) -> Iterator[str]:
    for kind, where, size in _legend_rows(memory_map):
        quarters = range(1, _QUARTERS + 1) if kind is RegionKind.ALLOCATED else (_QUARTERS,)
        symbols = "".join(_character(Cell(kind, each), style) for each in quarters)
        row = f"{symbols:{_QUARTERS}} {kind.value:9} {where:21} {human_size(size):>9}"
        first, *others = style.folded(row, indent=_QUARTERS + 11)
        yield style.paint(symbols, _COLOURS[kind]) + first[len(symbols) :]
        yield from others


def _legend_rows(memory_map: MemoryMap) -> Iterator[tuple[RegionKind, str, int]]:
    """Yield of each kind where it is, and its bytes."""
    regions = [*memory_map.inside_ram(), *memory_map.unmanaged()]
    for kind in _LETTERS:
        spans = [(region.start, region.end) for region in regions if region.kind is kind]
        if spans:
            where = address_range(*spans[0]) if len(spans) == 1 else f"{len(spans)} areas"
            yield kind, where, sum(end - start for start, end in spans)
    if memory_map.frames is not None:
        for kind, count in (
            (RegionKind.ALLOCATED, memory_map.allocated),
            (RegionKind.FREE, memory_map.frames.free),
        ):
            yield kind, counted(count, memory_map.unit), count * FRAME_SIZE
