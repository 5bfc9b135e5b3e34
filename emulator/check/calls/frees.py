"""Frees of what was not live: freed before, never allocated, or the inside of a block.

Theory. The trace knows which frees met no live block ("stray"). An allocator of pages takes the page in which an address lies, so a free
of an address inside one is found by the address. What was at the address before decides which mistake it was.
Where copies of an allocator inside of other functions were executed, its blocks are not known: from then on a free counts only if it is of the
inside of a live block. A free that the kernel answered with an error is none of them: the kernel has reported it to the caller, and did nothing.
Nor are those by which it gives the allocator its memory, in a loop that frees one piece after the other (`_given`), or in a function that is
said to do that, of which the compiler has put a copy into its caller (`_is_in_seed`).

Shortcomings. A free of a block that has been allocated again by somebody else looks like a correct one; the second free of
the same block is found. Memory from functions that the profile does not name was "never allocated".
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from emulator.check.area import MAKING, MOST_ALIKE
from emulator.check.findings import Finding, Kind, sized_address
from emulator.profile.functions import Role
from emulator.trace.blocks.function_calls import NOWHERE
from emulator.trace.queries.distinct import sorted_set
from emulator.x86 import PAGE_SIZE, WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.check.area import Area
    from emulator.check.findings import CallSite
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.table import I64, U32, Flags


def wrong_frees(area: Area) -> Iterator[Finding]:
    """Yield a finding for each stray free, in order of events."""
    stray = area.trace.stray_frees(area.name)
    wrong = sorted_set(np.concatenate((stray[~_given(area, stray)], _inside_pages(area))))
    unseen = area.unseen_from(*MAKING)
    for call, details in area.first_of_each(wrong).items():
        call_site, address = area.call_sites.entry(call), _address(area, call)
        if not area.was_reserved(address, call_site.event):
            finding = _judge(area, call_site, address)
            is_of_live = finding.block is not None and finding.block.freed is None
            if is_of_live or (call_site.event < unseen and not _is_in_seed(area, call_site)):
                yield replace(finding, details=details)


def _is_in_seed(area: Area, call_site: CallSite) -> bool:
    """Return whether a copy of a function that gives memory to the allocator, inside of another function, makes a call."""
    those = [
        each for _, each in area.functions(Role.SEED, Role.OTHER) if Role.SEED in (each.role, each.copies)
    ]
    seeds = {_name(each.original) for each in those}
    return any(frame.inlined and _name(frame.function) in seeds for frame in call_site.backtrace)


def _name(function: str) -> str:
    """Return a function's name without its source file and without scopes."""
    return function.rpartition(":")[2]


def _inside_pages(area: Area) -> U32:
    """Return the calls that are given an address inside a page, where the allocator promises whole pages."""
    if not area.pages or area.flat is not None:  # whose blocks all begin at pages
        return np.empty(0, np.uint32)
    deaths = area.operations.deaths
    odd = deaths.address & np.uint32(min(area.rules.alignment, PAGE_SIZE) - 1) != 0
    wrong = odd & ~deaths.nested & (deaths.address != NOWHERE)
    return np.asarray(deaths.rows[wrong] + 1, np.uint32)


def _given(area: Area, stray: U32) -> Flags:
    """Return which stray frees give memory to the allocator.

    They are at least `MOST_ALIKE` from one call site, of addresses at even distances, where never was a block.
    """
    given = np.zeros(len(stray), np.bool_)
    if len(stray) < MOST_ALIKE:
        return given
    rows, columns = stray.astype(np.int64) - 1, area.trace.calls
    call_sites = columns.function[rows].astype(np.int64) << 8 * WORD_SIZE | columns.stack[rows]
    for call_site, count in zip(*np.unique(call_sites, return_counts=True), strict=True):
        if count >= MOST_ALIKE:
            calls = np.flatnonzero(call_sites == call_site)
            addresses = np.array([_address(area, call) for call in stray[calls].tolist()], np.int64)
            for run in _even_runs(addresses):
                event = int(columns.entered[rows[calls[run]][-1]])
                if not _ever_held_blocks(area.blocks, addresses[run], event):
                    given[calls[run]] = True
    return given


def _even_runs(addresses: I64) -> Iterator[slice]:
    """Yield the runs of at least `MOST_ALIKE` different addresses at even distances."""
    steps = np.diff(addresses)
    ends = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
    for first, last in pairwise(ends):
        if last - first + 1 >= MOST_ALIKE and steps[first]:
            yield slice(first, last + 1)


def _ever_held_blocks(blocks: Blocks, addresses: I64, event: int) -> bool:
    """Return whether a block lay between some addresses before an event."""
    end = blocks.address.astype(np.int64) + np.maximum(blocks.size, 1)
    between = (blocks.address <= addresses.max()) & (end > addresses.min())
    return bool((between & (blocks.born < event)).any())


def _address(area: Area, call: int) -> int:
    parameters, word = area.function(call).parameters, area.argument
    return word(call, "ptr") if "ptr" in parameters else word(call, "frame") * PAGE_SIZE & WORD_MAX


def _judge(area: Area, call_site: CallSite, address: int) -> Finding:
    blocks, event = area.blocks, call_site.event
    begun = (blocks.born < event) & (blocks.address <= address)
    covering = begun & (address - blocks.address.astype(np.int64) < np.maximum(blocks.size, 1))
    live = np.flatnonzero(covering & ((blocks.died > event) | (blocks.died_call == call_site.call)))
    if len(live):
        return _inside(area, call_site, address, int(live[-1]))
    before = np.flatnonzero(covering if area.pages else covering & (blocks.address == address))
    if len(before):
        return _again(area, call_site, address, _last_to_die(blocks, before))
    gone = np.flatnonzero(covering)
    if len(gone):
        return _inside(area, call_site, address, _last_to_die(blocks, gone))
    message = f"invalid free of 0x{address:08x}, which was never allocated"
    return Finding(Kind.INVALID_FREE, area.name, message, call_site)


def _last_to_die(blocks: Blocks, rows: I64) -> int:
    return int(rows[np.argmax(blocks.died[rows])])


def _inside(area: Area, call_site: CallSite, address: int, index: int) -> Finding:
    history = area.call_sites.history(area.blocks, index, call_site.event - 1)
    state = "" if history.freed is None else "the freed "
    offset = address - history.address
    message = f"invalid free of 0x{address:08x}, {offset} bytes inside {state}{history.name}"
    return Finding(Kind.INVALID_FREE, area.name, message, call_site, history)


def _again(area: Area, call_site: CallSite, address: int, index: int) -> Finding:
    history = area.call_sites.history(area.blocks, index)
    if history.freed is not None and area.function(history.freed.call).role is Role.RESET:
        block = sized_address(history.address, history.size)
        message = f"invalid free of {block}, which {history.freed.function} has forgotten"
        return Finding(Kind.INVALID_FREE, area.name, message, call_site, history)
    block = sized_address(address if area.pages else history.address, history.size)
    return Finding(Kind.DOUBLE_FREE, area.name, f"double free of {block}", call_site, history)
