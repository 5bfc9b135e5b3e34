"""The life of runs of pages, which may be given back in parts.

Runs are cut into pieces that no operation ever cuts, and the pieces are paired one by one: millions of calls are handled at once
that way. Where long runs are made again and again over short ones there would be too many pieces, and the calls are followed in
order instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.trace.blocks.blocks import NEVER
from emulator.trace.blocks.function_calls import NOWHERE
from emulator.trace.blocks.pairing import BIRTH, DEATH, keys_of, pair
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from emulator.trace.blocks.operations import AreaOperations, Operations
    from emulator.trace.table import U8, U32, Flags

_PAGES: Final = 1 << 20
"""Of a physical memory of 4 GiB."""

_PAGE_BITS: Final = np.uint32(12)


_PIECES: Final = 1 << 22
"""Pieces, beyond two for each operation, up to which cutting is worth its memory."""


def page_runs(operations: AreaOperations, kinds: U8) -> tuple[Runs, Flags]:
    """Work out the life of all pages of an area.

    Args:
        operations: On the area.
        kinds: Their kinds by event.

    Returns:
        Pages that came and went together, by birth and address; and by event whether it freed one.
    """
    births, deaths, shares = map(_spans_of, (operations.births, operations.deaths, operations.shares))
    for spans, named in ((deaths, operations.deaths), (shares, operations.shares)):
        whole = named.size == 0
        spans.stop[whole] = _ends(births, spans.start[whole], spans.event[whole])
    changes = (births, deaths, shares)
    borders, pieces = _in_pieces(changes)
    if sum(map(_count, pieces)) > 2 * sum(len(each.event) for each in changes) + _PIECES:
        runs, taken = _followed(changes, kinds, operations.forgotten)
    else:
        keys = np.concatenate([keys_of(*_cut(each)) for each in pieces])
        keys.sort()
        (piece, born, died), taken = pair(keys, kinds, operations.forgotten)
        runs = Runs(borders[piece], borders[piece + 1], born, died)
    return runs.joined(), taken


def _ends(births: _Spans, start: U32, freed: U32) -> U32:
    """Return where runs end that are named without a size: where the latest one born at their start ended."""
    keys = keys_of(births.start, births.event)
    order = np.argsort(keys)
    latest = np.searchsorted(keys[order], keys_of(start, freed)) - 1
    if not len(keys):
        return np.minimum(start + 1, _PAGES).astype(np.uint32)
    born_start, born_stop = births.start[order][latest], births.stop[order][latest]
    known = (latest >= 0) & (born_start == start)
    return np.where(known, born_stop, np.minimum(start + 1, _PAGES)).astype(np.uint32)


class _Spans(NamedTuple):
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


def _in_pieces(spans: Sequence[_Spans]) -> tuple[U32, list[_Spans]]:
    """Cut memory at all pages at which a run begins or ends, and number the pieces in order of address.

    Returns:
        The pages, at each of which a piece begins; and the runs in numbers of pieces instead of pages.
    """
    low = np.uint32(min(int(each.start.min(initial=_PAGES)) for each in spans))
    high = max(int(each.stop.max(initial=low)) for each in spans)
    marked = np.zeros(high - int(low) + 1, np.bool_)  # the page *low* first: to touch all takes milliseconds
    for each in spans:
        marked[each.start - low] = True
        marked[each.stop - low] = True
    number = np.cumsum(marked, dtype=np.uint32) - np.uint32(1)  # of the piece that begins at a border
    pieces = [_Spans(number[each.start - low], number[each.stop - low], each.event) for each in spans]
    return np.flatnonzero(marked).astype(np.uint32) + low, pieces


def _count(pieces: _Spans) -> int:
    """Return how many pieces runs have in total."""
    return int(np.sum(pieces.stop - pieces.start, dtype=np.int64))


def _cut(pieces: _Spans) -> tuple[U32, U32]:
    """Return the numbers of all pieces of all runs, and their events."""
    first, stop, event = pieces
    counts = stop - first
    if (counts == 1).all():
        return first, event
    before = np.cumsum(counts, dtype=np.uint32) - counts
    numbers = np.arange(_count(pieces), dtype=np.uint32)
    numbers += np.repeat(first - before, counts)  # modulo 2^32
    return numbers, np.repeat(event, counts)


def _spans_of(operations: Operations) -> _Spans:
    """Return the pages that operations are about, at least one each; none `NOWHERE`."""
    start = np.where(operations.address == NOWHERE, np.uint32(_PAGES), operations.address >> _PAGE_BITS)
    pages = np.maximum(-(-operations.size.astype(np.int64) // PAGE_SIZE), 1)
    return _Spans(start, np.minimum(start + pages, _PAGES).astype(np.uint32), operations.event)


class _Live(NamedTuple):
    """A live run up to the page *stop*; it is forgotten at the event *end*."""

    stop: int
    born: int
    owners: int
    end: int


class _Pages:
    """The pages of an area at one moment, as live runs that do not overlap.

    Attributes:
        ended: All runs that have died: start, stop, birth, death.
    """

    def __init__(self) -> None:
        self._heads = bytearray(_PAGES + 1)  # 1: a live run begins at this page
        self._runs: dict[int, _Live] = {}  # by head
        self.ended: list[tuple[int, int, int, int]] = []

    def birth(self, start: int, stop: int, event: int, end: int) -> None:
        """Make a run; what is live there dies."""
        for head in self._inside(start, stop):
            self._die(head, event)
        self._set(start, _Live(stop, event, 1, end))

    def change(self, start: int, stop: int, event: int, owners: int) -> bool:
        """Add owners to all that is live in a run, or take them away; return whether there was something."""
        found = False
        for head in self._inside(start, stop):
            run = self._runs[head]
            found |= event < run.end
            if run.end <= event or run.owners + owners == 0:
                self._die(head, event)
            else:
                self._runs[head] = run._replace(owners=run.owners + owners)
        return found

    def die(self) -> None:
        """End what is still live."""
        for head in list(self._runs):
            self._die(head, NEVER)

    def _die(self, head: int, event: int) -> None:
        run = self._runs.pop(head)
        self._heads[head] = 0
        self.ended.append((head, run.stop, run.born, min(event, run.end)))

    def _set(self, head: int, run: _Live) -> None:
        self._heads[head] = 1
        self._runs[head] = run

    def _inside(self, start: int, stop: int) -> list[int]:
        """Return the heads of all live runs in a run, after cutting those that reach over its ends."""
        for border in (start, stop):
            head = self._heads.rfind(1, 0, border)
            if head >= 0 and self._runs[head].stop > border:
                run = self._runs[head]
                self._set(head, run._replace(stop=border))
                self._set(border, run)
        heads = []
        head = self._heads.find(1, start, stop)
        while head >= 0:
            heads.append(head)
            head = self._heads.find(1, head + 1, stop)
        return heads


def _followed(
    spans: tuple[_Spans, _Spans, _Spans], kinds: U8, forgotten: Callable[[U32], U32]
) -> tuple[Runs, Flags]:
    """Follow all operations one by one."""
    start, stop, event = (np.concatenate(columns) for columns in zip(*spans, strict=True))
    order = np.argsort(event)
    order = order[start[order] < stop[order]]
    event = event[order]
    kind = kinds[event]
    ends = np.full(len(event), NEVER, np.uint32)
    births = kind == BIRTH
    ends[births] = forgotten(event[births])
    taken = np.zeros(len(kinds), np.bool_)
    pages = _Pages()
    columns = (start[order], stop[order], event, kind, ends)
    for first, last, now, what, end in zip(*(column.tolist() for column in columns), strict=True):
        if what == BIRTH:
            pages.birth(first, last, now, end)
        elif what == DEATH:
            taken[now] = pages.change(first, last, now, -1)
        else:
            pages.change(first, last, now, 1)
    pages.die()
    ended = np.array(pages.ended, np.uint32).reshape(-1, 4)
    return Runs(*ended.T), taken
