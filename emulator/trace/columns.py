"""The columns of a trace as numpy arrays, checked so far that an analysis may trust them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from emulator.trace.file.schema import argument_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from emulator.profile.model import Profile

U8: TypeAlias = npt.NDArray[np.uint8]
I8: TypeAlias = npt.NDArray[np.int8]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
I64: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

Number = TypeVar("Number", bound=np.generic)


def values(batch: pa.RecordBatch, name: str, kind: type[Number]) -> npt.NDArray[Number]:
    """Return a column of numbers as it lies in the file; of ``function``, the codes.

    Raises:
        ValueError: It is shorter than the batch, or has nulls.
    """
    column = without_nulls(batch, name)
    return np.frombuffer(column.buffers()[1], kind, batch.num_rows)


def flags(batch: pa.RecordBatch, name: str) -> Flags:
    """Return a column of booleans, one byte each.

    Raises:
        ValueError: It is shorter than the batch, or has nulls.
    """
    packed = np.frombuffer(without_nulls(batch, name).buffers()[1], np.uint8, -(-batch.num_rows // 8))
    return np.unpackbits(packed, count=batch.num_rows, bitorder="little").view(np.bool_)


def without_nulls(batch: pa.RecordBatch, name: str) -> pa.Array:
    """Return a column as it lies in the file.

    Raises:
        ValueError: It has nulls.
    """
    column = batch.column(name)
    if column.null_count or column.offset:
        raise ValueError(f"column {name} has nulls")
    return column


class Columns:
    """All calls of a trace; a column is put together from the file's batches when it is first asked for.

    A row is a call: that of number *n* is row *n* - 1.
    """

    def __init__(self, batches: Sequence[pa.RecordBatch], profile: Profile) -> None:
        self._batches = batches
        self._argument_columns = argument_columns(profile)
        self._arguments: dict[int, U32] = {}

    def __len__(self) -> int:
        return sum(batch.num_rows for batch in self._batches)

    @cached_property
    def call(self) -> U32:
        """Number of the call: the row's, from 1."""
        return self._joined("call", np.uint32)

    @cached_property
    def parent(self) -> U32:
        """Number of the recorded call around it; 0: none."""
        return self._joined("parent", np.uint32)

    @cached_property
    def depth(self) -> U8:
        """Recorded calls around it."""
        return self._joined("depth", np.uint8)

    @cached_property
    def function(self) -> I8:
        """Position of the function in the profile."""
        return self._joined("function", np.int8)

    @cached_property
    def entered(self) -> U32:
        """Event of the entry."""
        return self._joined("entered", np.uint32)

    @cached_property
    def left(self) -> U32:
        """Event of the exit; 0: it did not return."""
        return self._joined("left", np.uint32)

    @cached_property
    def time_ns(self) -> U64:
        """Virtual time of the entry."""
        return self._joined("time_ns", np.uint64)

    @cached_property
    def left_time_ns(self) -> U64:
        """Virtual time of the exit."""
        return self._joined("left_time_ns", np.uint64)

    @cached_property
    def returned(self) -> Flags:
        """Whether it returned."""
        parts = [flags(batch, "returned") for batch in self._batches]
        return np.concatenate(parts) if parts else np.empty(0, np.bool_)

    @property
    def arguments(self) -> list[U32]:
        """Argument words, one array for each position."""
        return [self.argument(index) for index in range(self._argument_columns)]

    def argument(self, index: int) -> U32:
        """Return the argument words of one position, from 0."""
        if index not in self._arguments:
            self._arguments[index] = self._joined(f"arg{index}", np.uint32)
        return self._arguments[index]

    @cached_property
    def result(self) -> U32:
        """EAX at the exit."""
        return self._joined("result", np.uint32)

    @cached_property
    def out(self) -> U32:
        """The word at the address in the parameter "out", at the exit."""
        return self._joined("out", np.uint32)

    @cached_property
    def esp(self) -> U32:
        """At the entry: the address of the return address."""
        return self._joined("esp", np.uint32)

    @cached_property
    def stack(self) -> U32:
        """Number of the call stack; 0: unknown."""
        return self._joined("stack", np.uint32)

    def _joined(self, name: str, kind: type[Number]) -> npt.NDArray[Number]:
        parts = [values(batch, name, kind) for batch in self._batches]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, kind)


def calls_by_event(columns: Columns, last_event: int) -> U32:
    """Return the number of the call by event, entries and exits, up to the last one; 0 for event 0."""
    numbers = np.arange(1, len(columns) + 1, dtype=np.uint32)
    result = np.zeros(last_event + 1, np.uint32)
    result[columns.left] = numbers
    result[columns.entered] = numbers
    result[0] = 0  # where calls that did not return have gone
    return result
