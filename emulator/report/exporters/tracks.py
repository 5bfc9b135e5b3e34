"""Assign calls to tracks: the rows of a timeline, in which slices may nest but not overlap.

A kernel that switches between tasks leaves one call before its end and goes on with another task's; such calls overlap.
Each gets a track of its own, and what it calls stands in the track of its caller. A call that did not return is drawn to
the next call that does not belong to it.
"""

from __future__ import annotations

TRACKS_MAX = 64  # what a viewer can show; a trace that needs more is damaged
NEVER = 1 << 32


class Tracks:
    """Assigns tracks to calls, which come in order of entry."""

    def __init__(self) -> None:
        self._tracks: list[dict[int, int]] = [
            {}
        ]  # of each the open calls, the innermost last -> event of exit
        self._track_of: dict[int, int] = {}  # open call -> track
        self._cut: dict[int, int] = {}  # call -> event

    def __len__(self) -> int:
        return len(self._tracks)

    def place(self, number: int, parent: int, entered: int, left: int) -> int:
        """Return the track of the next call, counted from 0.

        Args:
            number: Of the call.
            parent: Number of the call that it was made in; 0 for none.
            entered: The event of its entry.
            left: The event of its exit; `NEVER` if it did not return.
        """
        track = self._track_of.get(parent)
        if track is not None:
            self._clear(track, parent, entered)
            end = self._tracks[track][parent]
            if end < entered or end < left < NEVER:  # a damaged trace
                track = None
        if track is None:
            track = self._free_track(entered)
            self._clear(track, 0, entered)
        self._track_of[number] = track
        self._tracks[track][number] = left
        return track

    def cut(self) -> dict[int, int]:
        """Return the calls that did not return and whose drawing has ended since the last time, with the event where it ended."""
        result, self._cut = self._cut, {}
        return result

    def finish(self, last: int) -> None:
        """End the drawing of all calls after the *last* event."""
        for track in range(len(self._tracks)):
            self._clear(track, 0, last + 1)

    def _free_track(self, entered: int) -> int:
        for track, calls in enumerate(self._tracks):
            if all(left < entered or left == NEVER for left in calls.values()):
                return track
        if len(self._tracks) < TRACKS_MAX:
            self._tracks.append({})
        return len(self._tracks) - 1

    def _clear(self, track: int, parent: int, now: int) -> None:
        """Close what is open above *parent*, everything if that is 0."""
        calls = self._tracks[track]
        while calls and next(reversed(calls)) != parent:
            number, left = calls.popitem()
            self._track_of.pop(number, None)
            if left == NEVER:
                self._cut[number] = min(now, *calls.values(), NEVER)
