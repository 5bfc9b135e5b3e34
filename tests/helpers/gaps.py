"""Free gaps of an area, by reading every block for every gap."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.trace import Trace

Span = tuple[int, int]


def free_gaps(trace: Trace, area: str, event: int) -> list[int]:
    """Return the sizes of the gaps after an event in which a block of the run has lain, with room to its neighbours."""
    ever = _spans(trace.blocks(area))
    if not ever:
        return []
    low, high = min(start for start, _ in ever), max(end for _, end in ever)
    at_peak = _between(_spans(trace.live(trace.peak(area).event, area)))
    closest = min((end - start for start, end in at_peak), default=0)
    found = []
    for start, end in _between([(low, low), *_spans(trace.live(event, area)), (high, high)]):
        first, last = start + closest * (start != low), end - closest * (end != high)
        if any(first <= low_of and high_of <= last for low_of, high_of in ever):
            found.append(end - start)
    return found


def _spans(blocks: Blocks) -> list[Span]:
    pairs = zip(blocks.address.tolist(), blocks.size.tolist(), strict=True)
    return sorted((start, start + size) for start, size in pairs if size)


def _between(spans: list[Span]) -> list[Span]:
    """Return what lies between neighbours; nothing, at the end of the first, where they overlap or touch."""
    gaps, covered = [], spans[0][1] if spans else 0
    for _, (start, end) in pairwise(spans):
        gaps.append((covered, max(covered, start)))
        covered = max(covered, end)
    return gaps
