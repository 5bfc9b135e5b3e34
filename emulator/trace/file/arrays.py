"""Between Arrow's arrays and NumPy's, buffer by buffer.

`pyarrow.array` would make the same arrays, but where pandas is installed it imports pandas first, to recognise its types: 0.2 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from emulator.trace.table import Column, Flags

Number = TypeVar("Number", bound=np.generic)


def number_array(values: Column) -> pa.Array:
    """Return numbers as an array of the same type."""
    return pa.Array.from_buffers(
        pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)], 0
    )


def flag_array(values: Sequence[bool]) -> pa.Array:
    """Return booleans as an array. Arrow's own conversion imports pandas."""
    packed = np.packbits(np.array(values, np.bool_), bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(packed)], 0)


def text_array(texts: Sequence[str]) -> pa.Array:
    """Return texts as an array."""
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.utf8(), len(texts), buffers, 0)


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


def list_lengths(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.int32]:
    """Return how many values each list of a column has, a null none. Arrow's own function imports pandas."""
    column = batch.column(name)
    if not batch.num_rows:
        return np.zeros(0, np.int32)
    ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset :]
    return np.diff(ends[: batch.num_rows + 1])


def without_nulls(batch: pa.RecordBatch, name: str) -> pa.Array:
    """Return a column as it lies in the file.

    Raises:
        ValueError: It has nulls.
    """
    column = batch.column(name)
    if column.null_count or column.offset:
        raise ValueError(f"column {name} has nulls")
    return column


class BatchColumns(Mapping[str, "Column"]):
    """The columns of a batch as NumPy arrays that are made when they are asked for.

    Args:
        batch: The batch, checked.
        types: Of the columns, by name.
    """

    def __init__(self, batch: pa.RecordBatch, types: Mapping[str, type[np.generic]]) -> None:
        self._batch = batch
        self._types = types

    def __getitem__(self, name: str) -> Column:
        kind = self._types[name]
        return flags(self._batch, name) if kind is np.bool_ else values(self._batch, name, kind)

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)
