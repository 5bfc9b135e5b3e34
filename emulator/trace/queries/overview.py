"""Sum up a trace: how often each function was called, and what each area took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.trace.blocks.function_calls import FunctionCalls
from emulator.trace.queries.gaps import GapMeasure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.profile.functions import TracedFunction
    from emulator.trace.queries.gaps import Gaps
    from emulator.trace.queries.totals import Peak, StackTotals
    from emulator.trace.table import Call
    from emulator.trace.trace import Trace


DEPTH_MAX: Final = 255
"""The depth of a call that is inside of so many others, or more."""


class FunctionCounts(NamedTuple):
    """How often a function was called.

    Attributes:
        name: The function.
        area: Its area.
        calls: All of them.
        failed: Those that returned an error, or no block.
        unfinished: Those that did not return.
    """

    name: str
    area: str
    calls: int
    failed: int
    unfinished: int


class AreaOverview(NamedTuple):
    """An area.

    Attributes:
        name: Its name.
        allocations: Blocks that ever lived.
        failed: Calls that got no block.
        stray_frees: Calls that gave back what was not taken.
        peak: The most bytes that lived at a time, and when that was for the first time.
        peak_call: The call that made it so; None if there was never a block.
        peak_gaps: The gaps then.
        end: Bytes and blocks that live at the end.
        end_gaps: The gaps then.
        callers: What the stacks took that had blocks at the peak, most bytes first; as many as were asked for.
    """

    name: str
    allocations: int
    failed: int
    stray_frees: int
    peak: Peak
    peak_call: Call | None
    peak_gaps: Gaps
    end: tuple[int, int]
    end_gaps: Gaps
    callers: tuple[StackTotals, ...]


class Overview(NamedTuple):
    """A trace.

    Attributes:
        functions: In the profile's order.
        areas: The same.
        cut_stacks: Call stacks whose outermost callers are left out, because they have too many frames.
        deepest_calls: Calls inside of at least `DEPTH_MAX` others: how many is not known.
    """

    functions: tuple[FunctionCounts, ...]
    areas: tuple[AreaOverview, ...]
    cut_stacks: int = 0
    deepest_calls: int = 0


def overview(trace: Trace, top: int) -> Overview:
    """Summarize a whole trace.

    Args:
        trace: The trace.
        top: How many callers to name for each area.
    """
    functions = tuple(function_counts(trace))
    areas = tuple(_area(trace, name, top) for name in trace.areas)
    deepest = int(np.count_nonzero(trace.calls.depth == DEPTH_MAX))
    return Overview(functions, areas, trace.cut_stacks, deepest)


def function_counts(trace: Trace) -> Iterator[FunctionCounts]:
    """Yield how often each function was called, in the profile's order."""
    return (_counts(trace, code, each) for code, each in enumerate(trace.functions))


def peak_call(trace: Trace, area: str) -> Call | None:
    """Return the call that made the peak of an area; None: there was never a block."""
    blocks = trace.blocks(area)
    event = trace.peak(area).event
    row = int(np.searchsorted(blocks.born, np.uint32(event)))
    return trace[int(blocks.born_call[row])] if event else None


def _counts(trace: Trace, code: int, function: TracedFunction) -> FunctionCounts:
    calls = FunctionCalls(trace.calls, function, trace.calls.rows_of(code))
    failed, returned = (int(np.count_nonzero(each)) for each in (calls.failed, calls.returned))
    return FunctionCounts(function.name, function.area, len(calls.rows), failed, len(calls.rows) - returned)


def _area(trace: Trace, name: str, top: int) -> AreaOverview:
    blocks, peak = trace.blocks(name), trace.peak(name)
    at_peak, at_end = trace.live(peak.event, name), trace.live(None, name)
    measure = GapMeasure(blocks, trace.profile.area(name))
    by_stack = [totals for totals in trace.by_stack(name) if totals.peak_blocks][:top]
    return AreaOverview(
        name,
        len(blocks.born),
        len(trace.failed(name)),
        len(trace.stray_frees(name)),
        peak,
        peak_call(trace, name),
        measure.gaps(at_peak),
        (int(at_end.size.sum(dtype=np.int64)), len(at_end.born)),
        measure.gaps(at_end),
        tuple(by_stack),
    )
