"""Finds runs of set flags in an array with one flag for each frame or page, and returns them as ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from emulator.trace.table import Flags


def runs_of(flags: Flags) -> list[tuple[int, int]]:
    """Return the maximal runs [start, stop) of flags that are set, ascending."""
    padded = np.concatenate([[False], flags, [False]])
    borders = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    return list(zip(borders[::2], borders[1::2], strict=True))
