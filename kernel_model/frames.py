"""How the frames of a window of physical memory are used, as figures, a bitmap and runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAME_BYTES: Final = 4096

_runs_in_text: Final = re.compile("0+|1+").finditer


class FrameRun(NamedTuple):
    """A maximal run ``[start, end)`` of frames (absolute numbers) that are all used or all free."""

    start: int
    end: int
    used: bool


class FrameUsage(NamedTuple):
    """How the frames of a window are used; `frame_usage` makes one of a bitmap.

    Attributes:
        first: Number of the first frame.
        total: Frames of the window.
        free: Frames not in use.
        largest_free_run: Most free frames side by side.
        bits: Bit ``i % 8`` of byte ``i / 8`` stands for frame ``first + i``, 1 = in use. Bits after the last frame mean
            nothing.
    """

    first: int
    total: int
    free: int
    largest_free_run: int
    bits: bytes

    def __repr__(self) -> str:
        """Leave the bits out, of which there are many."""
        figures = ", ".join(f"{name}={value}" for name, value in zip(self._fields[:-1], self, strict=False))
        return f"FrameUsage({figures})"

    @property
    def used(self) -> int:
        """Frames in use."""
        return self.total - self.free

    @property
    def fragmentation(self) -> float:
        """1 - largest free run / all free frames: 0.0 when they are one run or nothing is free."""
        return 1 - self.largest_free_run / self.free if self.free else 0.0

    @property
    def end(self) -> int:
        """Number of the first frame after the window."""
        return self.first + self.total

    @property
    def window(self) -> tuple[int, int]:
        """Physical addresses ``[start, end)`` of the window."""
        return self.first * FRAME_BYTES, self.end * FRAME_BYTES

    def used_in(self, start: int, end: int) -> int:
        """Count the frames in use of [start, end), absolute numbers; those outside the window count as free."""
        low = max(start, self.first) - self.first
        high = min(end, self.end) - self.first
        if high <= low:
            return 0
        piece = int.from_bytes(self.bits[low // 8 : -(-high // 8)], "little") >> low % 8
        return (piece & ((1 << (high - low)) - 1)).bit_count()

    def runs(self) -> Iterator[FrameRun]:
        """Yield the window as alternating runs of used and free frames, in address order."""
        for run in _runs_in_text(_as_text(self.bits, self.total)):
            yield FrameRun(self.first + run.start(), self.first + run.end(), used=run[0][0] == "1")


def frame_usage(first: int, total: int, bits: bytes) -> FrameUsage:
    """Return how a window is used.

    Args:
        first: Number of the first frame.
        total: Frames of the window.
        bits: See `FrameUsage.bits`.
    """
    text = _as_text(bits, total)
    return FrameUsage(first, total, text.count("0"), max(map(len, text.split("1"))), bits)


def _as_text(bits: bytes, total: int) -> str:
    """Return one character for each frame, lowest frame first: ``1`` in use, ``0`` free."""
    used = int.from_bytes(bits, "little") & ((1 << total) - 1)
    return f"{used:0{total}b}"[::-1] if total else ""
