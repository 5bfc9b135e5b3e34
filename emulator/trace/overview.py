"""What a trace comes to: how often each function was called, and what each area took."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emulator.loader.profile import Result

if TYPE_CHECKING:
    from emulator.loader.profile import TracedFunction
    from emulator.trace.blocks import Blocks
    from emulator.trace.columns import I64, U32, Flags
    from emulator.trace.events import Call, Frame
    from emulator.trace.totals import Peak, StackTotals
    from emulator.trace.trace import Trace


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


class Gaps(NamedTuple):
    """Bytes between the lowest and the highest address that an area's blocks ever had, and that none covers at a moment.

    What the allocator needs for itself, such as headers, is among them.
    """

    size: int
    largest: int

    @property
    def fragmentation(self) -> float:
        """The share of them that does not lie in the largest gap: 0.0 to 1.0."""
        return 1 - self.largest / self.size if self.size else 0.0


class Caller(NamedTuple):
    """A call stack that takes memory.

    Attributes:
        totals: What it took.
        frames: Innermost first; empty where they are not known.
    """

    totals: StackTotals
    frames: tuple[Frame, ...]


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
        callers: The stacks that had blocks at the peak, most bytes first; as many as were asked for.
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
    callers: tuple[Caller, ...]


class Overview(NamedTuple):
    """A trace.

    Attributes:
        functions: In the profile's order.
        areas: The same.
    """

    functions: tuple[FunctionCounts, ...]
    areas: tuple[AreaOverview, ...]


def overview(trace: Trace, top: int) -> Overview:
    """Look at a whole trace.

    Args:
        trace: The trace.
        top: How many callers to name for each area.
    """
    functions = tuple(_counts(trace, code, each) for code, each in enumerate(trace.functions))
    return Overview(functions, tuple(_area(trace, name, top) for name in trace.areas))


def _counts(trace: Trace, code: int, function: TracedFunction) -> FunctionCounts:
    columns = trace.columns
    mine = columns.function == code
    finished = mine & columns.returned
    failed = np.count_nonzero(finished & _is_failure(function, columns.result))
    calls = int(np.count_nonzero(mine))
    return FunctionCounts(
        function.name, function.area, calls, int(failed), calls - int(np.count_nonzero(finished))
    )


def _is_failure(function: TracedFunction, results: U32) -> Flags:
    failed: Flags = np.zeros(len(results), np.bool_)
    if function.result is Result.ERROR:
        failed = results != 0
    elif function.failure is not None:
        failed = results == function.failure
    return failed


def _area(trace: Trace, name: str, top: int) -> AreaOverview:
    blocks, peak = trace.blocks(name), trace.peak(name)
    at_end = trace.live(None, name)
    makers = blocks.born_call[blocks.born == peak.event]
    by_stack = [totals for totals in trace.by_stack(name) if totals.peak_blocks][:top]
    return AreaOverview(
        name,
        len(blocks.born),
        len(trace.failed(name)),
        len(trace.stray_frees(name)),
        peak,
        trace[int(makers[0])] if len(makers) else None,
        _gaps(blocks, trace.live(peak.event, name)),
        (int(at_end.size.sum(dtype=np.int64)), len(at_end.born)),
        _gaps(blocks, at_end),
        tuple(Caller(totals, trace.frames(totals.stack)) for totals in by_stack),
    )


def _gaps(ever: Blocks, live: Blocks) -> Gaps:
    """Measure the gaps between some blocks that live at the same time."""
    if not len(ever.born):
        return Gaps(0, 0)
    starts, ends = _extents(ever)
    low, high = starts.min(), ends.max()
    starts, ends = _extents(live)
    order = np.argsort(starts, kind="stable")
    covered = np.maximum.accumulate(np.concatenate(([low], ends[order])))
    gaps = np.maximum(np.concatenate((starts[order], [high])) - covered, 0)
    return Gaps(int(gaps.sum()), int(gaps.max()))


def _extents(blocks: Blocks) -> tuple[I64, I64]:
    starts = blocks.address.astype(np.int64)
    return starts, starts + blocks.size
