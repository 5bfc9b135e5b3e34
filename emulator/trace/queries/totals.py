"""Compute how much memory is in use over time, and which callers use it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emulator.machine.core.lives import Comings, UsageColumns, sum_usage
from emulator.trace.blocks.blocks import NEVER

if TYPE_CHECKING:
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.table import I64, U32


class Usage(NamedTuple):
    """Memory in use as a step function.

    Attributes:
        events: At which it changes, ascending; the first is 0, where nothing is in use.
        bytes: In use from that event on.
        blocks: The same as a number of blocks.
    """

    events: U32
    bytes: I64
    blocks: I64


class Peak(NamedTuple):
    """The first event after which most bytes were in use; event 0 if none ever were."""

    event: int
    bytes: int
    blocks: int


class StackTotals(NamedTuple):
    """What one call stack has done in an area.

    Attributes:
        stack: Its number; 0: all calls whose stack is unknown.
        calls: Calls that made a block.
        bytes_allocated: By all of them.
        peak_bytes: Of its blocks that were live at the peak of the area.
        peak_blocks: How many these were.
        end_bytes: Of its blocks that were live at the end.
        end_blocks: How many these were.
    """

    stack: int
    calls: int
    bytes_allocated: int
    peak_bytes: int
    peak_blocks: int
    end_bytes: int
    end_blocks: int


class Measure(Enum):
    """A number that each call stack has."""

    PEAK = "peak"  # bytes live when the area was at its peak
    END = "end"  # bytes live at the end of the trace
    CALLS = "calls"  # that took memory
    ALLOCATED = "allocated"  # bytes, given back or not

    @property
    def is_bytes(self) -> bool:
        """Whether it counts bytes."""
        return self is not Measure.CALLS

    def of(self, totals: StackTotals) -> int:
        """Return this number of a call stack."""
        match self:
            case Measure.PEAK:
                return totals.peak_bytes
            case Measure.END:
                return totals.end_bytes
            case Measure.CALLS:
                return totals.calls
            case Measure.ALLOCATED:
                return totals.bytes_allocated


def usage_of(blocks: Blocks) -> Usage:
    """Return the usage of an area over time, of all its blocks."""
    dead = blocks.died != NEVER
    deaths = np.sort(blocks.died[dead].astype(np.uint64) << np.uint64(32) | blocks.size[dead])
    died, freed = (deaths >> np.uint64(32)).astype(np.uint32), deaths.astype(np.uint32)
    room = 1 + len(blocks.born) + len(deaths)
    at, size, number = np.empty(room, np.uint32), np.empty(room, np.int64), np.empty(room, np.int64)
    count = sum_usage(
        Comings(blocks.born.data, blocks.size.data),
        Comings(died.data, freed.data),
        UsageColumns(at.data, size.data, number.data),
    )
    return Usage(at[:count], size[:count], number[:count])


def peak_of(usage: Usage) -> Peak:
    """Return the peak of a usage."""
    index = int(usage.bytes.argmax())
    return Peak(int(usage.events[index]), int(usage.bytes[index]), int(usage.blocks[index]))


def totals_by_stack(blocks: Blocks, peak: Peak, stacks: int) -> list[StackTotals]:
    """Return what each call stack has done, most bytes at the peak first; then most bytes allocated, then by number.

    Args:
        blocks: All of an area.
        peak: Of that area.
        stacks: The highest number of a stack.
    """
    first = np.ones(len(blocks.born), np.bool_)  # rows of one call are neighbours
    first[1:] = blocks.born_call[1:] != blocks.born_call[:-1]
    calls = np.bincount(blocks.stack[first], minlength=stacks + 1)
    columns = [calls, _bytes(blocks, stacks)]
    for event in (peak.event, NEVER - 1):
        live = blocks.live_after(event)
        columns += [_bytes(live, stacks), np.bincount(live.stack, minlength=stacks + 1)]
    used = np.flatnonzero(calls)
    order = used[np.lexsort((used, -columns[1][used], -columns[2][used]))]
    return [
        StackTotals(*row)
        for row in zip(order.tolist(), *(each[order].tolist() for each in columns), strict=True)
    ]


def _bytes(blocks: Blocks, stacks: int) -> I64:
    sums = np.bincount(blocks.stack, weights=blocks.size, minlength=stacks + 1)  # exact up to 2^53
    return sums.astype(np.int64)
