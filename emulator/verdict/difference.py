"""Differences of a run from what was expected of it, by a baseline or by a limit."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from emulator.check.findings import CallSite


class Importance(IntEnum):
    """What a difference means, the most important first."""

    LIMIT = 0  # more than a limit of the command line allows
    FINDING = 1  # that the baseline does not know
    AREA = 2  # that only one of them has
    MORE = 3  # than the baseline and its tolerance allow
    LESS = 4  # an improvement, like all below: no failure
    GONE = 5


class Difference(NamedTuple):
    """A number or a finding that is not as it was expected to be.

    Attributes:
        importance: What the difference means.
        key: What differs, such as "heap.peak_bytes", "heap.callers.kmain.calls", "findings.0123456789ab".
        text: The same for people, with the numbers: one line unless a name in it holds a line break.
        growth: How much it grew, as a share of what it was; the order among equals.
        call_site: The call that caused it, where one did.
    """

    importance: Importance
    key: str
    text: str
    growth: float = 0.0
    call_site: CallSite | None = None

    @property
    def fails(self) -> bool:
        """Whether it is a regression."""
        return self.importance < Importance.LESS

    @property
    def order(self) -> tuple[int, float, str]:
        """Sorts the most important first."""
        return self.importance, -self.growth, self.key
