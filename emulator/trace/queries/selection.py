"""Select calls of a trace by function, caller, address, size, event or number."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emulator.profile.functions import Result
from emulator.trace.blocks.function_calls import by_function
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.blocks.function_calls import FunctionCalls
    from emulator.trace.table import Flags
    from emulator.trace.trace import Trace


class Bounds(NamedTuple):
    """A range of numbers, both of whose ends belong to it.

    Attributes:
        first: The lowest.
        last: The highest; None for no limit.
    """

    first: int
    last: int | None

    def hold(self, numbers: NDArray[np.integer]) -> Flags:
        """Return for each number whether it lies within."""
        result: Flags = numbers >= self.first
        if self.last is not None:
            result &= numbers <= self.last
        return result


class Selection(NamedTuple):
    """The conditions that a call has to meet, all that are given, to be selected.

    Attributes:
        functions: Patterns as in a shell, one of which the function's name matches.
        callers: The same for a function in the call's stack.
        address: The call's block, or what its arguments or its result say of one, covers an address of these.
        size: Bytes that it names, or that its block has.
        events: It was entered or left in one of these.
        calls: Its number.
    """

    functions: Sequence[str] = ()
    callers: Sequence[str] = ()
    address: Bounds | None = None
    size: Bounds | None = None
    events: Bounds | None = None
    calls: Bounds | None = None


def select(trace: Trace, selection: Selection) -> Flags:
    """Return for each call of a trace whether it is selected."""
    columns = trace.calls
    result = np.ones(len(trace), np.bool_)
    if selection.functions:
        wanted = [_matches(function.name, selection.functions) for function in trace.functions]
        result &= np.array(wanted, np.bool_)[columns.function]
    if selection.callers:
        result &= _called_by(trace, selection.callers)[columns.stack]
    if selection.address:
        result &= _touching(trace, selection.address)
    if selection.size:
        result &= _of_size(trace, selection.size)
    if selection.events:
        result &= selection.events.hold(columns.entered) | (
            selection.events.hold(columns.left) & columns.returned
        )
    if selection.calls:
        result &= selection.calls.hold(columns.number)
    return result


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _called_by(trace: Trace, patterns: Sequence[str]) -> Flags:
    """Return for each number of a call stack whether a function in it matches."""
    known: dict[str, bool] = {}
    result = np.zeros(trace.stack_count + 1, np.bool_)
    for stack in range(1, trace.stack_count + 1):
        for frame in trace.frames(stack):
            if frame.function not in known:
                known[frame.function] = _matches(frame.function, patterns)
            if known[frame.function]:
                result[stack] = True
                break
    return result


def _of_size(trace: Trace, size: Bounds) -> Flags:
    result = np.zeros(len(trace), np.bool_)
    for each in by_function(trace.calls):
        asked = each.asked_size()
        if asked is not None:
            result[each.rows[size.hold(asked)]] = True
    for area in trace.areas:
        blocks = trace.blocks(area)
        _mark(result, blocks, size.hold(blocks.size))
    return result


def _touching(trace: Trace, address: Bounds) -> Flags:
    result = np.zeros(len(trace), np.bool_)
    for area in trace.areas:
        blocks = trace.blocks(area)
        _mark(result, blocks, _covers(blocks.address, np.maximum(blocks.size, 1) - 1, address))
    for each in by_function(trace.calls):
        result[each.rows[_names(each, address)]] = True
    return result


def _names(calls: FunctionCalls, address: Bounds) -> Flags:
    """Return which calls are given an address of these, or return one, whatever their function's role is."""
    function = calls.function
    result = np.zeros(len(calls.rows), np.bool_)
    if "ptr" in function.parameters:
        result |= address.hold(calls.word("ptr"))
    if "frame" in function.parameters:
        result |= _covers(calls.word("frame").astype(np.int64) * PAGE_SIZE, PAGE_SIZE - 1, address)
    if function.out is not None or function.result in (Result.POINTER, Result.FRAME):
        made, good = calls.made()
        reach = PAGE_SIZE - 1 if function.result is Result.FRAME else 0
        result |= calls.returned & good & _covers(made, reach, address)
    return result


def _covers(starts: NDArray[np.integer], reach: NDArray[np.integer] | int, address: Bounds) -> Flags:
    """Return which pieces of memory have an address of these; *reach* is how far their last byte is from their first."""
    first = starts.astype(np.int64)
    result: Flags = first + reach >= address.first
    if address.last is not None:
        result &= first <= address.last
    return result


def _mark(result: Flags, blocks: Blocks, chosen: Flags) -> None:
    """Select the calls that made and freed some blocks."""
    for calls in (blocks.born_call[chosen], blocks.died_call[chosen]):
        result[calls[calls != 0].astype(np.int64) - 1] = True
