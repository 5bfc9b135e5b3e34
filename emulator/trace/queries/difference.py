"""Compare two traces: which callers take more or less than in the other one.

Call stacks are matched by the functions and source lines in them. Addresses are left out of it, so that a kernel that has
been built anew can be compared with the one before.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.symbolizer import Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.trace.queries.totals import Measure
    from emulator.trace.trace import Trace


Callers = tuple[Frame, ...]
"""A call stack, innermost frame first, whose addresses and offsets are 0; empty where it is not known."""


class Growth(NamedTuple):
    """A number in one trace and in another.

    Attributes:
        area: Whose blocks are counted.
        callers: Of the function that takes memory; empty for a total.
        before: In the first trace.
        after: In the second.
    """

    area: str
    callers: Callers
    before: int
    after: int

    @property
    def difference(self) -> int:
        """How much more it is after than before; negative for less."""
        return self.after - self.before


class TraceDifference(NamedTuple):
    """Two traces compared.

    Attributes:
        measure: What was compared.
        totals: One for each area.
        changes: Of the stacks whose numbers differ, the greatest first, more before less.
    """

    measure: Measure
    totals: tuple[Growth, ...]
    changes: tuple[Growth, ...]

    @property
    def is_more(self) -> bool:
        """Whether an area has more after than before."""
        return any(total.difference > 0 for total in self.totals)


def compare(before: Trace, after: Trace, measure: Measure, areas: Sequence[str] = ()) -> TraceDifference:
    """Compare two traces.

    Args:
        before: The first.
        after: The second.
        measure: What to compare.
        areas: Only these; all if there are none. One that a trace does not have is empty there.
    """
    totals: list[Growth] = []
    changes: list[Growth] = []
    for area in areas or tuple(dict.fromkeys((*before.areas, *after.areas))):
        first, second = _by_callers(before, area, measure), _by_callers(after, area, measure)
        totals.append(Growth(area, (), first.total(), second.total()))
        changes.extend(
            Growth(area, callers, first[callers], second[callers])
            for callers in first.keys() | second.keys()
            if first[callers] != second[callers]
        )
    changes.sort(
        key=lambda change: (-abs(change.difference), -change.difference, change.area, change.callers)
    )
    return TraceDifference(measure, tuple(totals), tuple(changes))


def _by_callers(trace: Trace, area: str, measure: Measure) -> Counter[Callers]:
    result: Counter[Callers] = Counter()
    if area in trace.areas:
        for totals in trace.by_stack(area):
            frames = trace.frames(totals.stack)
            callers = tuple(Frame(0, frame.function, 0, frame.file, frame.line) for frame in frames)
            result[callers] += measure.of(totals)
    return result
