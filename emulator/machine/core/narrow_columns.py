"""Columns of numbers that are kept in few bytes, by the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.native import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

_ffi, _lib = _core.ffi, _core.lib
ALIGNED: Final[int] = _lib.KC_NARROW_ALIGNED
"""What is kept of a column begins at a multiple of so many bytes."""


class WideColumn(NamedTuple):
    """A column as it is; see `kc_wide` in analysis.h.

    Attributes:
        values: Numbers without a sign.
        size: Bytes of each: 8, 4 or 1.
        step: Of words: from each row to the next, roughly.
        may_be_sum: Of 8 bytes: whether each may be kept as a sum.
    """

    values: Buffer
    size: int
    step: int
    may_be_sum: bool


class KeptPart(NamedTuple):
    """How a column is kept: the numbers *kept* are such that its number *n* is ``lowest + step * n + kept[n]``, as its type wraps.

    Attributes:
        at: The offset of these numbers.
        size: Bytes of each; 0: all are 0, and none is stored.
        lowest: See above.
        step: See above.
        is_sum: From row 1 on it is by how much each number is above the one before.
    """

    at: int
    size: int
    lowest: int
    step: int
    is_sum: bool


def narrow(columns: Sequence[WideColumn], rows: int, to: Buffer) -> tuple[list[KeptPart], int]:
    """Keep columns in as few bytes as each takes.

    Args:
        columns: The columns.
        rows: Of each, at least one.
        to: Where they are kept: room for all of them as they are, and for each `ALIGNED` bytes more, at an address that this divides.

    Returns:
        How each is kept, and how many bytes that took.
    """
    wide = _ffi.new(
        "kc_wide[]",
        [(_ffi.from_buffer(values), size, step, may_be_sum) for values, size, step, may_be_sum in columns],
    )
    used: int = _lib.kc_narrow_columns(wide, len(columns), rows, _ffi.from_buffer(to, require_writable=True))
    return [KeptPart(each.at, each.kept_size, each.lowest, each.step, each.is_sum) for each in wide], used
