"""Write what a kernel's functions were taken for as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.report.text.style import BOLD, labelled
from emulator.wording import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.profile.discovery.areas import DraftArea
    from emulator.report.text.style import Style


def discovery_lines(file: str, areas: Sequence[DraftArea], command: str, style: Style) -> Iterator[str]:
    """Yield a summary of a profile.

    Args:
        file: The profile that was written.
        areas: What it consists of.
        command: That uses it.
        style: Of the output.
    """
    functions = [each for area in areas for each in area.suggestions]
    taken = [each for each in functions if each.is_taken]
    in_comments = len(functions) - len(taken)
    rest = f"; {counted(in_comments, 'function')} more in comments" if in_comments else ""
    yield style.paint(printable(file), BOLD) + f": {counted(len(taken), 'function')}{rest}"
    for area in areas:
        there = [each for each in area.suggestions if each.is_taken]
        if there:
            sureness = min(each.sureness for each in there).name.lower()
            names = ", ".join([each.name for each in there] + [f"{each} (seeds)" for each in area.seeds])
            yield from labelled(area.name, f"{sureness}: {printable(names)}", style, indent=14)
    yield f"next: {printable(command)}"
