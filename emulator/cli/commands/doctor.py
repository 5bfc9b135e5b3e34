"""``kmemu doctor``: whether kmemu works here as it is meant to, and at full speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.cli.status import Status
from emulator.cli.terminal.output import Output

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from emulator.machine.core.doctor import Fact
    from emulator.report.text.style import Style

USAGE = "kmemu doctor [--json]"
DESCRIPTION = """\
Tries what kmemu relies on in the installed Unicorn and in this host, and says
what holds and whether the fast paths are on. Takes less than a second."""
EPILOG = """\
exit status: 0 all of it holds, 1 something does not
"""

VERSION = 1
_NAME_WIDTH = 15


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")


def run(options: Namespace) -> Status:
    """Run the command."""
    from emulator.machine.core.doctor import examine

    facts = examine()
    output = Output()
    if options.json:
        output.json(_document(facts))
    else:
        output.lines(_lines(facts, output.style))
    return Status.GOOD if all(fact.holds for fact in facts) else Status.FINDINGS


def _is_fast(facts: list[Fact]) -> bool:
    speed = [fact.holds for fact in facts if fact.is_for_speed]
    return bool(speed) and all(speed)


def _document(facts: list[Fact]) -> dict[str, object]:
    return {
        "version": VERSION,
        "good": all(fact.holds for fact in facts),
        "fast": _is_fast(facts),
        "facts": [fact._asdict() for fact in facts],
    }


def _lines(facts: list[Fact], style: Style) -> Iterator[str]:
    from emulator.report.text.style import BOLD, GREEN, RED

    for fact in facts:
        text = f"{'ok' if fact.holds else 'NO':4}{fact.name:{_NAME_WIDTH}}{fact.text}"
        first, *more = style.folded(text, indent=4 + _NAME_WIDTH)
        yield style.paint(first[:2], GREEN if fact.holds else RED) + first[2:]
        yield from more
    yield ""
    yield from style.folded(_conclusion(facts))
    wrong = [fact.name for fact in facts if not fact.holds and not fact.is_for_speed]
    if wrong:
        yield style.paint("Some guests behave otherwise than on a PC.", BOLD)


def _conclusion(facts: list[Fact]) -> str:
    if _is_fast(facts):
        return "The fast paths are on."
    slow = [fact.name for fact in facts if fact.is_for_speed and not fact.holds]
    return f"The fast paths are off: {', '.join(slow)}." if slow else "kmemu cannot run kernels here."
