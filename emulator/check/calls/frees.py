"""Frees of what was not live: freed before, never allocated, or the inside of a block.

Theory. The trace knows which frees met no live block ("stray"). What was at the address before tells which mistake it was.
A free that the kernel answered with an error is none of them: the kernel has reported it to the caller, and did nothing.

Shortcomings. A free of a block that has been allocated again by somebody else looks like a correct one; the second free of
the same block is found. Memory from functions that the profile does not name was "never allocated".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emulator.check.findings import Finding, Kind, sized_address
from emulator.profile.model import Role
from emulator.x86 import PAGE_SIZE, WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.check.area import Area
    from emulator.check.findings import BlockHistory
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.table import I64


class _Free(NamedTuple):
    """A stray free: the call, the event of its entry, and the address that it was given."""

    call: int
    event: int
    address: int


def wrong_frees(area: Area) -> Iterator[Finding]:
    """Yield a finding for each stray free, in order of events."""
    for call, details in area.first_of_each(area.trace.stray_frees(area.name)).items():
        free = _Free(call, int(area.trace.calls.entered[call - 1]), _address(area, call))
        if not area.was_reserved(free.address, free.event):
            yield replace(_judge(area, free), details=details)


def _address(area: Area, call: int) -> int:
    parameters, word = area.function(call).parameters, area.argument
    return word(call, "ptr") if "ptr" in parameters else word(call, "frame") * PAGE_SIZE & WORD_MAX


def _judge(area: Area, free: _Free) -> Finding:
    blocks = area.blocks
    begun = (blocks.born < free.event) & (blocks.address <= free.address)
    covering = begun & (free.address - blocks.address.astype(np.int64) < np.maximum(blocks.size, 1))
    live = np.flatnonzero(covering & (blocks.died > free.event))
    if len(live):
        return _inside(area, free, int(live[-1]))
    before = np.flatnonzero(covering if area.pages else covering & (blocks.address == free.address))
    if len(before):
        return _again(area, free, _last_to_die(blocks, before))
    gone = np.flatnonzero(covering)
    if len(gone):
        return _inside(area, free, _last_to_die(blocks, gone))
    message = f"invalid free of 0x{free.address:08x}, which was never allocated"
    return Finding(Kind.INVALID_FREE, area.name, message, area.call_sites.entry(free.call))


def _last_to_die(blocks: Blocks, rows: I64) -> int:
    return int(rows[np.argmax(blocks.died[rows])])


def _inside(area: Area, free: _Free, index: int) -> Finding:
    history = area.call_sites.history(area.blocks, index)
    state = "" if history.freed is None or history.freed.event > free.event else "the freed "
    offset = free.address - history.address
    message = f"invalid free of 0x{free.address:08x}, {offset} bytes inside {state}{history.name}"
    call_site = area.call_sites.entry(free.call)
    return Finding(Kind.INVALID_FREE, area.name, message, call_site, _until(history, free.event))


def _again(area: Area, free: _Free, index: int) -> Finding:
    history = area.call_sites.history(area.blocks, index)
    call_site = area.call_sites.entry(free.call)
    if history.freed is not None and area.function(history.freed.call).role is Role.RESET:
        block = sized_address(history.address, history.size)
        message = f"invalid free of {block}, which {history.freed.function} has forgotten"
        return Finding(Kind.INVALID_FREE, area.name, message, call_site, history)
    block = sized_address(free.address if area.pages else history.address, history.size)
    return Finding(Kind.DOUBLE_FREE, area.name, f"double free of {block}", call_site, history)


def _until(history: BlockHistory, event: int) -> BlockHistory:
    """Return the history of a block up to an event."""
    return history if history.freed is None or history.freed.event <= event else replace(history, freed=None)
