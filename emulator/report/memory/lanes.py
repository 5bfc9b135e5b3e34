"""Which calls can be drawn in one row: those of which each lies within another or beside it.

A kernel that switches between tasks leaves one call before its end and goes on with another task's; such calls overlap.
Each gets a row, a lane, of its own, and what they call stands in the lane of its caller. A call that did not return is
drawn to the next call that does not belong to it.
"""

from __future__ import annotations

from typing import NamedTuple

LANES_MAX = 64  # what a viewer can show; a trace that needs more is damaged
NEVER = 1 << 32


class OpenCall(NamedTuple):
    """A call that later ones may lie in.

    Attributes:
        number: Of the call.
        left: The event of its exit; `NEVER` if it did not return.
    """

    number: int
    left: int


class Lanes:
    """Assigns lanes to calls, which come in order of entry."""

    def __init__(self) -> None:
        self._lanes: list[list[OpenCall]] = [[]]
        self._lane_of: dict[int, int] = {}  # open call -> lane
        self._cut: list[OpenCall] = []

    def __len__(self) -> int:
        return len(self._lanes)

    def place(self, call: OpenCall, parent: int, entered: int) -> int:
        """Return the lane of the next call, counted from 0.

        Args:
            call: The call.
            parent: Number of the call that it was made in; 0 for none.
            entered: The event of its entry.
        """
        lane = self._lane_of.get(parent)
        if lane is not None:
            self._clear(lane, parent, entered)
            end = self._lanes[lane][-1].left
            if end < entered or end < call.left < NEVER:  # a damaged trace
                lane = None
        if lane is None:
            lane = self._free_lane(entered)
            self._clear(lane, 0, entered)
        self._lane_of[call.number] = lane
        self._lanes[lane].append(call)
        return lane

    def cut(self) -> list[OpenCall]:
        """Return the calls that did not return and whose drawing has ended since the last time, with where it ended."""
        result, self._cut = self._cut, []
        return result

    def finish(self, last: int) -> None:
        """End the drawing of all calls after the *last* event."""
        for lane in range(len(self._lanes)):
            self._clear(lane, 0, last + 1)

    def _free_lane(self, entered: int) -> int:
        for lane, stack in enumerate(self._lanes):
            if all(call.left < entered or call.left == NEVER for call in stack):
                return lane
        if len(self._lanes) < LANES_MAX:
            self._lanes.append([])
        return len(self._lanes) - 1

    def _clear(self, lane: int, parent: int, now: int) -> None:
        """Close what is open above *parent*, everything if that is 0."""
        stack = self._lanes[lane]
        while stack and stack[-1].number != parent:
            call = stack.pop()
            self._lane_of.pop(call.number, None)
            if call.left == NEVER:
                self._cut.append(OpenCall(call.number, min(now, *(each.left for each in stack), NEVER)))
