"""Tell the different ones among many numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from emulator.trace.table import I64, U32, Flags

Number = TypeVar("Number", bound=np.generic)

_CLOSE: Final = 4  # a table of all numbers in between is quicker than to sort, up to so many for each
_CLOSE_ENOUGH: Final = 32  # the same where their positions are not asked for


def distinct(numbers: I64) -> tuple[I64, I64]:
    """Return the different numbers, ascending, and for each number its position among them; without sorting if they lie close."""
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    span = high - low + 1
    if span > _CLOSE * len(numbers):
        return np.unique(numbers, return_inverse=True)
    there = np.zeros(span, np.bool_)
    there[numbers - low] = True
    return np.flatnonzero(there) + low, (np.cumsum(there) - 1)[numbers - low]


def sorted_set(numbers: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return the different numbers, ascending. `numpy.unique` imports masked arrays for that: 20 ms."""
    ordered = np.sort(numbers)
    first = np.ones(len(ordered), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]


def are_among(numbers: I64 | U32, others: npt.ArrayLike) -> Flags:
    """Return which numbers are among others. Where these are many, `numpy.isin` imports masked arrays: 20 ms."""
    ordered = np.sort(np.asarray(others, np.int64))
    position = np.searchsorted(ordered, numbers)
    found: Flags = position < len(ordered)
    found[found] = ordered[position[found]] == numbers[found]
    return found


def different(numbers: I64) -> I64:
    """Return the different numbers, none of which is negative, ascending; without sorting if they lie close to 0."""
    end = int(numbers.max(initial=-1)) + 1
    if end > _CLOSE_ENOUGH * len(numbers):
        return sorted_set(numbers)
    there = np.zeros(end, np.bool_)
    there[numbers] = True
    return np.flatnonzero(there)
