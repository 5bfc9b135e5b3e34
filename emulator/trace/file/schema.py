"""The columns of a trace file, as Arrow types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from emulator.trace.table import column_types

if TYPE_CHECKING:
    from emulator.profile.model import Profile

KEY: Final = b"kmemu"
"""Of the header in the schema's metadata, and of the ending in the last batch's."""

FRAMES_TYPE: Final = pa.list_(
    pa.struct(
        [
            pa.field("address", pa.uint32(), nullable=False),
            pa.field("function", pa.utf8(), nullable=False),
            pa.field("offset", pa.uint32(), nullable=False),
            pa.field("file", pa.utf8(), nullable=False),
            pa.field("line", pa.uint32(), nullable=False),
            pa.field("inlined", pa.bool_(), nullable=False),
        ]
    )
)
FUNCTION_TYPE: Final = pa.dictionary(pa.int8(), pa.utf8())


def fixed_columns(profile: Profile) -> list[tuple[str, pa.DataType]]:
    """Return name and type of all columns but the last, ``frames``. They have a fixed width and no nulls."""
    kinds = column_types(profile).items()
    columns = [
        (name, FUNCTION_TYPE if name == "function" else pa.from_numpy_dtype(kind)) for name, kind in kinds
    ]
    return [("call", pa.uint32()), *columns]


def trace_schema(profile: Profile, header: bytes | None = None) -> pa.Schema:
    """Return the schema of a trace.

    Args:
        profile: The functions that are recorded.
        header: Goes into the metadata.
    """
    fields = [pa.field(name, kind, nullable=False) for name, kind in fixed_columns(profile)]
    fields.append(pa.field("frames", FRAMES_TYPE))
    return pa.schema(fields, metadata=None if header is None else {KEY: header})
