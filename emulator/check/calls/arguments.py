"""Frees that do not fit the block: another size than it was allocated with, another pool than it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emulator.check.findings import Finding, Kind
from emulator.profile.functions import Role
from emulator.trace.blocks.function_calls import FunctionCalls
from emulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.check.area import Area
    from emulator.trace.table import I64, U32, Flags


def wrong_sizes(area: Area) -> Iterator[Finding]:
    """Yield the frees with a wrong size. In an area of pages any part of a block may be freed."""
    if area.pages or (area.flat is not None and area.flat.sizes_fit):
        return
    for frees, blocks in _frees(area):
        given = frees.asked_size()
        if given is None:
            continue
        sizes = area.blocks.size[blocks]
        for call, index, details in _selected(area, frees, blocks, (given != sizes) & (sizes != 0)):
            history = area.call_sites.history(area.blocks, index)
            wrong = counted(int(given[blocks == index][0]), "byte")
            message = (
                f"free of 0x{history.address:08x} as {wrong}, but it has {counted(history.size, 'byte')}"
            )
            call_site = area.call_sites.entry(call)
            yield Finding(Kind.WRONG_SIZE, area.name, message, call_site, history, details=details)


def wrong_pools(area: Area) -> Iterator[Finding]:
    """Yield the frees that name another pool than the allocation did."""
    if area.flat is not None and area.flat.pools_fit:
        return
    home = _pools_at_birth(area)
    if home is None:
        return
    for frees, blocks in _frees(area):
        if "pool" not in frees.function.parameters:
            continue
        known = home[blocks]
        for call, index, details in _selected(
            area, frees, blocks, (known >= 0) & (frees.word("pool") != known)
        ):
            history = area.call_sites.history(area.blocks, index)
            pool = area.argument(call, "pool")
            message = f"release of 0x{history.address:08x} to pool {pool}, but it is from pool {home[index]}"
            call_site = area.call_sites.entry(call)
            yield Finding(Kind.WRONG_POOL, area.name, message, call_site, history, details=details)


def _frees(area: Area) -> Iterator[tuple[FunctionCalls, I64]]:
    """Yield, for each function that says more of a block than where it is, its calls and the positions of the blocks that it freed."""
    calls, blocks = area.trace.calls, area.blocks
    died_call: U32 | None = None
    for code, function in area.functions(Role.FREE):
        says_more = {"size", "pages", "order", "pool"} & set(function.parameters)
        if not says_more or not calls.counts[code]:
            continue
        if died_call is None:  # most areas have no such function
            freed = np.flatnonzero(blocks.died_call)
            died_call = blocks.died_call[freed]
        rows = died_call.astype(np.int64) - 1
        mine = calls.take("function", rows) == code
        yield FunctionCalls(calls, function, rows[mine]), freed[mine]


def _pools_at_birth(area: Area) -> I64 | None:
    """Return the pool of each block, -1 where it is not known; None for an area without pools."""
    pools = None
    for blocks, pool in area.allocations("pool"):
        if pools is None:
            pools = np.full(len(area.blocks.born), -1, np.int64)
        pools[blocks] = pool
    return pools


def _selected(
    area: Area, frees: FunctionCalls, blocks: I64, wrong: Flags
) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield call, block and details of the wrong frees that are worth listing."""
    block_of = dict(zip((frees.rows[wrong] + 1).tolist(), blocks[wrong].tolist(), strict=True))
    calls = np.array(sorted(block_of), np.uint32)
    for call, details in area.first_of_each(calls).items():
        yield call, block_of[call], details
