"""Free gaps of an area, by reading every block for every gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.profile.model import AreaRules
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.trace import Trace

Span = tuple[int, int]
PAGE_SIZE = 4096
NEVER = 0xFFFF_FFFF


def free_gaps(trace: Trace, area: str, event: int) -> list[int]:
    """Return the free bytes of the gaps after an event that count: see `emulator.trace.queries.gaps`."""
    blocks = trace.blocks(area)
    taken = taken_sizes(blocks, trace.profile.area(area))
    ever, live = _spans(blocks, taken), _spans(trace.live(event, area), taken)
    if not ever:
        return []
    found = []
    for low, high in _uncovered(live, min(start for start, _ in ever), max(end for _, end in ever)):
        size = _covered(ever, low, high)
        before = max((end - start for start, end in ever if end == low), default=0)
        if any(low <= start and end <= high for start, end in ever) or size >= before:
            found.append(size)
    return found


def taken_sizes(blocks: Blocks, rules: AreaRules) -> dict[int, int]:
    """Return how many bytes a block of each size takes, by comparing each block with all others at its birth."""
    strides = list(_strides(blocks))
    closest = min((stride - size for size, stride in strides), default=0)
    smallest = min((stride for _, stride in strides), default=0)
    taken = {}
    for size in {size for size in blocks.size.tolist() if size}:
        bound = min((stride for other, stride in strides if other >= size), default=NEVER)
        believed = bound <= max(closest + (1 << (size - 1).bit_length()), smallest)
        said = -(-(size + rules.header) // rules.alignment) * rules.alignment
        taken[size] = bound if believed else max(said, size + closest)
        if not strides or closest >= PAGE_SIZE:
            taken[size] = said
    return taken


def _strides(blocks: Blocks) -> Iterator[tuple[int, int]]:
    """Yield sizes of blocks with the bytes from the start of one to that of the next, whenever a block is born beside it."""
    columns = (blocks.address, blocks.size, blocks.born, blocks.died)
    lives = [each for each in zip(*(column.tolist() for column in columns), strict=True) if each[1]]
    for index, (address, size, born, _) in enumerate(lives):
        around = {other: length for other, length, _, died in lives[:index] if died >= born}
        before = max((other for other in around if other < address), default=None)
        after = min((other for other in around if other > address), default=None)
        if before is not None and before + around[before] <= address:
            yield around[before], address - before
        if after is not None and address + size <= after:
            yield size, after - address


def _spans(blocks: Blocks, taken: dict[int, int]) -> list[Span]:
    pairs = zip(blocks.address.tolist(), blocks.size.tolist(), strict=True)
    return sorted((start, start + taken[size]) for start, size in pairs if size)


def _uncovered(spans: Sequence[Span], low: int, high: int) -> list[Span]:
    gaps = []
    for start, end in [*spans, (high, high)]:
        if low < start:
            gaps.append((low, start))
        low = max(low, end)
    return gaps


def _covered(spans: Sequence[Span], low: int, high: int) -> int:
    """Return how many bytes of [low, high) lie in any of the spans."""
    inside = [(start, min(end, high)) for start, end in spans if start < high]
    return high - low - sum(end - start for start, end in _uncovered(inside, low, high))
