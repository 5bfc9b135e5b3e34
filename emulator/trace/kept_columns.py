"""Columns of calls that are kept in memory, in few bytes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from emulator.machine.core.narrow_columns import ALIGNED, KeptPart, WideColumn, narrow
from emulator.trace.queries.distinct import are_among

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from emulator.trace.table import I64, U32, Column

_STEPS: Final = {"entered": 2, "left": 2}  # most calls return at the next event
_SUMS: Final = {"time_ns", "left_time_ns"}
_LIKE: Final = {"left": "entered", "left_time_ns": "time_ns"}
"""Columns that have no value yet for a call that goes on, and a little more than what others are mostly there."""
_FEW: Final = 64  # a share of the rows
_UNSIGNED: Final[dict[int, type[np.unsignedinteger[Any]]]] = {
    1: np.uint8,
    2: np.uint16,
    4: np.uint32,
    8: np.uint64,
}
_LARGEST: Final = 1 << 23
"""Bytes of a piece of memory; from half of that on NumPy asks the host for large pages."""


class OddRows(NamedTuple):
    """Rows of a column that have values of their own, none twice."""

    rows: I64
    values: Column


class KeptColumn(NamedTuple):
    """A column: row *n* has ``lowest + step * n + above[n]``, as its type wraps; or, with *first*, that and the sum of this over rows 1 to *n*.

    Attributes:
        above: Numbers of at most the column's size; of a column whose rows have the same above, zeros that take one byte.
        lowest: Of the column's type.
        step: From each row to the next.
        first: What the first row has; None: it is no sum.
        odd: Rows of which that is not true; None: there are none.
    """

    above: Column
    lowest: np.generic
    step: int = 0
    first: np.generic | None = None
    odd: OddRows | None = None


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
        above, lowest, step, first, odd = self._columns[name]
        column = above.astype(lowest.dtype)
        if lowest:
            np.add(column, lowest, out=column)
        if step:
            np.add(column, _line(step, len(column)), out=column)
        if first is not None and len(column):
            column[0] = first
            np.cumsum(column, out=column)
        if odd is not None:
            column[odd.rows] = odd.values
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def kept(self, name: str) -> KeptColumn:
        """Return a column as it is kept."""
        return self._columns[name]

    def put(self, name: str, rows: Sequence[int] | I64, values: Sequence[int] | int) -> None:
        """Replace the values in a few rows of a column, none of which is named twice."""
        kept = self._columns[name]
        odd = OddRows(np.asarray(rows, np.int64), np.empty(len(rows), kept.lowest.dtype))
        odd.values[:] = values
        if kept.odd is not None:
            others = ~are_among(kept.odd.rows, odd.rows)
            odd = OddRows(
                np.concatenate((kept.odd.rows[others], odd.rows)),
                np.concatenate((kept.odd.values[others], odd.values)),
            )
        self._columns[name] = kept._replace(odd=odd)

    def first(self, rows: int) -> Self:
        """Return the columns of the first rows."""
        return type(self)({name: _first(kept, rows) for name, kept in self._columns.items()})


class Keeper:
    """Keeps copies of columns, one after the other in large pieces of memory: those the host hands out faster than many small ones."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)  # what is left of the newest piece
        self._size = 0  # of that

    def keep(self, columns: Mapping[str, Column]) -> KeptColumns:
        """Keep copies of some columns that have as many values, at least one, by their names, each in as few bytes as it takes."""
        rows, odd = len(next(iter(columns.values()))), _going_on(columns)
        columns = {**columns, **{name: _filled(columns, name, calls) for name, calls in odd.items()}}
        memory = self._room(sum(column.nbytes + ALIGNED for column in columns.values()))
        wide = [
            WideColumn(column.data, column.itemsize, _STEPS.get(name, 0), name in _SUMS)
            for name, column in columns.items()
        ]
        parts, used = narrow(wide, rows, memory.data)
        self._memory = memory[used:]
        named = zip(columns.items(), parts, strict=True)
        kept = {name: _kept(column, part, memory) for (name, column), part in named}
        for name, calls in odd.items():
            kept[name] = kept[name]._replace(odd=calls)
        return KeptColumns(kept)

    def _room(self, size: int) -> Column:
        """Return memory for so many bytes: of each piece that is not enough the next one has twice the size, for most runs need little."""
        if size > len(self._memory):
            self._size = max(size, min(2 * self._size, _LARGEST))
            self._memory = np.empty(self._size, np.uint8)
        return self._memory


def _kept(column: Column, part: KeptPart, memory: Column) -> KeptColumn:
    rows = len(column)
    above = memory[part.at : part.at + part.size * rows] if part.size else _zeros(rows)
    kind = column.dtype if part.size == column.itemsize else _UNSIGNED[part.size or 1]
    lowest = _UNSIGNED[column.itemsize](part.lowest).view(column.dtype)
    return KeptColumn(above.view(kind), lowest, part.step, column[0] if part.is_sum else None)


def _going_on(columns: Mapping[str, Column]) -> dict[str, OddRows]:
    """Return the rows of calls that go on, and what columns have there that would take many bytes for them; nothing unless these are few."""
    if not columns.keys() >= _LIKE.keys() | set(_LIKE.values()):
        return {}
    rows = np.flatnonzero(columns["left"] == 0)
    if not 0 < len(rows) <= len(columns["left"]) // _FEW:
        return {}
    return {name: OddRows(rows, columns[name][rows]) for name in _LIKE}


def _filled(columns: Mapping[str, Column], name: str, odd: OddRows) -> Column:
    """Return a column with other values in odd rows, which take few bytes."""
    column = columns[name].copy()
    column[odd.rows] = columns[_LIKE[name]][odd.rows] + 1
    return column


def _first(kept: KeptColumn, rows: int) -> KeptColumn:
    """Return the first rows of a column."""
    odd = kept.odd
    if odd is not None:
        among = odd.rows < rows
        odd = OddRows(odd.rows[among], odd.values[among])
    return kept._replace(above=kept.above[:rows], odd=odd)


@lru_cache(maxsize=8)
def _zeros(count: int) -> Column:
    """Return so many zeros, which take one byte."""
    return np.broadcast_to(np.zeros(1, np.uint8), count)


@lru_cache(maxsize=2)
def _line(step: int, count: int) -> U32:
    """Return 0 and the next multiples of a step."""
    return np.arange(0, step * count, step, dtype=np.uint32)
