"""What the calls did to the blocks of one area, as the profile explains them, and at which events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.profile.functions import Role
from emulator.trace.blocks.blocks import NEVER
from emulator.trace.blocks.function_calls import ALL_POOLS, by_function, may_be_empty
from emulator.trace.blocks.pairing import BIRTH, DEATH, DEFERRED, SHARE, keys_of
from emulator.trace.queries.distinct import are_among, sorted_set
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from emulator.trace.blocks.function_calls import FunctionCalls
    from emulator.trace.table import I64, U8, U32, U64, CallTable, Flags

_SPACE: Final = 1 << 32  # bytes of an address space
_MANY: Final = 64  # a share of the calls
_LEVELS: Final = 32  # of calls around others that are followed one by one
_MAKES, _CHANGES, _SEEDS = 1, 2, 4
_BITS: Final = {
    Role.ALLOC: _MAKES | _CHANGES,
    Role.REALLOC: _MAKES | _CHANGES,
    Role.SHARE: _CHANGES,
    Role.FREE: _CHANGES,
    Role.RESET: _CHANGES,
    Role.SEED: _SEEDS,
    Role.DEFER: _CHANGES,
    Role.OTHER: 0,
}


class Operations(NamedTuple):
    """Operations of one kind.

    Attributes:
        rows: Of the calls.
        event: At which they took effect: a block is made, or shared, when the call returns, and freed, or forgotten, when the
            call is entered.
        address: Of the block.
        size: Bytes; 0 where the call does not say: of a block that is given back, the whole block.
        pool: Of the block; `ALL_POOLS` where the call does not say.
        nested: It was done inside another operation on this area.
    """

    rows: I64
    event: U32
    address: U32
    size: U32
    pool: I64
    nested: Flags

    def where(self, chosen: Flags) -> Operations:
        """Return the operations for which *chosen* is true."""
        if chosen.all():
            return self
        rows, event, address, size, pool, nested = self
        return Operations(
            rows[chosen], event[chosen], address[chosen], size[chosen], pool[chosen], nested[chosen]
        )


class AreaOperations(NamedTuple):
    """All operations on the blocks of one area.

    Attributes:
        births: Blocks that were made, each by the outermost call that returned it, or a part of it.
        deaths: Blocks that were given back, each by the outermost call that was given it.
        deferred: Blocks that were given back, and are freed later.
        shares: Blocks that were given one more owner.
        resets: All blocks, or those of a pool, were forgotten.
        failed: Calls that should have made a block and did not.
    """

    births: Operations
    deaths: Operations
    deferred: Operations
    shares: Operations
    resets: Operations
    failed: Operations

    def kinds(self, last_event: int) -> U8:
        """Return `BIRTH`, `DEATH`, `DEFERRED`, `SHARE` or 0 by event."""
        kinds = np.zeros(last_event + 1, np.uint8)
        kinds[self.births.event] = BIRTH
        kinds[self.deaths.event] = DEATH
        kinds[self.deferred.event] = DEFERRED
        kinds[self.shares.event] = SHARE
        return kinds

    def forgotten(self, born: U32) -> U32:
        """Return when blocks are next forgotten by a reset, by the events of their birth; `NEVER` if they are not."""
        resets = self.resets
        if not len(resets.event):
            return np.full(len(born), NEVER, np.uint32)
        every = resets.pool == ALL_POOLS
        end = _next_of_all(np.sort(resets.event[every]), born)
        if not every.all():
            pool = self._pools(born)
            known = pool != ALL_POOLS
            keys = np.sort(keys_of(resets.pool[~every].astype(np.uint32), resets.event[~every]))
            of_pool = _next(keys, keys_of(pool[known].astype(np.uint32), born[known]))
            end[known] = np.minimum(end[known], of_pool)
        return end

    def _pools(self, born: U32) -> I64:
        """Return the pools of blocks by the events of their birth."""
        pools = np.full(int(self.births.event.max(initial=0)) + 1, ALL_POOLS)
        pools[self.births.event] = self.births.pool
        return pools[born]


def area_operations(calls: CallTable, area: str) -> AreaOperations:
    """Find all operations on one area; those of one function are in order."""
    inherited, pages = _inherited(calls, area), calls.profile.pages(area)
    found: dict[str, list[Operations]] = {name: [] for name in AreaOperations._fields}
    for each in by_function(calls, area):
        if each.function.role not in (Role.OTHER, Role.SEED):
            for name, operations in _explained(each, inherited[each.rows], pages=pages).items():
                found[name].append(operations)
    joined = AreaOperations(*(_joined(parts) for parts in found.values()))
    single = _without_repeats(joined, calls, pages=pages)
    return single if pages else _without_empty(single, calls)


def _without_repeats(operations: AreaOperations, calls: CallTable, *, pages: bool) -> AreaOperations:
    """Leave out what an inner call did for the call around it: to the same block, or a part of it.

    A wrapper returns the block of the call inside it, an aligned variant returns a part, and a block that makes the heap grow holds the one
    that was asked for. What lies elsewhere, such as an allocator's own record of a block, is another block.
    """
    births, deaths, shares = operations.births, operations.deaths, operations.shares
    if not (births.nested.any() or deaths.nested.any() or shares.nested.any()):
        return operations
    parent = calls.parent
    made = spans_of(births, pages=pages, unknown=_SPACE)
    freed, shared = (spans_of(each, pages=pages, unknown=1) for each in (deaths, shares))
    again = _repeated(shared, made, parent) | _repeated(shared, shared, parent)
    return operations._replace(
        births=births.where(~_repeated(made, made, parent)),
        deaths=deaths.where(~_repeated(freed, freed, parent)),
        shares=shares.where(~again),
    )


class Spans(NamedTuple):
    """The memory ``[start, end)`` that operations of some calls are about."""

    call: I64
    start: U64
    end: U64


def spans_of(operations: Operations, *, pages: bool, unknown: int) -> Spans:
    """Return the memory of operations: whole pages in an area of pages; where its size is not known, so many bytes."""
    start, size = operations.address.astype(np.uint64), operations.size.astype(np.uint64)
    if pages:
        start &= ~np.uint64(PAGE_SIZE - 1)
        unknown = PAGE_SIZE
    end = start + np.where(size == 0, np.uint64(unknown), size)
    return Spans(operations.rows + 1, start, end)


def _repeated(inner: Spans, outer: Spans, parent: U32) -> Flags:
    """Return which inner spans overlap one of the outer spans whose calls they were made in."""
    start, end = np.zeros((2, len(parent) + 1), np.uint64)  # by call number
    start[outer.call], end[outer.call] = outer.start, outer.end
    found = np.zeros(len(inner.call), np.bool_)
    active, around = np.arange(len(found)), parent[inner.call - 1]
    while len(active):
        active, around = active[around != 0], around[around != 0]
        same = (inner.start[active] < end[around]) & (start[around] < inner.end[active])
        found[active[same]] = True
        active, around = active[~same], parent[around[~same] - 1]
    return found


def _without_empty(operations: AreaOperations, calls: CallTable) -> AreaOperations:
    """Leave out the address that stands for all blocks of no bytes, where an allocator has one: it is no memory.

    It lies in the page of the null pointer, or was answered again before it was given back.
    """
    births, deaths = operations.births, operations.deaths
    if births.size.all():
        return operations
    asking = [code for code, each in enumerate(calls.functions) if may_be_empty(each)]
    empty = births.where((births.size == 0) & np.isin(calls.function[births.rows], asking))
    keys = np.concatenate((keys_of(empty.address, empty.event), keys_of(deaths.address, deaths.event)))
    order = np.argsort(keys)
    address, is_birth = (keys[order] >> np.uint64(32)).astype(np.uint32), order < len(empty.event)
    again = (address[1:] == address[:-1]) & is_birth[1:] & is_birth[:-1]
    shared = sorted_set(np.concatenate((address[1:][again], empty.address[empty.address < PAGE_SIZE])))
    shared = shared[~are_among(shared, births.address[births.size != 0])]
    kept = [each.where(~are_among(each.address, shared)) for each in (births, deaths, operations.deferred)]
    return operations._replace(births=kept[0], deaths=kept[1], deferred=kept[2])


def _explained(calls: FunctionCalls, around: U8, *, pages: bool) -> dict[str, Operations]:
    """Return what all calls of one function did, explained by its role, by the fields of `AreaOperations`.

    Args:
        calls: The calls.
        around: What the calls around each of them do to the area, as bits.
        pages: The area's blocks are runs of pages.
    """
    role = calls.function.role
    if role is Role.ALLOC:
        return _made(calls, around)
    if role is Role.REALLOC:
        return _moved(calls, around)
    done = calls.done
    if role in (Role.FREE, Role.DEFER):
        freed = _operations(calls, around, calls.entered, calls.named())
        given_back = done & _names_block(calls, pages=pages) & ((around & _SEEDS) == 0)
        return {"deaths" if role is Role.FREE else "deferred": freed.where(given_back)}
    if role is Role.SHARE:
        shared = _operations(calls, around, calls.left, calls.named())
        return {"shares": shared.where(done & calls.returned & _names_block(calls, pages=pages))}
    nowhere = np.zeros(len(calls.rows), np.uint32)
    return {"resets": _operations(calls, around, calls.entered, nowhere).where(done)}


def _made(calls: FunctionCalls, around: U8) -> dict[str, Operations]:
    address, good = calls.made()
    operations = _operations(calls, around, calls.left, address)
    counts = calls.returned & calls.counts
    failed = (
        counts & ~good & ((around & _MAKES) == 0)
    )  # what a call makes of a failure inside it is its own matter
    return {"births": operations.where(counts & good), "failed": operations.where(failed)}


def _moved(calls: FunctionCalls, around: U8) -> dict[str, Operations]:
    """Explain realloc: it frees, unless it fails. To ask for no bytes is to free."""
    operations = _made(calls, around)
    _, freed = calls.made()
    if may_be_empty(calls.function):
        freed |= calls.size() == 0
        operations["failed"] = operations["failed"].where(operations["failed"].size != 0)
    freed &= calls.returned & calls.counts & _names_block(calls, pages=False)
    old = _operations(calls, around, calls.entered, calls.named())
    return operations | {"deaths": old._replace(size=np.zeros_like(old.size)).where(freed)}


def _operations(calls: FunctionCalls, around: U8, event: U32, address: U32) -> Operations:
    """Return an operation for each call."""
    nested: Flags = (around & _CHANGES) != 0
    return Operations(calls.rows, event, address, calls.size(), calls.pool(), nested)


def _names_block(calls: FunctionCalls, *, pages: bool) -> Flags:
    """Return which calls name a block: not a null pointer, nor, in an area of pages, a run of no pages."""
    named = np.ones(len(calls.rows), np.bool_)
    if "ptr" in calls.function.parameters:
        named &= calls.word("ptr") != 0
    if pages and may_be_empty(calls.function):
        named &= calls.size() != 0
    return named


def _inherited(calls: CallTable, area: str) -> U8:
    """Return for each call of an area what the calls around it do to the area, as bits."""
    result = np.zeros(len(calls), np.uint8)
    codes = [code for code, function in enumerate(calls.functions) if function.area == area]
    rows = np.concatenate([np.empty(0, np.int64), *map(calls.rows_of, codes)])
    around = calls.take("parent", rows).astype(np.int64)
    rows, around = rows[around != 0], around[around != 0]
    if len(rows) > len(calls) // _MANY:
        return _inherited_by_all(calls, area)
    for _ in range(_LEVELS):
        if not len(rows):
            return result
        result[rows] |= _own_bits(calls, area, around - 1)
        outer = calls.take("parent", around - 1).astype(np.int64)
        rows, around = rows[outer != 0], outer[outer != 0]
    return _inherited_by_all(calls, area)


def _inherited_by_all(calls: CallTable, area: str) -> U8:
    """Return the same for all calls, at once."""
    count = len(calls)
    result = np.zeros(count + 1, np.uint8)  # by call number; 0 is outside all calls
    active = np.flatnonzero(calls.parent) + 1
    around = np.zeros(count + 1, np.uint32)
    around[1:] = calls.parent
    result[active] = _own_bits(calls, area, around[active].astype(np.int64) - 1)
    while len(active):  # each round searches twice as far out
        outer = around[active]
        result[active] |= result[outer]
        around[active] = around[outer]
        active = active[around[active] != 0]
    return result[1:]


def _own_bits(calls: CallTable, area: str, rows: I64) -> U8:
    """Return what calls do to the area, as bits."""
    bits = np.zeros(128, np.uint8)  # by function code
    for code, function in enumerate(calls.functions):
        bits[code] = _BITS[function.role] if function.area == area else 0
    own: U8 = bits[calls.take("function", rows)]
    for each in by_function(calls, area):
        if "when" in each.function.parameters:
            own[are_among(rows, each.rows[~each.counts])] = 0
    return own


def _joined(parts: list[Operations]) -> Operations:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        rows, words = np.empty(0, np.int64), np.empty(0, np.uint32)
        return Operations(rows, words, words, words, rows, np.empty(0, np.bool_))
    return Operations(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _next_of_all(events: U32, after: U32) -> U32:
    """Return the first of sorted *events* after each of *after*, or `NEVER`."""
    if (after[1:] < after[:-1]).any():
        return _next(events.astype(np.uint64), after)
    reached = np.searchsorted(after, events)  # how many come before each event: mostly these are few
    return np.repeat(np.append(events, np.uint32(NEVER)), np.diff([0, *reached.tolist(), len(after)]))


def _next(keys: U64, after: U32 | U64) -> U32:
    """Return the event of the first of sorted *keys* after each of *after*, with the same upper half; or `NEVER`."""
    padded = np.append(keys, np.uint64((1 << 64) - 1))
    found = padded[np.searchsorted(padded, after.astype(np.uint64), side="right")]
    same = found >> np.uint64(32) == after.astype(np.uint64) >> np.uint64(32)
    return np.where(same, found, NEVER).astype(np.uint32)
