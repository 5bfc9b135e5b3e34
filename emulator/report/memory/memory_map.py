"""Draws physical memory, and the heap, as rows of characters.

A cell is one character and stands for a power of two of bytes. It shows what its bytes are used for: areas by
their letter, the rarest kind first, so that the small ones are seen; everything else by how much of it is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.report.memory.areas import FRAME_SIZE, Kind
from emulator.report.text.style import BOLD, DIM, address_range, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.report.memory.areas import Span
    from emulator.report.memory.layout import Frames, HeapState, Layout
    from emulator.report.text.style import Style

_ROWS_MAX = 16
_CLOSE_UP_ROWS_MAX = 4
_ADDRESS_WIDTH = len("0x00000000 ")
_HEAP_CELL_MIN = 16  # bytes: the smallest block

_LETTERS = {
    Kind.IMAGE: "I",
    Kind.BITMAP: "B",
    Kind.TABLE: "T",
    Kind.HEAP: "H",
    Kind.KMEM: "K",
    Kind.RESERVED: "R",
    Kind.SHARED: "S",
    Kind.UNMANAGED: ":",
}
_COLOURS = {
    Kind.IMAGE: "97;44",
    Kind.BITMAP: "97;45",
    Kind.TABLE: "97;45",
    Kind.HEAP: "30;43",
    Kind.KMEM: "30;43",
    Kind.RESERVED: "97;100",
    Kind.SHARED: "30;42",
    Kind.ALLOCATED: "32",
    Kind.FREE: DIM,
    Kind.UNMANAGED: DIM,
}
# Of several in one cell the last is shown.
_RANKS = (Kind.RESERVED, Kind.IMAGE, Kind.HEAP, Kind.KMEM, Kind.SHARED, Kind.BITMAP, Kind.TABLE)
_NOT_THE_KERNEL = (Kind.RESERVED, Kind.SHARED)
_QUARTERS = 4


class Cell(NamedTuple):
    """One cell of a picture; *quarters* (1 to 4) says how much of an ALLOCATED one is taken."""

    kind: Kind
    quarters: int = _QUARTERS


def draw_memory(layout: Layout, style: Style) -> Iterator[str]:
    """Draw RAM, a close-up of the kernel where it would be lost in that, and the legend."""
    columns = _columns(style)
    cell_size = _cell_size(layout.ram, columns, _ROWS_MAX, FRAME_SIZE)
    yield from _picture("Memory", layout, layout.ram, cell_size, style)
    close_up = _kernel_span(layout)
    if close_up is not None:
        close_up_cell = _cell_size(close_up, columns, _CLOSE_UP_ROWS_MAX, FRAME_SIZE)
        if close_up_cell < cell_size:
            yield ""
            yield from _picture("Close-up", layout, close_up, close_up_cell, style)
    yield ""
    yield from _legend(layout, style)


def draw_heap(heap: HeapState, style: Style) -> Iterator[str]:
    """Draw how much of each part of the heap is in use."""
    columns = _columns(style)
    span = (heap.start, heap.end)
    cell_size = _cell_size(span, columns, 2, _HEAP_CELL_MIN)
    yield from _titles("Heap", span, cell_size, style)
    yield from _rows(_heap_cells(heap, cell_size), heap.start, cell_size, style)


def memory_cells(layout: Layout, span: Span, cell_size: int) -> list[Cell]:
    """Return what each cell of *span* shows.

    Args:
        layout: What lies where.
        span: Its start is a frame boundary.
        cell_size: Bytes, a multiple of a frame.
    """
    start, end = span
    cells = [Cell(Kind.UNMANAGED)] * -(-(end - start) // cell_size)
    if layout.frames is not None:
        low = max(layout.frames.window[0] - start, 0) // cell_size
        high = -(-(min(layout.frames.window[1], end) - start) // cell_size)
        if low < high:
            cells[low:high] = _frames_cells(layout.frames, start + low * cell_size, high - low, cell_size)
    for kind in _RANKS:
        for area in layout.areas:
            if area.kind is kind and start < area.end and area.start < end:
                low = max(area.start - start, 0) // cell_size
                high = -(-(min(area.end, end) - start) // cell_size)
                cells[low:high] = [Cell(kind)] * (high - low)
    return cells


def _frames_cells(frames: Frames, start: int, count: int, cell_size: int) -> list[Cell]:
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
    return Cell(Kind.ALLOCATED, -(-_QUARTERS * used // total)) if used else Cell(Kind.FREE)


def _heap_cells(heap: HeapState, cell_size: int) -> list[Cell]:
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


def _kernel_span(layout: Layout) -> Span | None:
    """Whole frames from the first to the last area of the kernel, without boot modules; None for no area in RAM."""
    areas = [area for area in layout.inside_ram() if area.kind not in _NOT_THE_KERNEL]
    if not areas:
        return None
    start, end = min(area.start for area in areas), max(area.end for area in areas)
    return start - start % FRAME_SIZE, -(-end // FRAME_SIZE) * FRAME_SIZE


def _titles(name: str, span: Span, cell_size: int, style: Style) -> Iterator[str]:
    title = f" {address_range(*span)}, {human_size(span[1] - span[0])}"
    scale = f"a cell is {human_size(cell_size)}"
    if len(name + title + scale) + 2 <= style.width:
        yield f"{style.paint(name, BOLD)}{title}; {scale}"
    else:
        yield style.paint(name, BOLD) + title
        yield scale


def _picture(name: str, layout: Layout, span: Span, cell_size: int, style: Style) -> Iterator[str]:
    yield from _titles(name, span, cell_size, style)
    yield from _rows(memory_cells(layout, span, cell_size), span[0], cell_size, style)


def _rows(cells: Sequence[Cell], start: int, cell_size: int, style: Style) -> Iterator[str]:
    columns = _columns(style)
    rows = [cells[index : index + columns] for index in range(0, len(cells), columns)]
    dull = [Cell(Kind.UNMANAGED)] * columns
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
    """Give runs of one kind their colour at once."""
    begin = 0
    for index, cell in enumerate(cells, 1):
        if index == len(cells) or cells[index].kind is not cell.kind:
            text = "".join(_character(each, style) for each in cells[begin:index])
            yield style.paint(text, _COLOURS[cell.kind])
            begin = index


def _character(cell: Cell, style: Style) -> str:
    if cell.kind is Kind.ALLOCATED:
        return ("░▒▓█" if style.unicode else "-+*#")[cell.quarters - 1]
    if cell.kind is Kind.FREE:
        return "·" if style.unicode else "."
    return _LETTERS[cell.kind]


def _legend(layout: Layout, style: Style) -> Iterator[str]:
    for kind, place, size in _legend_rows(layout):
        quarters = range(1, _QUARTERS + 1) if kind is Kind.ALLOCATED else (_QUARTERS,)
        symbols = "".join(_character(Cell(kind, each), style) for each in quarters)
        row = f"{symbols:{_QUARTERS}} {kind.value:9} {place:21} {human_size(size):>9}"
        first, *others = style.folded(row, indent=_QUARTERS + 11)
        yield style.paint(symbols, _COLOURS[kind]) + first[len(symbols) :]
        yield from others


def _legend_rows(layout: Layout) -> Iterator[tuple[Kind, str, int]]:
    """Yield kind, where it is, and its bytes."""
    areas = [*layout.inside_ram(), *layout.unmanaged()]
    for kind in _LETTERS:
        spans = [(area.start, area.end) for area in areas if area.kind is kind]
        if spans:
            place = address_range(*spans[0]) if len(spans) == 1 else f"{len(spans)} areas"
            yield kind, place, sum(end - start for start, end in spans)
    if layout.frames is not None:
        unit = "frame" if layout.btron is None else "page"
        for kind, count in ((Kind.ALLOCATED, layout.frames.allocated), (Kind.FREE, layout.frames.free)):
            yield kind, f"1 {unit}" if count == 1 else f"{count} {unit}s", count * FRAME_SIZE
