"""Frames that `memmap_reserve` took, and between which events they were reserved.

What `memmap_reserve` takes can be given back like any other frame; from then on it is an ordinary one. But who frees a
frame that was handed out although it was reserved gives back that, and not what was reserved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.check.structures.flag_runs import runs_of
from emulator.trace.blocks.blocks import NEVER
from emulator.trace.queries.distinct import are_among
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.check.area import Area
    from emulator.trace.table import I64, U32
    from emulator.trace.trace import Trace

_RESERVE: Final = "memmap_reserve"


class Reservation(NamedTuple):
    """Frames [first, stop) that were reserved.

    Attributes:
        since: Event from which on they were.
        until: Of each frame the event from which on it was not; `NEVER`.
        name: "for" what, or "by" which call.
    """

    first: int
    stop: int
    since: int
    until: U32
    name: str

    def holds(self, frame: int, event: int) -> bool:
        """Return whether a frame is reserved by it after an event."""
        inside = self.first <= frame < self.stop and self.since <= event
        return inside and event < int(self.until[frame - self.first])

    def still_held(self) -> list[tuple[int, int]]:
        """Return the frames that are reserved at the end, as runs."""
        return [(start + self.first, stop + self.first) for start, stop in runs_of(self.until == NEVER)]

    def was_had(self, area: Area) -> bool:
        """Return whether a block of an area has ever had one of its frames."""
        return area.has_ever_had(self.first * PAGE_SIZE, self.stop * PAGE_SIZE)

    def taken_by(self, first: U32, stop: U32, event: U32) -> I64:
        """Return which of some runs of frames were allocated while a frame of theirs was reserved.

        Args:
            first: First frames of the runs.
            stop: The frames after them.
            event: When they were allocated.
        """
        rows = np.flatnonzero((first < self.stop) & (stop > self.first) & (event > self.since))
        held = [
            bool((self.until[max(low - self.first, 0) : high - self.first] > when).any())
            for low, high, when in zip(
                first[rows].tolist(), stop[rows].tolist(), event[rows].tolist(), strict=True
            )
        ]
        return rows[np.array(held, np.bool_)]


def own_reservations(area: Area, own: Iterable[tuple[int, int, str]]) -> list[Reservation]:
    """Return what the kernel itself has from the start on.

    Args:
        area: Whose frames.
        own: Addresses [start, end), and "for" what.
    """
    return [_reservation(area, _frames(start, end), 0, NEVER, name) for start, end, name in own]


def reserve_calls(area: Area) -> list[Reservation]:
    """Return what calls of `memmap_reserve` have reserved. A new start of the area forgets it."""
    resets = area.resets
    found = []
    for start, end, event, row in _reserve_calls(area.trace):
        later = resets[np.searchsorted(resets, event) :]
        until = int(later[0]) if len(later) else NEVER
        found.append(
            _reservation(area, _frames(start, end), event, until, f"by call #{row + 1} of {_RESERVE}")
        )
    return found


def _frames(start: int, end: int) -> tuple[int, int]:
    return start // PAGE_SIZE, -(-end // PAGE_SIZE)


def _reserve_calls(trace: Trace) -> list[tuple[int, int, int, int]]:
    columns = trace.calls
    codes = [code for code, function in enumerate(trace.functions) if function.name == _RESERVE]
    rows = np.sort(np.concatenate([np.empty(0, np.int64), *map(columns.rows_of, codes)]))
    rows = rows[columns.take("left", rows) != 0]
    start, end, left = (columns.take(name, rows) for name in ("arg0", "arg1", "left"))
    chosen = (each for each in zip(start.tolist(), end.tolist(), left.tolist(), rows.tolist(), strict=True))
    return [each for each in chosen if each[0] < each[1]]


def _reservation(area: Area, frames: tuple[int, int], since: int, until: int, name: str) -> Reservation:
    first, stop = frames
    given_back = np.full(stop - first, until, np.uint32)
    reservation = Reservation(first, stop, since, given_back, name)
    if area.flat is not None and not reservation.was_had(area):  # nobody gives back what was never handed out
        return reservation
    frees = area.frees
    low = frees.address.astype(np.int64) // PAGE_SIZE
    high = low + np.maximum(frees.size // PAGE_SIZE, 1)
    chosen = (low < stop) & (high > first) & (frees.event > since)
    pages, events = _each_frame(
        np.maximum(low[chosen], first), np.minimum(high[chosen], stop), frees.event[chosen]
    )
    ours = ~are_among(_keys(pages, events), _handed_out(area, first, stop, since))
    np.minimum.at(given_back, pages[ours] - first, events[ours])
    return reservation


def _handed_out(area: Area, first: int, stop: int, since: int) -> I64:
    """Return which frames were given back when, as keys, that had been handed out while they were reserved."""
    blocks = area.blocks
    low = blocks.address.astype(np.int64) // PAGE_SIZE
    high = low + blocks.size // PAGE_SIZE
    chosen = (low < stop) & (high > first) & (blocks.born > since) & (blocks.died != NEVER)
    return _keys(
        *_each_frame(np.maximum(low[chosen], first), np.minimum(high[chosen], stop), blocks.died[chosen])
    )


def _each_frame(first: I64, stop: I64, event: U32) -> tuple[I64, U32]:
    """Return the frames of runs one by one, each with the event of its run."""
    counts = stop - first
    offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(first, counts) + offsets, np.repeat(event, counts)


def _keys(frames: I64, events: U32) -> I64:
    return frames << 32 | events.astype(np.int64)
