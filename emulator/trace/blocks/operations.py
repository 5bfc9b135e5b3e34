"""What the calls did to the blocks of one area, as the profile explains them, and at which events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.profile.model import Role
from emulator.trace.blocks.blocks import NEVER
from emulator.trace.blocks.function_calls import ALL_POOLS, by_function
from emulator.trace.blocks.pairing import BIRTH, DEATH, SHARE, at_place

if TYPE_CHECKING:
    from emulator.trace.blocks.function_calls import FunctionCalls
    from emulator.trace.table import I64, U8, U32, U64, CallTable, Flags

_MAKES, _SHARES, _CHANGES = 1, 2, 4
_BITS: Final = {
    Role.ALLOC: _MAKES | _CHANGES,
    Role.REALLOC: _MAKES | _CHANGES,
    Role.SHARE: _SHARES | _CHANGES,
    Role.FREE: _CHANGES,
    Role.RESET: _CHANGES,
    Role.OTHER: 0,
}


class Operations(NamedTuple):
    """Operations of one kind.

    Attributes:
        rows: Of the calls.
        address: Of the block.
        size: Bytes; 0 where the call does not say: of a block that is given back, the whole block.
        pool: Of the block; `ALL_POOLS` where the call does not say.
        nested: It is a part of another operation on this area.
    """

    rows: I64
    address: U32
    size: U32
    pool: I64
    nested: Flags

    def where(self, chosen: Flags) -> Operations:
        """Return the operations for which *chosen* is true."""
        if chosen.all():
            return self
        rows, address, size, pool, nested = self
        return Operations(rows[chosen], address[chosen], size[chosen], pool[chosen], nested[chosen])


class AreaOperations(NamedTuple):
    """All operations on the blocks of one area.

    Attributes:
        births: Blocks that were made, by the outermost call that made them.
        deaths: Blocks that were given back.
        shares: Blocks that were given one more owner.
        resets: All blocks, or those of a pool, were forgotten.
        failed: Calls that should have made a block and did not.
    """

    births: Operations
    deaths: Operations
    shares: Operations
    resets: Operations
    failed: Operations


def area_operations(calls: CallTable, area: str) -> AreaOperations:
    """Find all operations on one area; those of one function are in order."""
    inherited = _inherited(calls, area)
    found: dict[str, list[Operations]] = {name: [] for name in AreaOperations._fields}
    for each in by_function(calls, area):
        if each.function.role is not Role.OTHER:
            explained = _Explained(each, inherited[each.rows], pages=calls.profile.pages(area))
            for name, operations in explained.operations().items():
                found[name].append(operations)
    return AreaOperations(*(_joined(parts) for parts in found.values()))


class _Explained:
    """All calls of one function, explained by its role.

    Args:
        calls: The calls.
        around: What the calls around each of them do to the area, as bits.
        pages: The area's blocks are runs of pages.
    """

    def __init__(self, calls: FunctionCalls, around: U8, *, pages: bool) -> None:
        self._calls = calls
        self._around = around
        self._pages = pages

    def operations(self) -> dict[str, Operations]:
        """Return what they did, by the fields of `AreaOperations`."""
        calls, role = self._calls, self._calls.function.role
        if role is Role.ALLOC:
            return self._made()
        if role is Role.REALLOC:
            return self._moved()
        if role is Role.FREE:
            return {"deaths": self._all(calls.named()).where(~calls.refused & self._means_something())}
        if role is Role.SHARE:
            outermost = (self._around & (_MAKES | _SHARES)) == 0
            chosen = ~calls.refused & calls.returned & outermost
            return {"shares": self._all(calls.named()).where(chosen & self._means_something())}
        return {"resets": self._all(np.zeros(len(calls.rows), np.uint32)).where(~calls.refused)}

    def _made(self) -> dict[str, Operations]:
        address, good = self._calls.made()
        operations = self._all(address)
        counts = self._calls.returned & ((self._around & _MAKES) == 0)
        return {"births": operations.where(counts & good), "failed": operations.where(counts & ~good)}

    def _moved(self) -> dict[str, Operations]:
        """Explain realloc: it frees, unless it fails. To ask for no bytes is to free."""
        operations = self._made()
        _, freed = self._calls.made()
        if self._calls.may_be_empty():
            freed |= self._calls.size() == 0
            operations["failed"] = operations["failed"].where(operations["failed"].size != 0)
        freed &= self._calls.returned & self._means_something()
        old = self._all(self._calls.named())
        return operations | {"deaths": old._replace(size=np.zeros_like(old.size)).where(freed)}

    def _all(self, address: U32) -> Operations:
        calls = self._calls
        return Operations(calls.rows, address, calls.size(), calls.pool(), (self._around & _CHANGES) != 0)

    def _means_something(self) -> Flags:
        """Tell which calls name a block: not a null pointer, nor a run of no pages."""
        calls = self._calls
        named = np.ones(len(calls.rows), np.bool_)
        if "ptr" in calls.function.parameters:
            named &= calls.word("ptr") != 0
        if self._pages and calls.function.role is not Role.REALLOC and calls.may_be_empty():
            named &= calls.size() != 0
        return named


def _inherited(calls: CallTable, area: str) -> U8:
    """Return for each call what the calls around it do to the area, as bits."""
    bits = np.zeros(128, np.uint8)  # by function code
    for code, function in enumerate(calls.functions):
        bits[code] = _BITS[function.role] if function.area == area else 0
    count = len(calls)
    result = np.zeros(count + 1, np.uint8)  # by call number; 0 is outside all calls
    active = np.flatnonzero(calls.parent) + 1
    if not len(active):
        return result[1:]
    around = np.zeros(count + 1, np.uint32)
    around[1:] = calls.parent
    result[active] = bits[calls.function[around[active] - 1]]
    while len(active):  # each round looks twice as far out
        outer = around[active]
        result[active] |= result[outer]
        around[active] = around[outer]
        active = active[around[active] != 0]
    return result[1:]


def _joined(parts: list[Operations]) -> Operations:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        none = np.empty(0, np.int64)
        return Operations(none, none.astype(np.uint32), none.astype(np.uint32), none, none.astype(np.bool_))
    return Operations(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


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
