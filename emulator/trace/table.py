"""The table of recorded calls: one row for each call, one NumPy array for each column.

The rows are held in memory or mapped from a trace file, and the table reads the same in both cases. Millions of calls remain
arrays; a `Call` is made of a row only when a single call is wanted.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from emulator.profile.functions import TracedFunction
    from emulator.profile.model import Profile

    U8: TypeAlias = npt.NDArray[np.uint8]
    I8: TypeAlias = npt.NDArray[np.int8]
    U32: TypeAlias = npt.NDArray[np.uint32]
    U64: TypeAlias = npt.NDArray[np.uint64]
    I64: TypeAlias = npt.NDArray[np.int64]
    Flags: TypeAlias = npt.NDArray[np.bool_]
    Column: TypeAlias = npt.NDArray[Any]

_BEFORE_ARGUMENTS: Final[Mapping[str, type[np.generic]]] = {
    "parent": np.uint32,
    "depth": np.uint8,
    "function": np.int8,
    "entered": np.uint32,
    "left": np.uint32,
    "time_ns": np.uint64,
    "left_time_ns": np.uint64,
    "returned": np.bool_,
}
_AFTER_ARGUMENTS: Final[Mapping[str, type[np.generic]]] = {
    "result": np.uint32,
    "out": np.uint32,
    "esp": np.uint32,
    "stack": np.uint32,
}
_CALLS_AT_ONCE: Final = 4096
_FEW: Final = 8  # a share of the rows


def argument_count(profile: Profile) -> int:
    """Return how many columns of arguments a table has: as many as the longest list of parameters."""
    return max((len(function.parameters) for function in profile.functions), default=0)


def column_types(profile: Profile) -> dict[str, type[np.generic]]:
    """Return the type of each column, by name, in the order of a trace file."""
    arguments = {f"arg{index}": np.uint32 for index in range(argument_count(profile))}
    return {**_BEFORE_ARGUMENTS, **arguments, **_AFTER_ARGUMENTS}


class Call(NamedTuple):
    """One call of a recorded function.

    Attributes:
        number: In order of entry, from 1.
        parent: Number of the recorded call in which it was made; 0: in none, also where an interrupt came in between.
        depth: Recorded calls around it.
        function: Its name.
        arguments: As many words as the function has parameters; 0 for those that are not known.
        entered: Number of the event of its entry.
        left: Number of the event of its return; None: it did not return.
        time_ns: Virtual time of the entry.
        left_time_ns: Virtual time of the return; None: it did not return.
        result: EAX at the return; None: it did not return.
        out: The block that it made, where more than EAX says it: the word at the address in the parameter "out", or what the profile
            computes; at the return. None: it did not return, or EAX says it.
        esp: ESP at the entry: the address of the return address.
        stack: Number of the call stack; 0: unknown.
    """

    number: int
    parent: int
    depth: int
    function: str
    arguments: tuple[int, ...]
    entered: int
    left: int | None
    time_ns: int
    left_time_ns: int | None
    result: int | None
    out: int | None
    esp: int
    stack: int


class Chunk(NamedTuple):
    """Rows of a table that follow each other.

    Attributes:
        first_call: Number of the first row's call.
        rows: How many there are.
        columns: Name -> values, for all columns of `column_types`.
    """

    first_call: int
    rows: int
    columns: Mapping[str, Column]


class CallTable:
    """All recorded calls of a run; that of number *n* is row *n* - 1.

    A column is put together from the chunks when it is first asked for.

    Args:
        chunks: The rows, in order.
        profile: The functions whose calls they are.

    Attributes:
        chunks: As given.
        profile: As given.
    """

    def __init__(self, chunks: Sequence[Chunk], profile: Profile) -> None:
        self.profile = profile
        self.chunks = chunks
        self._arguments: dict[int, U32] = {}
        # Columns of which single values were asked for, by the number of the chunk.
        self._parts: dict[tuple[str, int], Column] = {}

    def __len__(self) -> int:
        return sum(chunk.rows for chunk in self.chunks)

    @property
    def functions(self) -> tuple[TracedFunction, ...]:
        """The functions, by their code in the column `function`."""
        return self.profile.functions

    @cached_property
    def counts(self) -> I64:
        """How many calls of each function there are, by its code."""
        most = len(self.functions)
        return sum(
            (np.bincount(chunk.columns["function"], minlength=most) for chunk in self.chunks),
            start=np.zeros(most, np.int64),
        )

    def rows_of(self, code: int) -> I64:
        """Return the rows of the calls of a function, by its code."""
        if not self.counts[code]:
            return np.empty(0, np.int64)
        chunks = zip(self.chunks, self._first_rows.tolist(), strict=True)
        return np.concatenate(
            [np.flatnonzero(chunk.columns["function"] == code) + first for chunk, first in chunks]
        )

    def take(self, name: str, rows: I64) -> Column:
        """Return the values of a column in some rows; if these are few, without putting all of it together.

        Args:
            name: As in `column_types`.
            rows: Which ones.
        """
        if len(rows) > len(self) // _FEW:
            whole = self.argument(int(name[3:])) if name.startswith("arg") else getattr(self, name)
            values: Column = whole[rows]
            return values
        values = np.empty(len(rows), column_types(self.profile)[name])
        order = np.argsort(rows, kind="stable")
        found = np.searchsorted(self._first_rows, rows[order], side="right") - 1
        borders = np.flatnonzero(np.diff(found, prepend=-1, append=len(self.chunks)))
        for start, stop in pairwise(borders.tolist()):
            chunk, chosen = int(found[start]), order[start:stop]
            values[chosen] = self.chunks[chunk].columns[name][rows[chosen] - self._first_rows[chunk]]
        return values

    def value(self, name: str, number: int) -> int:
        """Return what a column of `column_types` has of the call with a number, which there is, without putting all of the column together."""
        index = self._chunk_of(number)
        if (name, index) not in self._parts:
            self._parts[name, index] = self.chunks[index].columns[name]
        return int(self._parts[name, index][number - self.chunks[index].first_call])

    def _chunk_of(self, number: int) -> int:
        return bisect_right(self.chunks, number, key=lambda chunk: chunk.first_call) - 1

    @cached_property
    def _first_rows(self) -> I64:
        """The first row of each chunk."""
        return np.array([chunk.first_call - 1 for chunk in self.chunks], np.int64)

    # -- calls as values ---------------------------------------------------------------------------

    def call(self, number: int) -> Call:
        """Return the call with a number.

        Raises:
            IndexError: There is none.
        """
        index = self._chunk_of(number)
        if index >= 0:
            chunk = self.chunks[index]
            row = number - chunk.first_call
            if row < chunk.rows:
                return next(self._calls(chunk, np.array([row])))
        raise IndexError(f"no call {number}; there are {len(self)}")

    def __iter__(self) -> Iterator[Call]:
        for chunk in self.chunks:
            for start in range(0, chunk.rows, _CALLS_AT_ONCE):
                yield from self._calls(chunk, np.arange(start, min(start + _CALLS_AT_ONCE, chunk.rows)))

    def chosen(self, mask: Flags) -> Iterator[Call]:
        """Yield the calls for which a mask, one flag for each call, is true."""
        first = 0
        for chunk in self.chunks:
            rows = np.flatnonzero(mask[first : first + chunk.rows])
            for start in range(0, len(rows), _CALLS_AT_ONCE):
                yield from self._calls(chunk, rows[start : start + _CALLS_AT_ONCE])
            first += chunk.rows

    def _calls(self, chunk: Chunk, rows: I64) -> Iterator[Call]:
        def column(name: str) -> list[int]:
            numbers: list[int] = chunk.columns[name][rows].tolist()
            return numbers

        codes, left = column("function"), column("left")
        all_returned = 0 not in left

        def at_return(name: str) -> list[int] | list[int | None]:
            """Return a column of which nothing is known for a call that did not return."""
            numbers = column(name)
            if all_returned:
                return numbers
            return [number if event else None for number, event in zip(numbers, left, strict=True)]

        functions = self.functions
        words = [column(f"arg{index}") for index in range(argument_count(self.profile))]
        arguments = zip(*words, strict=True) if words else iter([()] * len(rows))
        lengths = [len(function.parameters) for function in functions]
        has_out = [function.stores_block for function in functions]
        return map(
            Call,
            (rows + chunk.first_call).tolist(),
            column("parent"),
            column("depth"),
            [functions[code].name for code in codes],
            [words[: lengths[code]] for words, code in zip(arguments, codes, strict=True)],
            column("entered"),
            at_return("left"),
            column("time_ns"),
            at_return("left_time_ns"),
            at_return("result"),
            [word if has_out[code] else None for word, code in zip(at_return("out"), codes, strict=True)],
            column("esp"),
            column("stack"),
        )

    # -- events ------------------------------------------------------------------------------------

    @cached_property
    def last_event(self) -> int:
        """The highest number of an event; 0 without calls."""
        return max(int(self.entered.max(initial=0)), int(self.left.max(initial=0)))

    @cached_property
    def by_event(self) -> U32:
        """Number of the call that was entered or left, by event; 0 for event 0."""
        numbers = self.number
        result = np.zeros(self.last_event + 1, np.uint32)
        result[self.left] = numbers
        result[self.entered] = numbers
        result[0] = 0  # where calls that did not return have gone
        return result

    def number_at(self, event: int) -> int:
        """Return the number of the call that an event is the entry or the return of; 0: of none."""
        return int(self.by_event[event]) if 0 < event <= self.last_event else 0

    # -- columns -----------------------------------------------------------------------------------

    @property
    def number(self) -> U32:
        """Number of the call: the row's, from 1."""
        return np.arange(1, len(self) + 1, dtype=np.uint32)

    @cached_property
    def parent(self) -> U32:
        """Number of the recorded call around it; 0: none."""
        return self._joined("parent")

    @cached_property
    def depth(self) -> U8:
        """Recorded calls around it."""
        return self._joined("depth")

    @cached_property
    def function(self) -> I8:
        """Position of the function in the profile."""
        return self._joined("function")

    @cached_property
    def entered(self) -> U32:
        """Event of the entry."""
        return self._joined("entered")

    @cached_property
    def left(self) -> U32:
        """Event of the return; 0: it did not return."""
        return self._joined("left")

    @cached_property
    def time_ns(self) -> U64:
        """Virtual time of the entry."""
        return self._joined("time_ns")

    @cached_property
    def left_time_ns(self) -> U64:
        """Virtual time of the return."""
        return self._joined("left_time_ns")

    @cached_property
    def returned(self) -> Flags:
        """Whether it returned."""
        return self._joined("returned")

    @property
    def arguments(self) -> list[U32]:
        """Argument words, one array for each position."""
        return [self.argument(index) for index in range(argument_count(self.profile))]

    def argument(self, index: int) -> U32:
        """Return the argument words of one position, from 0."""
        if index not in self._arguments:
            self._arguments[index] = self._joined(f"arg{index}")
        return self._arguments[index]

    @cached_property
    def result(self) -> U32:
        """EAX at the return."""
        return self._joined("result")

    @cached_property
    def out(self) -> U32:
        """The block that it made, where more than EAX says it; see `Call`."""
        return self._joined("out")

    @cached_property
    def esp(self) -> U32:
        """ESP at the entry: the address of the return address."""
        return self._joined("esp")

    @cached_property
    def stack(self) -> U32:
        """Number of the call stack; 0: unknown."""
        return self._joined("stack")

    def _joined(self, name: str) -> Column:
        parts = [chunk.columns[name] for chunk in self.chunks]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, column_types(self.profile)[name])
