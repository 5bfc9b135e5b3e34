"""Write the comparison of two traces as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.report.text.frames import callers_text
from emulator.report.text.style import BOLD, GREEN, RED, rule
from emulator.trace.queries.totals import Measure
from emulator.wording import counted, human_size, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.report.text.style import Style
    from emulator.trace.queries.difference import Growth, TraceDifference

_TITLES = {
    Measure.PEAK: "live bytes at the peak",
    Measure.END: "live bytes at the end",
    Measure.CALLS: "calls that took memory",
    Measure.ALLOCATED: "bytes taken in all",
}
_COLUMNS = f"{'difference':>12} {'before':>10} {'after':>10}  "


def difference_lines(
    difference: TraceDifference, before: str, after: str, top: int, style: Style
) -> Iterator[str]:
    """Yield the comparison, line by line.

    Args:
        difference: What was found.
        before: The first trace, as the user named it.
        after: The second.
        top: How many stacks to show.
        style: What the output can show.
    """
    measure = difference.measure
    yield rule(f"{printable(before)} -> {printable(after)}", style)
    yield style.paint(style.cut(f"{_COLUMNS}{_TITLES[measure]}"), BOLD)
    for total in difference.totals:
        yield _line(total, f"{printable(total.area)} in all", measure, style)
    if not difference.changes:
        yield "no caller takes more or less"
        return
    yield style.paint(f"{_COLUMNS}by callers", BOLD)
    several = len(difference.totals) > 1
    for change in difference.changes[:top]:
        area = f"{printable(change.area)}: " if several else ""
        yield _line(change, area + callers_text(change.callers), measure, style)
    rest = len(difference.changes) - top
    if rest > 0:
        yield f"and {counted(rest, 'more stack')} (--top shows more)"


def _line(change: Growth, text: str, measure: Measure, style: Style) -> str:
    sign = "+" if change.difference > 0 else "-" if change.difference < 0 else ""
    number = f"{sign}{_number(abs(change.difference), measure)}"
    numbers = f" {_number(change.before, measure):>10} {_number(change.after, measure):>10}  "
    colour = {"+": RED, "-": GREEN}.get(sign, "")
    return (
        style.paint(f"{number:>12}", colour) + numbers + style.cut(text, max(len(number), 12) + len(numbers))
    )


def _number(number: int, measure: Measure) -> str:
    return human_size(number) if measure.is_bytes else str(number)
