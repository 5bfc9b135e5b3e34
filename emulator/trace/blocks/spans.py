"""Runs of pages, cut into pieces that no operation ever cuts, so that pages which share their fate are handled as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.trace.blocks.function_calls import NOWHERE
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from emulator.trace.blocks.operations import Operations
    from emulator.trace.blocks.pairing import Lives
    from emulator.trace.table import U32

PAGES: Final = 1 << 20
"""Of a physical memory of 4 GiB."""

_PAGE_BITS: Final = np.uint32(12)


class Spans(NamedTuple):
    """Runs of pages ``[start, stop)``, each with the event at which something happened to it."""

    start: U32
    stop: U32
    event: U32


class Runs(NamedTuple):
    """Runs of pages ``[start, stop)`` with the events of their birth and death."""

    start: U32
    stop: U32
    born: U32
    died: U32

    def joined(self) -> Runs:
        """Sort by birth and address, and join neighbours that came and went together."""
        start, stop, born, died = self
        order = np.argsort(born.astype(np.uint64) << np.uint64(32) | start)
        start, stop, born, died = start[order], stop[order], born[order], died[order]
        heads = np.ones(len(start), np.bool_)
        heads[1:] = (start[1:] != stop[:-1]) | (born[1:] != born[:-1]) | (died[1:] != died[:-1])
        tails = np.roll(heads, -1)  # where the next one begins, or there is none
        return Runs(start[heads], stop[tails], born[heads], died[heads])


class Borders:
    """All pages at which a run begins or ends. The pieces between them have numbers in order of address."""

    def __init__(self, *runs: Spans) -> None:
        marked = np.zeros(PAGES + 1, np.bool_)
        for each in runs:
            marked[each.start] = True
            marked[each.stop] = True
        self._number = np.cumsum(marked, dtype=np.uint32) - np.uint32(
            1
        )  # of the piece that begins at a border
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
        before = np.cumsum(counts, dtype=np.uint32) - counts
        places = np.arange(self.count(runs), dtype=np.uint32)
        places += np.repeat(first - before, counts)  # modulo 2^32
        return places, np.repeat(runs.event, counts)

    def runs(self, lives: Lives) -> Runs:
        """Return the lives of pieces as those of runs."""
        return Runs(self._pages[lives.place], self._pages[lives.place + 1], lives.born, lives.died)


def spans_of(operations: Operations, events: U32) -> Spans:
    """Return the pages that operations are about, at least one each; none `NOWHERE`."""
    start = np.where(operations.address == NOWHERE, np.uint32(PAGES), operations.address >> _PAGE_BITS)
    pages = np.maximum(-(-operations.size.astype(np.int64) // PAGE_SIZE), 1)
    return Spans(start, np.minimum(start + pages, PAGES).astype(np.uint32), events)
