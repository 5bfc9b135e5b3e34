"""What became of a kernel when each of its allocations failed: a table for people, a document for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from emulator.inject.campaign import Verdict, ending_text
from emulator.report.text.call_text import argument_texts
from emulator.report.text.frame_text import stack_text
from emulator.report.text.style import BOLD, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.inject.campaign import Exhaustion, FailurePoint
    from emulator.profile.model import Profile, TracedFunction
    from emulator.report.text.style import Style

VERSION = 1
_WORST_FIRST = (Verdict.DIES, Verdict.HANGS, Verdict.UNKNOWN, Verdict.REPORTS, Verdict.SURVIVES)
_COLOURS = {
    Verdict.DIES: "31",
    Verdict.HANGS: "31",
    Verdict.UNKNOWN: "35",
    Verdict.REPORTS: "33",
    Verdict.SURVIVES: "32",
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
    """Return a line that counts, and the table: the worst first, failures of the same call with the same end together.

    Args:
        exhaustion: What to show.
        profile: What was recorded.
        kernel: As the user named it.
        style: What the output can show.
    """
    good = exhaustion.good
    yield from style.folded(f"{printable(kernel)}: {_counted(exhaustion)}")
    yield f"without a failure: {ending_text(good.exit_value)} after {good.instructions} instructions"
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
    which = f"{all_of_them}" if done == all_of_them else f"{done} of {all_of_them}"
    spread = "" if done == all_of_them else ", evenly spread"
    noun = "allocation" if all_of_them == 1 else "allocations"
    counts = [(exhaustion.count(verdict), _PAST[verdict]) for verdict in reversed(_WORST_FIRST)]
    text = ", ".join(f"{count} {verb}" for count, verb in counts if count)
    return f"{which} {noun} made to fail, one in each run{spread}" + (f": {text}" if text else "")


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


def exhaustion_document(exhaustion: Exhaustion, kernel: str, profile: str) -> dict[str, Any]:
    """Return all of it as plain data for JSON; one entry for each allocation that failed.

    Args:
        exhaustion: What to show.
        kernel: As the user named it.
        profile: Name of what was recorded.
    """
    good = exhaustion.good
    return {
        "version": VERSION,
        "kernel": kernel,
        "profile": profile,
        "good_run": {
            "ending": good.ending.value,
            "exit_value": good.exit_value,
            "instructions": good.instructions,
            "allocations": good.allocations,
        },
        "counts": {verdict.value: exhaustion.count(verdict) for verdict in Verdict},
        "failures": [_document(point) for point in exhaustion.points],
    }


def _document(point: FailurePoint) -> dict[str, Any]:
    call_site = point.call.call_site
    return {
        "allocation": point.number,
        "call": call_site.call,
        "function": call_site.function,
        "arguments": list(point.call.arguments),
        "result": point.call.result,
        "stack": [frame._asdict() for frame in call_site.backtrace],
        "verdict": point.verdict.value,
        "ending": point.ending,
        "place": point.location or None,
    }
