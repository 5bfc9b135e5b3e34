"""``kmemu report``: a trace as a page for the browser."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.cli.status import CommandLineError, Status
from emulator.cli.terminal.output import Output
from emulator.cli.terminal.output_file import whole_file
from emulator.wording import printable

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
    """Say what the command line may hold."""
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
    path = None if options.json else _path(options)
    try:
        trace = _read(options)
        if path is None:
            document = _summary(trace, options)
        else:
            _write_page(trace, path, options.area)
    finally:
        _tell("")
    if path is None:
        Output().json(document)
        return Status.GOOD
    Output().lines([f"wrote {printable(path)}{'' if trace.complete else '; the trace is incomplete'}"])
    if options.open:
        import webbrowser

        webbrowser.open(Path(path).resolve().as_uri())
    return Status.GOOD


def _read(options: Namespace) -> Trace:
    from emulator.trace.trace import Trace  # not for --help

    _tell("reading the trace")
    trace = Trace.read(options.trace)
    if options.area is not None and options.area not in trace.areas:
        raise CommandLineError(f"no area {options.area!r} in the trace; there are: {', '.join(trace.areas)}")
    return trace


def _path(options: Namespace) -> str:
    trace = Path(options.trace)
    path = options.output or str(trace.with_name(trace.name.removesuffix(".kmt") + ".html"))
    if Path(path).exists() and trace.exists() and Path(path).samefile(trace):
        raise CommandLineError(f"{path} is the trace itself")
    return path


def _summary(trace: Trace, options: Namespace) -> dict[str, Any]:
    from emulator.report.documents.trace import trace_document
    from emulator.trace.queries.overview import overview

    facts = overview(trace, _TOP)
    if options.area is not None:
        facts = facts._replace(areas=tuple(area for area in facts.areas if area.name == options.area))
    return trace_document(trace, facts, options.trace)


def _write_page(trace: Trace, path: str, area: str | None) -> None:
    from emulator.report.html.page import report_page

    page = report_page(trace, area, _tell)
    with whole_file(path) as stream:
        stream.write(page)


def _tell(stage: str) -> None:
    """Show on a terminal what takes time now, in place of what it said before; "" takes it away."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{stage}", end="", file=sys.stderr, flush=True)
