"""Tolerances: how much worse than in the baseline a number may be, by its key or a pattern of keys."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from emulator.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AREA_KEYS: Final = ("peak_bytes", "end_bytes", "end_blocks", "calls", "failed", "fragmentation")
"""Numbers of an area, the most important first."""
CALLER_KEYS: Final = ("peak_bytes", "end_bytes", "calls")
"""Numbers of a caller."""

_PERCENT: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(%?)", re.ASCII)


class Tolerance(NamedTuple):
    """How much a number may grow.

    Attributes:
        amount: In the unit of the number.
        percent: In percent of the baseline's number; one of the two is 0.
    """

    amount: float = 0.0
    percent: float = 0.0

    def allows(self, before: float, now: float) -> bool:
        """Return whether a number has not grown too much."""
        return now <= before + self.amount + before * self.percent / 100

    def __str__(self) -> str:
        return f"{self.percent:g}%" if self.percent else f"{self.amount:,.10g}"


def parse_tolerance(value: object) -> Tolerance:
    """Read a tolerance: ``10``, ``0.05``, ``"10"`` or ``"5%"``.

    Raises:
        ValueError: It is none.
    """
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match:
        number = float(match[1])
        return Tolerance(percent=number) if match[2] else Tolerance(number)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return Tolerance(min(float(value), 1e18)) if value < 1 << 63 else Tolerance(1e18)
    raise ValueError(f'{shortened(value)} is no tolerance such as 10, 0.05 or "5%"')


def check_pattern(pattern: str) -> str:
    """Return a key or a pattern of keys, in which ``*`` stands for any text.

    Raises:
        ValueError: No number's key can be like this.
    """
    last = pattern.rpartition(".")[2]
    if pattern.endswith("*") or ("." in pattern and last in (*AREA_KEYS, *CALLER_KEYS, "count")):
        return pattern
    raise ValueError(f"does not end in * or a number: {', '.join(AREA_KEYS)}, count")


ToleranceOf: TypeAlias = "Callable[[str], Tolerance]"
"""Returns the tolerance of a number by its key."""


def tolerance_lookup(entries: Mapping[str, Tolerance]) -> ToleranceOf:
    """Return what looks up the tolerance of a number: that of its key, or of the longest pattern that fits, or none.

    Args:
        entries: By key or pattern; those of `check_pattern`.
    """
    # What says more about the key counts more.
    by_length = sorted((key for key in entries if "*" in key), key=lambda key: (-len(key), key))
    patterns = [(_compiled(key), entries[key]) for key in by_length]

    def tolerance_of(key: str) -> Tolerance:
        if key in entries and "*" not in key:
            return entries[key]
        return next((value for pattern, value in patterns if pattern.fullmatch(key)), Tolerance())

    return tolerance_of


def _compiled(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"\*+", pattern)  # two stars together are one, and would be slow
    return re.compile(".*".join(map(re.escape, pieces)), re.DOTALL)
