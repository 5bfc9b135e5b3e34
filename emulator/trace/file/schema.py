"""The columns of a trace, one row for each call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

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
        ]
    )
)
FUNCTION_TYPE: Final = pa.dictionary(pa.int8(), pa.utf8())

_BEFORE_ARGUMENTS: Final = (
    ("call", pa.uint32()),
    ("parent", pa.uint32()),
    ("depth", pa.uint8()),
    ("function", FUNCTION_TYPE),
    ("entered", pa.uint32()),
    ("left", pa.uint32()),
    ("time_ns", pa.uint64()),
    ("left_time_ns", pa.uint64()),
    ("returned", pa.bool_()),
)
_AFTER_ARGUMENTS: Final = (
    ("result", pa.uint32()),
    ("out", pa.uint32()),
    ("esp", pa.uint32()),
    ("stack", pa.uint32()),
)


def argument_columns(profile: Profile) -> int:
    """Return how many columns of arguments a trace has: as many as the longest list of parameters."""
    return max(len(function.parameters) for function in profile.functions)


def fixed_columns(profile: Profile) -> list[tuple[str, pa.DataType]]:
    """Return name and type of all columns but the last, ``frames``. They have a fixed width and no nulls."""
    arguments = [(f"arg{index}", pa.uint32()) for index in range(argument_columns(profile))]
    return [*_BEFORE_ARGUMENTS, *arguments, *_AFTER_ARGUMENTS]


def trace_schema(profile: Profile, header: bytes | None = None) -> pa.Schema:
    """Return the schema of a trace.

    Args:
        profile: The functions that are recorded.
        header: Goes into the metadata.
    """
    fields = [pa.field(name, kind, nullable=False) for name, kind in fixed_columns(profile)]
    fields.append(pa.field("frames", FRAMES_TYPE))
    return pa.schema(fields, metadata=None if header is None else {KEY: header})
