"""Arrow arrays made of their buffers.

`pyarrow.array` would do the same, but where pandas is installed it imports pandas first, to recognise its types: 0.2 s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


def number_array(values: npt.NDArray[Any]) -> pa.Array:
    """Return numbers as an array of the same type."""
    return pa.Array.from_buffers(
        pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)], 0
    )


def numbers_of(array: pa.Array) -> npt.NDArray[Any]:
    """Return an array of numbers without nulls as NumPy's, without a copy."""
    kind = np.dtype(array.type.to_pandas_dtype())  # a type of NumPy's, whatever its name says
    if not len(array):
        return np.empty(0, kind)
    return np.frombuffer(array.buffers()[1], kind)[array.offset : array.offset + len(array)]


def flag_array(values: npt.NDArray[np.bool_]) -> pa.Array:
    """Return flags as an array."""
    bits = np.packbits(values, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)], 0)


def text_array(texts: Sequence[str]) -> pa.Array:
    """Return texts as an array."""
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.utf8(), len(texts), buffers, 0)
