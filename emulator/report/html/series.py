"""Collect the numbers of a trace that the page draws: times, blocks, backtraces."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from emulator.report.html.columns import PageColumn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from emulator.report.html.frames import FrameTables
    from emulator.trace.trace import Trace


def page_columns(trace: Trace, areas: Sequence[str], tables: FrameTables) -> Iterator[PageColumn]:
    """Yield all columns of the page. What belongs to the n-th of *areas* is called ``n.born`` and so on."""
    yield PageColumn("times", event_times(trace), grows=True)
    yield from _stack_columns(tables.stacks)
    for number, area in enumerate(areas):
        yield from _block_columns(trace, area, f"{number}.")
        yield from _total_columns(trace, area, f"{number}.")


def event_times(trace: Trace) -> NDArray[np.uint64]:
    """Return the virtual time of each event in ns; index 0 is the beginning of the recording."""
    columns = trace.calls
    times = np.zeros(trace.event_count + 1, np.uint64)
    times[columns.entered] = columns.time_ns
    left = columns.left
    times[left[left > 0]] = columns.left_time_ns[left > 0]
    return np.maximum.accumulate(times)


def _stack_columns(stacks: list[list[int]]) -> Iterator[PageColumn]:
    ends = np.cumsum([0, *map(len, stacks)])
    yield PageColumn("stack_ends", ends.astype(np.uint32), grows=True)
    yield PageColumn("stack_frames", np.fromiter(chain.from_iterable(stacks), np.uint32))


def _block_columns(trace: Trace, area: str, prefix: str) -> Iterator[PageColumn]:
    blocks = trace.blocks(area)
    yield PageColumn(f"{prefix}address", blocks.address.astype(np.uint32))
    yield PageColumn(f"{prefix}size", blocks.size.astype(np.uint32))
    yield PageColumn(f"{prefix}born", blocks.born.astype(np.uint32), grows=True)
    # Events from birth to death: small where blocks are short-lived. It wraps around for NEVER, and back when it is added.
    yield PageColumn(f"{prefix}life", blocks.died.astype(np.uint32) - blocks.born.astype(np.uint32))
    yield PageColumn(f"{prefix}call", blocks.born_call.astype(np.uint32), grows=True)
    yield PageColumn(f"{prefix}stack", blocks.stack.astype(np.uint32))


def _total_columns(trace: Trace, area: str, prefix: str) -> Iterator[PageColumn]:
    """Yield the totals of each backtrace's allocations."""
    totals = trace.by_stack(area)
    for name in ("stack", "calls", "bytes_allocated", "peak_bytes", "peak_blocks", "end_bytes", "end_blocks"):
        values = np.array([getattr(each, name) for each in totals], np.uint64)
        yield PageColumn(f"{prefix}totals.{name}", values)
