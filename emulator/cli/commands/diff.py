"""``kmemu diff``: show which callers allocate more in one trace than in another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.cli import option_values
from emulator.cli.status import CommandLineError, Status
from emulator.cli.terminal.output import Output

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from emulator.trace.trace import Trace

USAGE = "kmemu diff BEFORE.kmt AFTER.kmt [options]"
DESCRIPTION = """\
Compares what the callers in two traces take. Call stacks are matched by the
functions and source lines in them, so that the traces may come from different
builds of a kernel."""
EPILOG = """\
examples:
  kmemu diff old.kmt new.kmt                   by live bytes at each area's peak
  kmemu diff old.kmt new.kmt --by end --area heap --fail-if-more

exit status:
  0, or with --fail-if-more 1 if an area has more in AFTER
"""
_TOP = 20


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("before", metavar="BEFORE.kmt", help="the first trace")
    add("after", metavar="AFTER.kmt", help="the second trace")
    add("--area", metavar="NAME", help="only this area (default: all)")
    add(
        "--by",
        metavar="MEASURE",
        type=option_values.measure,
        default="peak",
        help="peak or end (live bytes then), calls, allocated (bytes in all); default: peak",
    )
    add(
        "--top",
        metavar="N",
        type=option_values.count,
        help=f"show so many stacks (default: {_TOP}; with --json all)",
    )
    add("--fail-if-more", action="store_true", help="exit with status 1 if an area has more in AFTER")
    add("--json", action="store_true", help="print one JSON document instead")


def run(options: Namespace) -> Status:
    """Run the command."""
    # Imported here so that the other commands need not wait for it.
    from emulator.report.documents.trace import difference_document
    from emulator.report.text.trace_difference import difference_lines
    from emulator.trace.queries.difference import compare
    from emulator.trace.trace import Trace

    before, after = Trace.read(options.before), Trace.read(options.after)
    areas = _areas(options.area, before, after)
    difference = compare(before, after, options.by, areas)
    output = Output()
    names = options.before, options.after
    if options.json:
        output.json(difference_document(difference, *names, options.top))
    else:
        output.lines(difference_lines(difference, *names, options.top or _TOP, output.style))
    return Status.FINDINGS if options.fail_if_more and difference.is_more else Status.GOOD


def _areas(area: str | None, before: Trace, after: Trace) -> tuple[str, ...]:
    known = tuple(dict.fromkeys((*before.areas, *after.areas)))
    if area is None:
        return known
    if area not in known:
        raise CommandLineError(f"neither trace has an area {area!r}; there are: {', '.join(known)}")
    return (area,)
