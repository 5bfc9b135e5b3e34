"""The life of every block of one area."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emulator.machine.lives import pair
from emulator.trace.blocks.blocks import NEVER, Blocks
from emulator.trace.blocks.operations import AreaEvents
from emulator.trace.blocks.page_runs import page_runs
from emulator.trace.blocks.pairing import BIRTH
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from emulator.trace.table import I64, U32, CallTable, Flags

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


def area_history(calls: CallTable, area: str) -> AreaHistory:
    """Work out the history of an area of the profile."""
    events = AreaEvents(calls, area)
    parts, taken = _runs(events) if calls.profile.pages(area) else _blocks(events)
    address, size, born, died = parts
    born_call, died_call = calls.by_event[born], calls.by_event[np.where(died == NEVER, 0, died)]
    freed = calls.entered[np.maximum(died_call, 1) - 1] == died  # else its place was handed out again
    died_call = np.where(freed, died_call, np.uint32(0))
    blocks = Blocks(address, size, born, born_call, died, died_call, calls.stack[born_call - 1])
    stray = ~taken[events.deaths] & ~events.operations.deaths.nested
    return AreaHistory(
        blocks, _numbers(events.operations.failed.rows), _numbers(events.operations.deaths.rows[stray])
    )


def _blocks(events: AreaEvents) -> tuple[tuple[U32, U32, U32, U32], Flags]:
    """Work out an area in which each block has an address of its own.

    Returns:
        Address, size, birth and death of all blocks, by birth; and by event whether it freed one.
    """
    births, deaths, shares, *_ = events.operations
    by_event = np.zeros(len(events.kinds), np.uint32)
    for operations, at in ((births, events.births), (deaths, events.deaths), (shares, events.shares)):
        by_event[at] = operations.address
    born = np.flatnonzero(events.kinds == BIRTH).astype(np.uint32)
    died, taken = events.forgotten(born), np.zeros(len(events.kinds), np.bool_)
    pair(events.kinds.data, by_event.data, died.data, taken.data)
    addresses = by_event[born]
    by_event[events.births] = births.size
    return (addresses, by_event[born], born, died), taken


def _runs(events: AreaEvents) -> tuple[tuple[U32, U32, U32, U32], Flags]:
    """Do the same for an area of pages."""
    runs, taken = page_runs(events)
    sizes = np.minimum((runs.stop - runs.start).astype(np.uint64) * PAGE_SIZE, _LARGEST).astype(np.uint32)
    return (runs.start * np.uint32(PAGE_SIZE), sizes, runs.born, runs.died), taken


def _numbers(rows: I64) -> U32:
    """Return the numbers of calls in order."""
    return np.sort(rows.astype(np.uint32) + np.uint32(1))
