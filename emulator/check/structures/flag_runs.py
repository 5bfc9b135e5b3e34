"""Finds the runs of flags that are set, as ranges of frames or pages are made of."""

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
