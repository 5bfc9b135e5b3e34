"""The life of every block of one area."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emulator.machine.core.lives import pair
from emulator.trace.blocks.blocks import NEVER, Blocks
from emulator.trace.blocks.operations import area_operations
from emulator.trace.blocks.page_runs import page_runs
from emulator.trace.blocks.pairing import BIRTH
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from emulator.trace.blocks.operations import AreaOperations
    from emulator.trace.table import I64, U8, U32, CallTable, Flags

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
    operations = area_operations(calls, area)
    kinds = operations.kinds(calls.last_event)
    parts, taken = (_runs if calls.profile.pages(area) else _blocks)(operations, kinds)
    address, size, born, died = parts
    born_call, died_call = calls.by_event[born], calls.by_event[np.where(died == NEVER, 0, died)]
    freed = calls.entered[np.maximum(died_call, 1) - 1] == died  # else its place was handed out again
    died_call = np.where(freed, died_call, np.uint32(0))
    blocks = Blocks(address, size, born, born_call, died, died_call, calls.stack[born_call - 1])
    given_back = (operations.deaths, operations.deferred)
    stray = [each.rows[~taken[each.event] & ~each.nested] for each in given_back]
    return AreaHistory(blocks, _numbers(operations.failed.rows), _numbers(np.concatenate(stray)))


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
