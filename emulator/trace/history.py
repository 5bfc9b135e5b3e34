"""The life of every block of one area."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emulator.trace.blocks import NEVER, Blocks
from emulator.trace.operations import ALL_POOLS, NOWHERE, PAGE_SIZE, area_operations
from emulator.trace.pairing import BIRTH, DEATH, SHARE, at_place, pair
from emulator.trace.spans import PAGES, Borders, Spans

if TYPE_CHECKING:
    from emulator.loader.profile import Profile
    from emulator.trace.columns import I64, U8, U32, U64, Columns, Flags
    from emulator.trace.operations import AreaOperations, Operations

_LARGEST = 0xFFFF_FFFF


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


def area_history(columns: Columns, calls: U32, profile: Profile, area: str) -> AreaHistory:
    """Work out an area's history.

    Args:
        columns: All calls.
        calls: Number of the call by event; 0 for event 0.
        profile: What the functions mean.
        area: One of the profile's.
    """
    operations = area_operations(columns, profile, area)
    if profile.pages(area):
        blocks, taken = _page_runs(columns, calls, operations)
    else:
        blocks, taken = _blocks(columns, calls, operations)
    deaths = operations.deaths
    stray = deaths.rows[~taken[columns.entered[deaths.rows]] & ~deaths.nested]
    return AreaHistory(blocks, _numbers(operations.failed.rows), _numbers(stray))


def _blocks(columns: Columns, calls: U32, operations: AreaOperations) -> tuple[Blocks, Flags]:
    """Return all blocks of an area in which each has an address of its own, and which events freed."""
    births = operations.births
    born = columns.left[births.rows]
    keys = np.concatenate(
        [
            at_place(births.address, born),
            at_place(operations.deaths.address, columns.entered[operations.deaths.rows]),
            at_place(operations.shares.address, columns.left[operations.shares.rows]),
        ]
    )
    keys.sort()
    kinds = _kinds(columns, operations, len(calls))
    lives, taken = pair(keys, kinds, partial(_forgotten, columns, calls, operations))
    position = np.zeros(len(calls), np.uint32)  # by event, for a sort in linear time
    position[lives.born] = np.arange(len(lives.born), dtype=np.uint32)
    in_order = np.flatnonzero(kinds == BIRTH)
    order = position[in_order]
    sizes = position  # not needed any more
    sizes[born] = births.size
    return _made(
        columns, calls, (lives.place[order], sizes[in_order], lives.born[order], lives.died[order])
    ), taken


def _page_runs(columns: Columns, calls: U32, operations: AreaOperations) -> tuple[Blocks, Flags]:
    """Return all blocks of an area of pages, and which events freed at least one page."""
    births = _spans(operations.births, columns.left[operations.births.rows])
    shares = _spans(operations.shares, columns.left[operations.shares.rows])
    deaths = _spans(operations.deaths, columns.entered[operations.deaths.rows])
    whole = operations.deaths.size == 0
    deaths.stop[whole] = _ends(births, deaths, whole)
    borders = Borders(births, deaths, shares)
    keys = np.concatenate([at_place(*borders.cut(each)) for each in (births, deaths, shares)])
    keys.sort()
    kinds = _kinds(columns, operations, len(calls))
    lives, taken = pair(keys, kinds, partial(_forgotten, columns, calls, operations))
    runs, died = borders.rejoin(lives)
    sizes = np.minimum((runs.stop - runs.start).astype(np.uint64) * PAGE_SIZE, _LARGEST).astype(np.uint32)
    return _made(columns, calls, (runs.start << np.uint32(12), sizes, runs.event, died)), taken


def _made(columns: Columns, calls: U32, parts: tuple[U32, U32, U32, U32]) -> Blocks:
    """Complete blocks of which address, size, birth and death are known."""
    address, size, born, died = parts
    born_call = calls[born]
    died_call = calls[np.where(died == NEVER, 0, died)]
    return Blocks(address, size, born, born_call, died, died_call, columns.stack[born_call - 1])


def _spans(operations: Operations, events: U32) -> Spans:
    """Return the pages that operations are about, at least one each."""
    nowhere = operations.address == NOWHERE
    start = np.where(nowhere, np.uint32(PAGES), operations.address >> np.uint32(12))
    pages = np.maximum(-(-operations.size.astype(np.int64) // PAGE_SIZE), 1)
    return Spans(start, np.minimum(start + pages, PAGES).astype(np.uint32), events)


def _ends(births: Spans, deaths: Spans, whole: Flags) -> U32:
    """Return where runs end that are freed without their size: where the latest one born there ended."""
    order = np.argsort(at_place(births.start, births.event))
    keys = at_place(births.start, births.event)[order]
    wanted = at_place(deaths.start[whole], deaths.event[whole])
    index = np.searchsorted(keys, wanted) - 1
    start, stop = births.start[order], births.stop[order]
    alone = deaths.start[whole] + 1
    if not len(start):
        return alone
    return np.where((index >= 0) & (start[index] == deaths.start[whole]), stop[index], alone)


def _kinds(columns: Columns, operations: AreaOperations, events: int) -> U8:
    """Return by event what it does to a block."""
    kinds = np.zeros(events, np.uint8)
    kinds[columns.left[operations.births.rows]] = BIRTH
    kinds[columns.entered[operations.deaths.rows]] = DEATH
    kinds[columns.left[operations.shares.rows]] = SHARE
    return kinds


def _forgotten(columns: Columns, calls: U32, operations: AreaOperations, born: U32) -> U32:
    """Return when blocks are next forgotten by a reset, by event of their birth."""
    resets = operations.resets
    if not len(resets.rows):
        return np.full(len(born), NEVER, np.uint32)
    events, every = columns.entered[resets.rows], resets.pool == ALL_POOLS
    end = _next(np.sort(events[every]).astype(np.uint64), born)
    if not every.all():
        pools = np.full(len(calls), ALL_POOLS)  # by call
        pools[operations.births.rows] = operations.births.pool
        pool = pools[calls[born].astype(np.int64) - 1]
        keys = np.sort(at_place(resets.pool[~every].astype(np.uint32), events[~every]))
        known = pool != ALL_POOLS
        found = _next(keys, at_place(pool[known].astype(np.uint32), born[known]))
        end[known] = np.minimum(end[known], found)
    return end


def _next(keys: U64, after: U32 | U64) -> U32:
    """Return the event of the first of sorted *keys* after each of *after*, of the same pool; or `NEVER`."""
    padded = np.append(keys, np.uint64((1 << 64) - 1))
    found = padded[np.searchsorted(keys, after, side="right")]
    same = found >> np.uint64(32) == after.astype(np.uint64) >> np.uint64(32)
    return np.where(same, found, NEVER).astype(np.uint32)


def _numbers(rows: I64) -> U32:
    """Return the numbers of calls in order."""
    return np.sort(rows.astype(np.uint32) + 1)
