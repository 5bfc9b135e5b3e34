"""Differences from a baseline and from limits, as a few lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.report.text.style import GREEN, RED
from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.report.text.style import Style
    from emulator.verdict.difference import Difference

MOST_LINES = 20


def difference_lines(differences: Sequence[Difference], style: Style, most: int = MOST_LINES) -> list[str]:
    """Return differences as lines: what fails begins with ``-``, what does not with ``+``.

    Args:
        differences: The most important first.
        style: What the output can show.
        most: Lines at most; the last one says how many there are more.
    """
    shown = len(differences) if len(differences) <= most else most - 1
    lines = [_line(each, style) for each in differences[:shown]]
    rest = differences[shown:]
    if rest:
        failing = sum(each.fails for each in rest)
        which = f", {failing:,} of them regressions" if failing else ""
        lines.append(f"  and {len(rest):,} more{which}")
    return lines


def _line(difference: Difference, style: Style) -> str:
    sign, colour = ("-", RED) if difference.fails else ("+", GREEN)
    return style.paint(f"{sign} {printable(difference.text)}", colour)
