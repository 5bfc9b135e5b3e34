"""Differences as a few lines."""

from __future__ import annotations

from emulator.report.text.difference_lines import difference_lines
from emulator.report.text.style import Style
from emulator.verdict.difference import Difference, Importance


def differences(failing: int, others: int = 0) -> list[Difference]:
    return [
        *(Difference(Importance.MORE, f"{number}", f"bad {number}") for number in range(failing)),
        *(Difference(Importance.LESS, f"{number}", f"good {number}") for number in range(others)),
    ]


def test_each_difference_is_a_line() -> None:
    assert difference_lines(differences(2, 1), Style()) == ["- bad 0", "- bad 1", "+ good 0"]
    assert difference_lines([], Style()) == []


def test_there_are_twenty_lines_at_most() -> None:
    assert difference_lines(differences(20), Style())[-1] == "- bad 19"
    lines = difference_lines(differences(21, 1000), Style())
    assert len(lines) == 20
    assert lines[-2:] == ["- bad 18", "  and 1,002 more, 2 of them regressions"]
    assert difference_lines(differences(1, 20), Style())[-1] == "  and 2 more"


def test_what_fails_is_red_and_names_are_harmless() -> None:
    lines = difference_lines([Difference(Importance.MORE, "k", "a\n\x1bb")], Style(colour=True))
    assert lines == ["\x1b[31m- a\\n\\x1bb\x1b[0m"]
