"""Write a campaign of fault injection as a table: what became of the kernel when each of its allocations failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.inject.campaign import Verdict, brief_ending
from emulator.report.text.calls import argument_texts
from emulator.report.text.frames import stack_text
from emulator.report.text.style import BOLD, GREEN, RED
from emulator.wording import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.inject.campaign import Exhaustion, FailurePoint
    from emulator.profile.model import Profile, TracedFunction
    from emulator.report.text.style import Style

_WORST_FIRST = (Verdict.DIES, Verdict.HANGS, Verdict.UNKNOWN, Verdict.REPORTS, Verdict.SURVIVES)
_COLOURS = {
    Verdict.DIES: RED,
    Verdict.HANGS: RED,
    Verdict.UNKNOWN: "35",
    Verdict.REPORTS: "33",
    Verdict.SURVIVES: GREEN,
}
_PAST = {
    Verdict.DIES: "died",
    Verdict.HANGS: "hung",
    Verdict.UNKNOWN: "not known",
    Verdict.REPORTS: "reported it",
    Verdict.SURVIVES: "survived",
}
_EXPLAINED = (Verdict.DIES, Verdict.HANGS, Verdict.UNKNOWN)


class _Row(NamedTuple):
    """Failures that are alike: of one function with one call stack, with the same end.

    Attributes:
        points: All of them, in order.
    """

    points: tuple[FailurePoint, ...]

    @property
    def verdict(self) -> Verdict:
        """What became of the kernel."""
        return self.points[0].verdict

    def end(self) -> str:
        """Return the verdict, with what a kernel said that noticed."""
        first = self.points[0]
        return f"reports ({first.ending})" if first.verdict is Verdict.REPORTS else first.verdict.value

    def call(self, function: TracedFunction) -> str:
        """Return the function with its arguments; those that differ as a range."""
        least, most = (
            argument_texts(function, [pick(values) for values in self._arguments()], None)
            for pick in (min, max)
        )
        texts = (low if low == high else f"{low}..{high}" for low, high in zip(least, most, strict=True))
        return f"{printable(function.name)}({', '.join(texts)})"

    def _arguments(self) -> Iterator[tuple[int, ...]]:
        return zip(*(point.call.arguments for point in self.points), strict=True)


def exhaustion_lines(exhaustion: Exhaustion, profile: Profile, kernel: str, style: Style) -> Iterator[str]:
    """Yield a line that counts, and the table: the worst first, failures of the same call with the same end together.

    Args:
        exhaustion: The campaign.
        profile: What was recorded.
        kernel: As the user named it.
        style: What the output can show.
    """
    good = exhaustion.good
    yield from style.folded(f"{printable(kernel)}: {_counted(exhaustion)}")
    yield f"without a failure: {brief_ending(good.ending)} after {good.instructions} instructions"
    if not exhaustion.points:
        return
    functions = {each.name: each for each in profile.functions}
    rows = _rows(exhaustion)
    calls = [row.call(functions[row.points[0].call.call_site.function]) for row in rows]
    end, call = max(len(row.end()) for row in rows), max(map(len, calls))
    end, call = max(end, len("verdict")), max(call, len("call"))
    yield ""
    yield style.paint(f"{'count':>5}  {'verdict':<{end}}  {'call':<{call}}  called from", BOLD)
    for row, text in zip(rows, calls, strict=True):
        painted = style.paint(f"{row.end():<{end}}", _COLOURS[row.verdict])
        where = stack_text(row.points[0].call.call_site.backtrace)
        yield f"{len(row.points):>5}  {painted}  {text:<{call}}  {style.cut(where, 11 + end + call)}"
        if row.verdict in _EXPLAINED:
            yield from style.folded(" " * 9 + _death(row.points[0]), indent=11)


def _counted(exhaustion: Exhaustion) -> str:
    done, all_of_them = len(exhaustion.points), exhaustion.good.allocations
    part, spread = ("", "") if done == all_of_them else (f"{done} of ", ", evenly spread")
    counts = [(exhaustion.count(verdict), _PAST[verdict]) for verdict in reversed(_WORST_FIRST)]
    text = ", ".join(f"{count} {verb}" for count, verb in counts if count)
    return f"{part}{counted(all_of_them, 'allocation')} made to fail, one in each run{spread}" + (
        f": {text}" if text else ""
    )


def _rows(exhaustion: Exhaustion) -> list[_Row]:
    rows: dict[tuple[object, ...], list[FailurePoint]] = {}
    for point in exhaustion.points:
        call_site = point.call.call_site
        rows.setdefault((point.verdict, point.ending, call_site.function, call_site.backtrace), []).append(
            point
        )
    found = [_Row(tuple(points)) for points in rows.values()]
    return sorted(found, key=lambda row: (_WORST_FIRST.index(row.verdict), row.points[0].number))


def _death(point: FailurePoint) -> str:
    where = f" at {printable(point.location)}" if point.location else ""
    return f"allocation {point.number}: {printable(point.ending)}{where}"
