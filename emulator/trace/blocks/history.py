"""The life of every block of one area."""

from __future__ import annotations

from bisect import bisect_left
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emulator.machine.core.lives import pair
from emulator.profile.functions import Role
from emulator.trace.blocks.blocks import NEVER, Blocks
from emulator.trace.blocks.operations import area_operations, spans_of
from emulator.trace.blocks.overlaps import made_over_live
from emulator.trace.blocks.page_runs import page_runs
from emulator.trace.blocks.pairing import BIRTH, DEATH, DEFERRED, keys_of
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.trace.blocks.operations import AreaOperations, Operations
    from emulator.trace.blocks.places import Places
    from emulator.trace.queries.totals import Peak
    from emulator.trace.table import I64, U8, U32, U64, CallTable, Flags

_LARGEST = 0xFFFF_FFFF
_BY_ALLOCATOR = 255  # beside the kinds of operations: a free that the allocator makes for itself


class FlatFacts(NamedTuple):
    """What the one pass over the calls has seen of an area that is flat (`flat_areas`), whether or not it has worked out the life of each block.

    Attributes:
        failed: See `AreaHistory`.
        stray: See `AreaHistory`.
        peak: When most bytes were in use.
        may_overlap: Blocks may have been made over live ones; never in an area of pages.
        pools_fit: Whoever says of which pool a block is that he gives back says what was said when it was made, if anything was.
        sizes_fit: Whoever says of what size a block is that he gives back says it right; says nothing of an area of pages.
        places: Where blocks were made.
        live: The blocks that live at the end.
    """

    failed: U32
    stray: U32
    peak: Peak
    may_overlap: bool
    pools_fit: bool
    sizes_fit: bool
    places: Places
    live: Blocks


class AreaHistory(NamedTuple):
    """What happened in one area.

    Attributes:
        blocks: All that ever lived.
        failed: Calls that should have made a block and did not, ascending.
        stray: Calls that gave back what was not live, ascending.
    """

    blocks: Blocks
    failed: U32
    stray: U32


def area_history(calls: CallTable, area: str) -> AreaHistory:
    """Work out the history of an area of the profile."""
    operations, pages = area_operations(calls, area), calls.profile.pages(area)
    blocks, taken = _lives(calls, operations, pages=pages)
    while (stock := _stock(operations.births, blocks, calls.last_event, pages=pages)).any():
        operations = operations._replace(births=operations.births.where(~stock))
        blocks, taken = _lives(calls, operations, pages=pages)
    given_back = (operations.deaths, operations.deferred)
    stray = [each.rows[~taken[each.event] & ~each.nested] for each in given_back]
    stray.append(_taken_for_deferred(calls, operations, taken))
    return AreaHistory(blocks, _numbers(operations.failed.rows), _numbers(np.concatenate(stray)))


def _lives(calls: CallTable, operations: AreaOperations, *, pages: bool) -> tuple[Blocks, Flags]:
    """Return the life of every block, and by event whether it freed one."""
    parts, taken = (_runs if pages else _blocks)(operations, operations.kinds(calls.last_event))
    address, size, born, died = parts
    born_call, died_call = calls.by_event[born], calls.by_event[np.where(died == NEVER, 0, died)]
    freed = calls.entered[np.maximum(died_call, 1) - 1] == died  # else its place was handed out again
    died_call = np.where(freed, died_call, np.uint32(0))
    return Blocks(address, size, born, born_call, died, died_call, calls.stack[born_call - 1]), taken


def _stock(births: Operations, blocks: Blocks, last_event: int, *, pages: bool) -> Flags:
    """Return which of the blocks that were made inside other calls are no blocks, but what the allocator hands out.

    It hands out their memory while they are live: it fills its lists with several blocks at a time, or lets the heap grow.
    """
    stock = np.zeros(len(births.event), np.bool_)
    if not births.nested.any() or not made_over_live(blocks, last_event, 0, pages=pages)[0]:
        return stock
    number = np.zeros(last_event + 1, np.int64)  # of the birth at an event
    number[births.event] = np.arange(len(births.event))
    inner = blocks.where(births.nested[number[blocks.born]])
    inner_end = inner.address.astype(np.int64) + np.maximum(inner.size, 1)
    made = spans_of(births, pages=pages, unknown=1)
    near = np.flatnonzero(_start_in(made.start, inner.address, inner_end))
    steps = (  # in order: where a block is made, those that die by it are still live
        *_steps(births.event[near], _MADE, made.start[near], made.end[near], near),
        *_steps(inner.born, _BEGINS, inner.address, inner_end, number[inner.born]),
        *_steps(inner.died, _ENDS, inner.address, inner_end, number[inner.born]),
    )
    live: list[tuple[int, int, int]] = []  # ascending
    for _, kind, start, end, birth in sorted(steps):
        at = bisect_left(live, (start, end, birth))
        if kind == _BEGINS:
            live.insert(at, (start, end, birth))
        elif kind == _ENDS:
            del live[at]
        elif at := bisect_left(live, (start + 1,)):
            _, stop, holder = live[at - 1]
            stock[holder] |= start < stop and end <= made.end[holder]
    return stock


