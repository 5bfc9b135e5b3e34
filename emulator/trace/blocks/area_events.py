"""What happened to the blocks of one area, by event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emulator.trace.blocks.blocks import NEVER
from emulator.trace.blocks.function_calls import ALL_POOLS
from emulator.trace.blocks.operations import area_operations
from emulator.trace.blocks.pairing import BIRTH, DEATH, SHARE, at_place

if TYPE_CHECKING:
    from emulator.trace.table import I64, U32, U64, CallTable


class AreaEvents:
    """The operations on one area with the events at which they took effect.

    A block is made, or shared, when the call returns, and freed, or forgotten, when the call is entered.

    Args:
        calls: All calls.
        area: One of the profile's.

    Attributes:
        operations: What the calls did.
        births: Events of `operations.births`; `deaths` and `shares` in the same way.
        kinds: `BIRTH`, `DEATH` or `SHARE` by event.
    """

    def __init__(self, calls: CallTable, area: str) -> None:
        self.operations = area_operations(calls, area)
        self.births = calls.left[self.operations.births.rows]
        self.deaths = calls.entered[self.operations.deaths.rows]
        self.shares = calls.left[self.operations.shares.rows]
        self.kinds = np.zeros(calls.last_event + 1, np.uint8)
        self.kinds[self.births] = BIRTH
        self.kinds[self.deaths] = DEATH
        self.kinds[self.shares] = SHARE
        self._resets = calls.entered[self.operations.resets.rows]

    def forgotten(self, born: U32) -> U32:
        """Return when blocks are next forgotten by a reset, by the events of their birth; `NEVER` if they are not."""
        if not len(self._resets):
            return np.full(len(born), NEVER, np.uint32)
        pools = self.operations.resets.pool
        every = pools == ALL_POOLS
        end = _next(np.sort(self._resets[every]).astype(np.uint64), born)
        if not every.all():
            pool = self._pools(born)
            known = pool != ALL_POOLS
            keys = np.sort(at_place(pools[~every].astype(np.uint32), self._resets[~every]))
            of_pool = _next(keys, at_place(pool[known].astype(np.uint32), born[known]))
            end[known] = np.minimum(end[known], of_pool)
        return end

    def _pools(self, born: U32) -> I64:
        """Return the pools of blocks by the events of their birth."""
        pools = np.full(len(self.kinds), ALL_POOLS)
        pools[self.births] = self.operations.births.pool
        return pools[born]


def _next(keys: U64, after: U32 | U64) -> U32:
    """Return the event of the first of sorted *keys* after each of *after*, at the same place; or `NEVER`."""
    padded = np.append(keys, np.uint64((1 << 64) - 1))
    found = padded[np.searchsorted(padded, after.astype(np.uint64), side="right")]
    same = found >> np.uint64(32) == after.astype(np.uint64) >> np.uint64(32)
    return np.where(same, found, NEVER).astype(np.uint32)
