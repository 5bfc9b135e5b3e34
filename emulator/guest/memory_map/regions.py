"""Ranges of physical memory with the use they have, and arithmetic on them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FRAME_SIZE = PAGE_SIZE

Span = tuple[int, int]
"""Half open."""


class RegionKind(Enum):
    """What a region is used for."""

    IMAGE = "image"  # the kernel's segments
    BITMAP = "bitmap"  # of the frame allocator
    TABLE = "table"  # of BTRON/386's pages
    PAGING = "paging"  # page directories and page tables
    HEAP = "heap"
    KMEM = "kmem"  # pages of BTRON/386's byte allocator
    RESERVED = "reserved"  # boot modules, what is left of the last frame of something, pages never handed out
    SHARED = "shared"  # pages with more than one owner
    ALLOCATED = "allocated"  # frames handed out
    FREE = "free"  # frames
    UNMANAGED = "unmanaged"  # RAM outside the frame allocator's window


class Region(NamedTuple):
    """Physical memory ``[start, end)`` of one kind."""

    start: int
    end: int
    kind: RegionKind


def round_up(address: int) -> int:
    """Return the next frame boundary at or after *address*."""
    return -(-address // FRAME_SIZE) * FRAME_SIZE


def by_address(regions: Iterable[Region]) -> list[Region]:
    """Sort regions that do not overlap."""
    return sorted(regions, key=lambda region: region.start)


def joined(spans: Iterable[Span], gap: int = 0) -> Iterator[Span]:
    """Join spans that overlap, touch, or are at most *gap* apart; ascending."""
    current: Span | None = None
    for start, end in sorted(spans):
        if current is None:
            current = (start, end)
        elif start <= current[1] + gap:
            current = (current[0], max(current[1], end))
        else:
            yield current
            current = (start, end)
    if current is not None:
        yield current


def between(spans: Iterable[Span], start: int, end: int) -> Iterator[Span]:
    """Return the parts of [start, end) that no span covers, ascending."""
    position = start
    for low, high in joined(spans):
        if position < min(low, end):
            yield position, min(low, end)
        position = max(position, high)
    if position < end:
        yield position, end


def add_regions(regions: list[Region], more: Sequence[Region]) -> list[Region]:
    """Add regions as far as they do not lie in those there, or in earlier ones of *more*."""
    for region in more:
        near = [
            (each.start, each.end) for each in regions if each.start < region.end and region.start < each.end
        ]
        regions = [
            *regions,
            *(Region(*span, region.kind) for span in between(near, region.start, region.end)),
        ]
    return regions


def with_page_rests(regions: Iterable[Region]) -> list[Region]:
    """Add what follows a region in its last frame, up to the next region, as RESERVED."""
    in_order = by_address(regions)
    result = []
    for region, following in zip(in_order, [*in_order[1:], None], strict=True):
        result.append(region)
        rest_end = round_up(region.end)
        if following is not None:
            rest_end = min(rest_end, following.start)
        if region.end < rest_end:
            result.append(Region(region.end, rest_end, RegionKind.RESERVED))
    return result