_MADE, _BEGINS, _ENDS = range(3)


def _steps(events: U32, kind: int, *columns: U32 | U64 | I64) -> Iterator[tuple[int, ...]]:
    """Yield tuples of an event, the kind and an item of each column."""
    return zip(events.tolist(), repeat(kind), *(each.tolist() for each in columns), strict=False)


def _start_in(starts: U64, low: U32, high: I64) -> Flags:
    """Return which addresses lie in one of some spans ``[low, high)``."""
    order = np.argsort(low)
    reach = np.concatenate(([0], np.maximum.accumulate(high[order])))
    inside: Flags = starts < reach[np.searchsorted(low[order], starts, side="right")].astype(np.uint64)
    return inside


def _taken_for_deferred(calls: CallTable, operations: AreaOperations, taken: Flags) -> I64:
    """Return the rows of frees that seemed to be those which had been deferred, before the allocator freed these blocks itself."""
    births, deaths, deferred = operations.births, operations.deaths, operations.deferred
    if not len(deferred.rows):
        return deferred.rows
    is_free = np.array([each.role is Role.FREE for each in calls.functions])
    parent = calls.parent[deaths.rows].astype(np.int64)
    deaths = deaths.where((parent == 0) | ~is_free[calls.function[parent - 1]])  # not parts of other frees
    kinds = np.zeros(len(taken), np.uint8)
    kinds[deferred.event] = DEFERRED
    kinds[deaths.event[taken[deaths.event] & ~deaths.nested]] = DEATH
    kinds[deaths.event[~taken[deaths.event] & deaths.nested]] = _BY_ALLOCATOR
    keys = np.sort(np.concatenate([keys_of(each.address, each.event) for each in (births, deaths, deferred)]))
    kind, address = kinds[keys.astype(np.uint32)], keys >> np.uint64(32)
    found = (kind[:-2] == DEFERRED) & (kind[1:-1] == DEATH) & (kind[2:] == _BY_ALLOCATOR)
    events = keys[1:-1][found & (address[:-2] == address[2:])].astype(np.uint32)
    rows: I64 = deaths.rows[np.isin(deaths.event, events)]
    return rows


def _blocks(operations: AreaOperations, kinds: U8) -> tuple[tuple[U32, U32, U32, U32], Flags]:
    """Work out an area in which each block has an address of its own.

    Args:
        operations: On the area.
        kinds: Their kinds by event.

    Returns:
        Address, size, birth and death of all blocks, by birth; and by event whether it freed one.
    """
    births = operations.births
    by_event = np.zeros(len(kinds), np.uint32)
    for each in (births, operations.deaths, operations.deferred, operations.shares):
        by_event[each.event] = each.address
    born = np.flatnonzero(kinds == BIRTH).astype(np.uint32)
    died, taken = operations.forgotten(born), np.zeros(len(kinds), np.bool_)
    pair(kinds.data, by_event.data, died.data, taken.data)
    addresses = by_event[born]
    by_event[births.event] = births.size
    return (addresses, by_event[born], born, died), taken


def _runs(operations: AreaOperations, kinds: U8) -> tuple[tuple[U32, U32, U32, U32], Flags]:
    """Do the same for an area of pages."""
    runs, taken = page_runs(operations, kinds)
    sizes = np.minimum((runs.stop - runs.start).astype(np.uint64) * PAGE_SIZE, _LARGEST).astype(np.uint32)
    return (runs.start * np.uint32(PAGE_SIZE), sizes, runs.born, runs.died), taken


def _numbers(rows: I64) -> U32:
    """Return the numbers of calls in order."""
    return np.sort(rows.astype(np.uint32) + np.uint32(1))
