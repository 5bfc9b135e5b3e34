"""``kmemu report``: show a trace as a page for the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.cli.status import CommandLineError, Status
from emulator.cli.terminal.output import Output
from emulator.cli.terminal.output_file import whole_file
from emulator.cli.terminal.progress import show_stage
from emulator.cli.trace_files import output_path, read_trace, written_line

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from emulator.trace.trace import Trace

USAGE = "kmemu report TRACE.kmt [-o FILE.html] [options]"
DESCRIPTION = """\
Makes one HTML file that shows a trace: usage over time, a map of memory with a
time slider, flame graph, lifetimes, leaks. It needs no network."""
EPILOG = """\
examples:
  kmemu report run.kmt               writes run.html beside the trace
  kmemu report run.kmt --open        and shows it
  kmemu report run.kmt --json        prints the totals instead
"""
_TOP = 10  # callers of each area in the summary


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("trace", metavar="TRACE.kmt", help="the trace")
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="write to FILE (default: beside the trace, with the suffix .html)",
    )
    add("--area", metavar="NAME", help="show this area first; with --json: only this area")
    add("--open", action="store_true", help="open the page in the browser")
    add("--json", action="store_true", help="print a summary as one JSON document instead of making the page")


def run(options: Namespace) -> Status:
    """Run the command."""
    if options.json and (options.output or options.open):
        raise CommandLineError("--json prints to standard output; -o and --open are for the page")
    path = None if options.json else output_path(options.trace, options.output, ".html")
    try:
        show_stage("reading the trace")
        trace = read_trace(options.trace, options.area)
        if path is None:
            document = _summary(trace, options)
        else:
            _write_page(trace, path, options.area)
    finally:
        show_stage("")
    if path is None:
        Output().json(document)
        return Status.GOOD
    Output().lines([written_line(path, trace)])
    if options.open:
        import webbrowser

        webbrowser.open(Path(path).resolve().as_uri())
    return Status.GOOD


def _summary(trace: Trace, options: Namespace) -> dict[str, Any]:
    from emulator.report.documents.trace import trace_document
    from emulator.trace.queries.overview import overview

    facts = overview(trace, _TOP)
    if options.area is not None:
        facts = facts._replace(areas=tuple(area for area in facts.areas if area.name == options.area))
    return trace_document(trace, facts, options.trace)


def _write_page(trace: Trace, path: str, area: str | None) -> None:
    from emulator.report.html.page import report_page

    page = report_page(trace, area, show_stage)
    with whole_file(path) as stream:
        stream.write(page)
