"""What the calls of one function say of blocks, as the profile explains them: which one they made or name, and its size."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from emulator.profile.functions import Result
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.profile.functions import TracedFunction
    from emulator.trace.table import I64, U32, U64, CallTable, Flags

ALL_POOLS: Final = -1
NOWHERE: Final = 0xFFFF_FFFF
"""An address at which no block can be; what a call wanted to give back that cannot be memory is there."""

_LENGTHS: Final = {"size", "pages", "order"}
_PAGE_BITS: Final = np.uint32(12)
_FRAMES: Final = 1 << 20  # of a physical memory of 4 GiB
_LARGEST: Final = 0xFFFF_FFFF
_ORDER_MAX: Final = 20  # 4 GiB


class FunctionCalls:
    """Some calls of one function.

    Args:
        calls: All calls.
        function: One of the profile's.
        rows: Which of its calls.

    Attributes:
        function: As given.
        rows: As given.
    """

    def __init__(self, calls: CallTable, function: TracedFunction, rows: I64) -> None:
        self.function = function
        self.rows = rows
        self._calls = calls

    @cached_property
    def entered(self) -> U32:
        """Events of the entries."""
        return self._calls.take("entered", self.rows)

    @cached_property
    def left(self) -> U32:
        """Events of the returns; 0: they did not return."""
        return self._calls.take("left", self.rows)

    @cached_property
    def returned(self) -> Flags:
        """Whether they returned."""
        returned: Flags = self.left != 0
        return returned

    @property
    def refused(self) -> Flags:
        """Whether they returned an error."""
        if self.function.result is not Result.ERROR:
            return np.zeros(len(self.rows), np.bool_)
        return self.failed

    @property
    def done(self) -> Flags:
        """Whether they did to blocks what they are for, if they needed no block for that."""
        return ~self.refused & self.counts

    @cached_property
    def failed(self) -> Flags:
        """Whether they returned an error, or the result that means "no block"."""
        is_error = self.function.result is Result.ERROR
        failed: Flags = self.result != 0 if is_error else self._answers_no_block(self.result)
        return self.returned & failed

    def _answers_no_block(self, result: U32) -> Flags:
        found: Flags = np.zeros(len(result), np.bool_)
        for first, last in self.function.failures:
            found |= result == first if first == last else (result >= first) & (result <= last)
        return found

    @cached_property
    def counts(self) -> Flags:
        """Whether they are about blocks at all, by the parameter "when"."""
        if "when" in self.function.parameters:
            counts: Flags = self.word("when") != 0
            return counts
        return np.ones(len(self.rows), np.bool_)

    @cached_property
    def result(self) -> U32:
        """EAX at the return."""
        return self._calls.take("result", self.rows)

    @cached_property
    def out(self) -> U32:
        """The block that is known by more than EAX; see `Call`."""
        return self._calls.take("out", self.rows)

    def word(self, parameter: str) -> U32:
        """Return the words of a parameter."""
        return self._calls.take(f"arg{self.function.parameters.index(parameter)}", self.rows)

    def made(self) -> tuple[U32, Flags]:
        """Return where the new blocks are, and which calls succeeded if they returned."""
        function, result = self.function, self.result
        good: Flags
        if function.stores_block:
            address = self.out
            good = address != 0
            if function.result is Result.ERROR:
                good = result == 0
            else:
                good &= ~self._answers_no_block(result)
        else:
            address = result
            good = ~self._answers_no_block(result)
        if function.result is Result.FRAME:
            return address << _PAGE_BITS, good & (address < _FRAMES)
        return address, good & (address != NOWHERE)

    def named(self) -> U32:
        """Return where the blocks are that the calls are given, by address or by frame; `NOWHERE` for what is no memory."""
        if "ptr" in self.function.parameters:
            return self.word("ptr")
        frame = self.word("frame")
        return np.where(frame < _FRAMES, frame << _PAGE_BITS, np.uint32(NOWHERE))

    def asked_size(self) -> U32 | None:
        """Return the bytes that the calls name, at most 0xffffffff; None if they name none."""
        knows = self.function.knows
        if "count" in self.function.unknown:
            return None
        if knows("size"):
            size = self.word("size")
            return _limited(size.astype(np.uint64) * self.word("count")) if knows("count") else size
        if knows("pages"):
            return _limited(self.word("pages").astype(np.uint64) * np.uint64(PAGE_SIZE))
        if knows("order"):
            return _limited(
                np.uint64(PAGE_SIZE) << np.minimum(self.word("order"), _ORDER_MAX).astype(np.uint64)
            )
        return None

    def size(self) -> U32:
        """Return the bytes that the calls are about; 0 where that is not known."""
        asked = self.asked_size()
        if asked is not None:
            return asked
        names = self.function.parameters
        is_one_page = ("frame" in names or self.function.result is Result.FRAME) and not _LENGTHS & set(names)
        return np.full(len(self.rows), PAGE_SIZE if is_one_page else 0, np.uint32)

    def pool(self) -> I64:
        """Return the pools that the calls name, or `ALL_POOLS`."""
        if self.function.knows("pool"):
            return self.word("pool").astype(np.int64)
        return np.full(len(self.rows), ALL_POOLS)


def may_be_empty(function: TracedFunction) -> bool:
    """Return whether the parameters of a function can ask for no bytes."""
    return function.knows("size") or function.knows("pages")


def _limited(sizes: U64) -> U32:
    return np.minimum(sizes, _LARGEST).astype(np.uint32)


def by_function(calls: CallTable, area: str | None = None) -> Iterator[FunctionCalls]:
    """Yield all calls of each function, in the profile's order; of those of one area, if it is given."""
    for code, function in enumerate(calls.functions):
        if area is None or function.area == area:
            rows = calls.rows_of(code)
            if len(rows):
                yield FunctionCalls(calls, function, rows)


def call_blocks(calls: CallTable) -> tuple[U32, U64]:
    """Return the block that each call is about: the one it made, or was given to free or to share.

    Returns:
        By row, where it begins, 0: there is none; and the first address after it, one byte on where its size is not known.
    """
    address, sizes = np.zeros(len(calls), np.uint32), np.ones(len(calls), np.uint64)
    for each in by_function(calls):
        if each.function.role.makes_block:
            made, good = each.made()
            address[each.rows] = np.where(good & each.returned & each.counts, made, 0)
        elif each.function.role.names_block:
            named = each.named()
            address[each.rows] = np.where((named != NOWHERE) & each.counts, named, 0)
        sizes[each.rows] = np.maximum(each.size(), 1)
    return address, address.astype(np.uint64) + sizes
