"""Columns of calls that are kept in memory, in few bytes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from emulator.trace.table import I64, U32, Column

_STEPS: Final = {"entered": 2, "left": 2}  # most calls return at the next event
_SUMS: Final = {"time_ns", "left_time_ns"}
_FEW: Final = 1 << 16
"""So close to each other are the rises of a column that is kept as a sum of them."""


class KeptColumn(NamedTuple):
    """A column: row *n* has ``lowest + step * n + above[n]``, as its type wraps; or, with *first*, that and the sum of this over rows 1 to *n*.

    Attributes:
        above: Numbers of at most the column's size; of a column whose rows have the same above, zeros that take one byte.
        lowest: Of the column's type.
        step: From each row to the next.
        first: What the first row has; None: it is no sum.
    """

    above: Column
    lowest: np.generic
    step: int = 0
    first: np.generic | None = None


class KeptColumns(Mapping[str, "Column"]):
    """Columns of calls, put together again when they are asked for.

    Of the rows that are handed over at a time, most columns have numbers that are close to each other, to those of the row before, or to a line: what is
    kept is by how much they are above the lowest of these differences. The host hands out memory more slowly than this takes.

    Args:
        columns: By their names.
    """

    def __init__(self, columns: dict[str, KeptColumn]) -> None:
        self._columns = columns

    def __getitem__(self, name: str) -> Column:
        above, lowest, step, first = self._columns[name]
        column = above.astype(lowest.dtype)
        if lowest:
            np.add(column, lowest, out=column)
        if step:
            np.add(column, _line(step, len(column)), out=column)
        if first is None or not len(column):
            return column
        column[0] = first
        return np.cumsum(column, out=column)

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def kept(self, name: str) -> KeptColumn:
        """Return a column as it is kept."""
        return self._columns[name]

    def take(self, name: str) -> Column:
        """Return a column, and let go of it."""
        column = self[name]
        del self._columns[name]
        return column

    def put(self, name: str, rows: Sequence[int] | Column, values: Sequence[int] | int) -> None:
        """Replace the values in some rows of a column."""
        column = self[name]
        column[rows] = values
        self._columns[name] = Keeper().kept(name, column)

    def first(self, rows: int) -> Self:
        """Return the columns of the first rows."""
        return type(self)(
            {name: kept._replace(above=kept.above[:rows]) for name, kept in self._columns.items()}
        )


class Keeper:
    """Keeps copies of columns. What it works out on the way lies in memory of its own: new memory would take longer than that."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint64)

    def keep(self, columns: Mapping[str, Column]) -> KeptColumns:
        """Keep copies of some columns that have values, by their names."""
        return KeptColumns({name: self.kept(name, column) for name, column in columns.items()})

    def kept(self, name: str, column: Column) -> KeptColumn:
        """Return a copy of a column that has values, in as few bytes as it takes."""
        if name in _SUMS:
            rises = self._rises(column)
            low, span = _low_and_span(rises)
            if span < _FEW:
                above = _above(rises.view(column.dtype), low.view(column.dtype), span)
                return KeptColumn(above, low.view(column.dtype), 0, column[0])
        step, level = _STEPS.get(name, 0), column
        if step:
            level = np.subtract(column, _line(step, len(column)), out=self._scratch(column))
        low, span = _low_and_span(level)
        if span and np.min_scalar_type(span).itemsize >= column.itemsize:
            return KeptColumn(column.copy(), column.dtype.type(0))
        return KeptColumn(_above(level, low, span), low, step)

    def _rises(self, column: Column) -> I64:
        """Return by how much each value is above the one before; of the first one as many as of the second."""
        rises = self._scratch(column)
        np.subtract(column[1:], column[:-1], out=rises[1:])
        rises[:1] = rises[1:2] if len(column) > 1 else 0
        return rises.view(np.int64)

    def _scratch(self, column: Column) -> Column:
        """Return an array like a column, with anything in it, which is the same one each time."""
        if len(self._memory) < len(column):
            self._memory = np.empty(len(column), np.uint64)
        return self._memory.view(column.dtype)[: len(column)]


def _low_and_span(column: Column) -> tuple[np.generic, int]:
    """Return the lowest value, and by how much the highest one is above it."""
    low: np.generic = column.min()
    return low, int(column.max()) - int(low)


def _above(column: Column, low: np.generic, span: int) -> Column:
    """Return by how much values are above the lowest one, in as few bytes as the highest one takes."""
    if not span:
        return _zeros(len(column))
    above = np.empty(len(column), np.min_scalar_type(span))
    return np.subtract(column, low, out=above, casting="unsafe")


@lru_cache(maxsize=8)
def _zeros(count: int) -> Column:
    """Return so many zeros, which take one byte."""
    return np.broadcast_to(np.zeros(1, np.uint8), count)


@lru_cache(maxsize=2)
def _line(step: int, count: int) -> U32:
    """Return 0 and the next multiples of a step."""
    return np.arange(0, step * count, step, dtype=np.uint32)
