"""Runs of pages as pieces that no operation ever cuts, so that pages which share their fate are handled as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from emulator.trace.columns import I64, U32
    from emulator.trace.pairing import Lives

PAGES: Final = 1 << 20
"""Of a physical memory of 4 GiB."""


class Spans(NamedTuple):
    """Runs of pages ``[start, stop)``, each with the event at which something happened to it."""

    start: U32
    stop: U32
    event: U32


class Borders:
    """All pages at which a run begins or ends. The pieces between them have numbers in order of address."""

    def __init__(self, *runs: Spans) -> None:
        marked = np.zeros(PAGES + 1, np.bool_)
        for each in runs:
            marked[each.start] = True
            marked[each.stop] = True
        self._number = np.cumsum(marked, dtype=np.uint32)  # of the piece after a border, from 1
        self._pages = np.flatnonzero(marked).astype(np.uint32)

    def count(self, runs: Spans) -> int:
        """Return how many pieces runs have in total."""
        return int(np.sum(self._number[runs.stop] - self._number[runs.start], dtype=np.int64))

    def cut(self, runs: Spans) -> tuple[U32, U32]:
        """Return the numbers of all pieces of all runs, and their events."""
        first = self._number[runs.start]
        counts = self._number[runs.stop] - first
        if (counts == 1).all():
            return first, runs.event
        before = np.cumsum(counts, dtype=np.int64) - counts
        places = np.arange(int(counts.sum(dtype=np.int64)), dtype=np.uint32)
        places += np.repeat((first - before).astype(np.uint32), counts)
        return places, np.repeat(runs.event, counts)

    def rejoin(self, lives: Lives) -> tuple[Spans, U32]:
        """Join neighbouring pieces that came and went together.

        Returns:
            Runs with the events of their birth, by birth and address; and the events of their death.
        """
        order = np.argsort(lives.born.astype(np.uint64) << np.uint64(32) | lives.place)
        place, born, died = (column[order] for column in lives)
        starts = np.ones(len(place), np.bool_)
        starts[1:] = (born[1:] != born[:-1]) | (died[1:] != died[:-1]) | (place[1:] != place[:-1] + 1)
        first: I64 = np.flatnonzero(starts)
        last = np.append(first[1:], len(place)) - 1 if len(first) else first
        runs = Spans(self._pages[place[first] - 1], self._pages[place[last]], born[first])
        return runs, died[first]
