"""What the callers in one trace take more, or less, than in another.

Call stacks are matched by the functions and source lines in them. Addresses are left out of it, so that a kernel that has
been built anew can be compared with the one before.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.trace.queries.totals import Measure
    from emulator.trace.trace import Trace


class SourceFrame(NamedTuple):
    """A frame without its address: where in the sources it is.

    Attributes:
        function: Empty where it is not known.
        file: The same.
        line: 0 where it is not known.
    """

    function: str
    file: str
    line: int


Callers = tuple[SourceFrame, ...]
"""A call stack, innermost frame first; empty where it is not known."""


class Change(NamedTuple):
    """A number before and after.

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


class Difference(NamedTuple):
    """Two traces compared.

    Attributes:
        measure: What was compared.
        totals: One for each area.
        changes: Of the stacks whose numbers differ, the greatest first, more before less.
    """

    measure: Measure
    totals: tuple[Change, ...]
    changes: tuple[Change, ...]

    @property
    def is_more(self) -> bool:
        """Whether an area has more after than before."""
        return any(total.difference > 0 for total in self.totals)


def compare(before: Trace, after: Trace, measure: Measure, areas: Sequence[str] = ()) -> Difference:
    """Compare two traces.

    Args:
        before: The first.
        after: The second.
        measure: What to compare.
        areas: Only these; all if there are none. One that a trace does not have is empty there.
    """
    totals: list[Change] = []
    changes: list[Change] = []
    for area in areas or tuple(dict.fromkeys((*before.areas, *after.areas))):
        first, second = _by_callers(before, area, measure), _by_callers(after, area, measure)
        totals.append(Change(area, (), first.total(), second.total()))
        changes.extend(
            Change(area, callers, first[callers], second[callers])
            for callers in first.keys() | second.keys()
            if first[callers] != second[callers]
        )
    changes.sort(
        key=lambda change: (-abs(change.difference), -change.difference, change.area, change.callers)
    )
    return Difference(measure, tuple(totals), tuple(changes))


def _by_callers(trace: Trace, area: str, measure: Measure) -> Counter[Callers]:
    result: Counter[Callers] = Counter()
    if area in trace.areas:
        for totals in trace.by_stack(area):
            frames = trace.frames(totals.stack)
            callers = tuple(SourceFrame(frame.function, frame.file, frame.line) for frame in frames)
            result[callers] += measure.of(totals)
    return result
