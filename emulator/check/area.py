"""One area of a trace, with what all checks of its blocks need."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.check.call_sites import CallSites
from emulator.profile.functions import Role
from emulator.trace.blocks.blocks import NEVER
from emulator.trace.blocks.function_calls import FunctionCalls
from emulator.trace.blocks.operations import area_operations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.check.findings import BlockHistory
    from emulator.profile.functions import TracedFunction
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.blocks.history import FlatFacts
    from emulator.trace.blocks.operations import AreaOperations
    from emulator.trace.blocks.places import Places
    from emulator.trace.table import I64, U32
    from emulator.trace.trace import Trace

MAKING: Final = (Role.ALLOC, Role.REALLOC)
ENDING: Final = (Role.FREE, Role.REALLOC, Role.DEFER, Role.RESET)
MOST_ALIKE: Final = 16
"""Findings of one function with one backtrace that are listed; further ones are of no use to anybody."""

_PAGE: Final = np.uint32(0xFFFF_F000)
_RANGE: Final = ("start", "end")


class Frees(NamedTuple):
    """What was given back of an area, one column for each fact.

    Attributes:
        address: Of the block, or the part of it.
        size: Bytes; 0 where the call does not say.
        event: At which the call was entered.
    """

    address: U32
    size: U32
    event: U32


class Area:
    """One area of a trace.

    Args:
        trace: The trace.
        name: The name of the area.

    Attributes:
        trace: As given.
        name: As given.
        rules: What holds for its blocks.
        call_sites: Looks up the calls and blocks that findings name.
    """

    def __init__(self, trace: Trace, name: str) -> None:
        self.trace = trace
        self.name = name
        self.rules = trace.profile.area(name)
        self.call_sites = CallSites(trace)

    @property
    def pages(self) -> bool:
        """Whether its blocks are runs of pages."""
        return self.rules.pages

    @property
    def blocks(self) -> Blocks:
        """All blocks that were ever allocated in it; where these are many, they are worked out when they are first asked for."""
        return self.trace.blocks(self.name)

    @property
    def live(self) -> Blocks:
        """Its blocks that are live at the end."""
        return self.trace.live(None, self.name)

    @property
    def flat(self) -> FlatFacts | None:
        """What is known besides if it is flat; None: it is not."""
        return self.trace.flat(self.name)

    @property
    def places(self) -> Places:
        """The addresses at which its blocks were ever made."""
        return self.trace.places(self.name)

    @cached_property
    def operations(self) -> AreaOperations:
        """What the calls did to its blocks."""
        return area_operations(self.trace.calls, self.name)

    @property
    def frees(self) -> Frees:
        """What was given back, whether it lived or not."""
        if self.flat is None or not self.pages:
            deaths = self.operations.deaths
            return Frees(deaths.address, deaths.size, deaths.event)
        freed = self.blocks.where(self.blocks.died_call != 0)  # and nothing else was
        return Frees(freed.address, freed.size, freed.died)

    @property
    def resets(self) -> U32:
        """Events at which all its blocks were forgotten, or those of a pool, ascending."""
        columns = self.trace.calls
        each = [
            FunctionCalls(columns, function, columns.rows_of(code))
            for code, function in self.functions(Role.RESET)
        ]
        return np.sort(
            np.concatenate([np.empty(0, np.uint32), *(calls.entered[calls.done] for calls in each)])
        )

    def function(self, call: int) -> TracedFunction:
        """Return the function of a call."""
        return self.trace.functions[int(self.trace.calls.function[call - 1])]

    def argument(self, call: int, parameter: str) -> int:
        """Return an argument of a call."""
        index = self.function(call).parameters.index(parameter)
        return int(self.trace.calls.argument(index)[call - 1])

    def functions(self, *roles: Role) -> Iterator[tuple[int, TracedFunction]]:
        """Yield the functions of the area that have one of some roles, each with its code."""
        for code, function in enumerate(self.trace.functions):
            if function.area == self.name and function.role in roles:
                yield code, function

    def allocations(self, parameter: str) -> Iterator[tuple[I64, U32]]:
        """Yield, for each allocating function with a parameter, the positions of the blocks that it returned, and that argument."""
        for code, function in self.functions(*MAKING):
            if parameter in function.parameters and self.trace.calls.counts[code]:
                rows = self.blocks.born_call.astype(np.int64) - 1
                blocks = np.flatnonzero(self.trace.calls.take("function", rows) == code)
                yield blocks, FunctionCalls(self.trace.calls, function, rows[blocks]).word(parameter)

    def unseen_from(self, *roles: Role) -> int:
        """Return the event from which on functions of some roles may have done more to its blocks than calls say; `NEVER` if they have not.

        Copies of them inside of other functions were executed: what those did is not known.
        """
        codes = [
            code
            for code, each in enumerate(self.trace.functions)
            if each.area == self.name and each.copies in roles
        ]
        columns = self.trace.calls
        return int(columns.entered[np.isin(columns.function, codes)].min(initial=NEVER)) if codes else NEVER

    def live_block_at(self, address: int) -> BlockHistory | None:
        """Return the block that covers an address at the end of the run."""
        live = self.live
        offset = address - live.address.astype(np.int64)
        rows = np.flatnonzero((offset >= 0) & (offset < live.size))
        return self.call_sites.history(live, int(rows[0])) if len(rows) else None

    @cached_property
    def _spans(self) -> tuple[U32, U32]:
        """Events of entry and return of all calls of its functions, `NEVER` for one that did not return."""
        columns = self.trace.calls
        codes = [code for code, function in enumerate(self.trace.functions) if function.area == self.name]
        rows = np.isin(columns.function, codes)
        left = columns.left[rows]
        return columns.entered[rows], np.where(left == 0, np.uint32(NEVER), left)

    def any_call_open_at(self, event: int) -> bool:
        """Return whether a call of its functions goes on at an event; one that is just entered has changed nothing yet."""
        entered, left = self._spans
        return bool(((entered < event) & (event < left)).any())

    def settled(self, event: int) -> int:
        """Return the event after which the trace says what holds at this one: where a call is entered, the one before."""
        entered, _ = self._spans
        row = int(np.searchsorted(entered, event))
        return event - (row < len(entered) and entered[row] == event)

    def first_of_each(self, calls: U32) -> dict[int, tuple[str, ...]]:
        """Select, among some calls, the first `MOST_ALIKE` of each function and backtrace.

        Returns:
            The selected calls, in order. To the first call of a group that is not selected as a whole belongs a line that says
            so.
        """
        if not len(calls):
            return {}
        alike: dict[tuple[int, int], list[int]] = {}
        rows = calls.astype(np.int64) - 1
        columns = self.trace.calls
        keys = zip(columns.function[rows].tolist(), columns.stack[rows].tolist(), strict=True)
        for call, key in zip(calls.tolist(), keys, strict=True):
            alike.setdefault(key, []).append(call)
        chosen: dict[int, tuple[str, ...]] = {}
        for group in alike.values():
            chosen |= dict.fromkeys(group[:MOST_ALIKE], ())
            if len(group) > MOST_ALIKE:
                chosen[group[0]] = (f"the first {MOST_ALIKE} of {len(group)} such calls were looked at",)
        return dict(sorted(chosen.items()))

    def given_by(self, address: int, event: int) -> int:
        """Return the last call that had given the allocator the memory at an address by an event; 0: none had.

        Functions with the role ``seed`` do that, and in an area that is not of pages those with the role ``reset``, if they have the parameters
        ``start`` and ``end``.
        """
        of_it = [
            number for number, left, start, end in self._gifts if start <= address < end and left <= event
        ]
        return max(of_it, default=0)

    @cached_property
    def _gifts(self) -> list[tuple[int, int, int, int]]:
        """Calls that gave the allocator memory and have returned: their numbers, events of their returns, and from where to where."""
        calls = self.trace.calls
        found: list[tuple[int, int, int, int]] = []
        for code, function in self.functions(*((Role.SEED,) if self.pages else (Role.SEED, Role.RESET))):
            if set(_RANGE) <= set(function.parameters):
                rows = np.flatnonzero((calls.function == code) & calls.returned)
                words = (FunctionCalls(calls, function, rows).word(name).tolist() for name in _RANGE)
                found += zip((rows + 1).tolist(), calls.left[rows].tolist(), *words, strict=True)
        return found

    def has_ever_had(self, start: int, end: int) -> bool:
        """Return whether a block has ever had one of the bytes from an address to another."""
        places = self.places
        return bool(((places.address < end) & (places.end > start)).any())

    def has_had(self, start: int, end: int, event: int) -> bool:
        """Return whether a block that was made by an event has had one of the bytes from an address to another."""
        blocks = self.blocks
        first = blocks.address.astype(np.int64)
        is_in = (first < end) & (first + np.maximum(blocks.size, 1) > start)
        return bool((is_in & (blocks.born <= event)).any())

    def was_reserved(self, address: int, event: int) -> bool:
        """Return whether the page of an address had been reserved before an event.

        In an area of pages, a function with the role ``other`` and the parameters ``start`` and ``end`` reserves these
        addresses: their pages are taken, and whoever knows that they were reserved needlessly may give them back.
        """
        if not self.pages:
            return False
        calls = self.trace.calls
        for code, function in self.functions(Role.OTHER):
            if set(_RANGE) <= set(function.parameters):
                rows = np.flatnonzero((calls.function == code) & (calls.entered < event))
                start, end = (FunctionCalls(calls, function, rows).word(name) for name in _RANGE)
                if np.any(((start & _PAGE) <= address) & (address < end) & (start < end)):
                    return True
        return False
