"""``kmemu export``: write a trace in the format of another tool."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from emulator.cli import option_values
from emulator.cli.status import CommandLineError, Status
from emulator.cli.terminal.output import Output
from emulator.cli.terminal.output_file import whole_file
from emulator.cli.terminal.progress import progress
from emulator.cli.trace_files import output_path, read_trace, written_line

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import BinaryIO

    from emulator.trace.queries.totals import Measure
    from emulator.trace.trace import Trace

USAGE = "kmemu export TRACE.kmt --to FORMAT [options]"
DESCRIPTION = """\
Writes a trace in the format of another tool. The file appears when it is whole."""
EPILOG = """\
formats:
  perfetto     timeline of calls and live memory, for https://ui.perfetto.dev
  speedscope   flame graphs by caller, for https://www.speedscope.app
  folded       stacks for flamegraph.pl and the like
  csv          a row for each call
  parquet      the same with all columns of the trace, compressed

examples:
  kmemu export run.kmt --to perfetto           writes run.perfetto.json
  kmemu export run.kmt --to folded --area heap -o - | flamegraph.pl >heap.svg
"""
_STDOUT = "-"


class _Format(NamedTuple):
    """A format of another tool.

    Attributes:
        suffix: Suffix of the file.
        is_text: Whether it may go to standard output.
        has_areas: Whether it shows areas one by one.
        has_measures: Whether it shows what callers take.
        hint: What to do with the file.
    """

    suffix: str
    is_text: bool = True
    has_areas: bool = False
    has_measures: bool = False
    hint: str = ""


_FORMATS = {
    "perfetto": _Format(".perfetto.json", has_areas=True, hint="; open it at https://ui.perfetto.dev"),
    "speedscope": _Format(
        ".speedscope.json", has_areas=True, has_measures=True, hint="; open it at https://www.speedscope.app"
    ),
    "folded": _Format(".folded", has_areas=True, has_measures=True),
    "csv": _Format(".csv"),
    "parquet": _Format(".parquet", is_text=False),
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("trace", metavar="TRACE.kmt", help="the trace")
    add("--to", metavar="FORMAT", choices=tuple(_FORMATS), required=True, help=", ".join(_FORMATS))
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="write to FILE, - for standard output (default: beside the trace, with the format's suffix)",
    )
    add("--area", metavar="NAME", help="only this area (default: all)")
    add(
        "--measure",
        metavar="MEASURE",
        type=option_values.measure,
        help="what folded (default: peak) and speedscope (default: all) count: "
        "peak or end (live bytes then), calls, allocated (bytes in all)",
    )


def run(options: Namespace) -> Status:
    """Run the command."""
    form = _FORMATS[options.to]
    _check(options, form)
    trace = read_trace(options.trace, options.area)
    if options.output == _STDOUT:
        _write(trace, sys.stdout.buffer, options)
        return Status.GOOD
    path = output_path(options.trace, options.output, form.suffix)
    with whole_file(path) as stream:
        _write(trace, stream, options)
    Output().lines([written_line(path, trace, form.hint)])
    return Status.GOOD


def _check(options: Namespace, form: _Format) -> None:
    if options.area is not None and not form.has_areas:
        raise CommandLineError(f"--area is not for {options.to}, which holds the whole trace")
    if options.measure is not None and not form.has_measures:
        raise CommandLineError(f"--measure is not for {options.to}, only for speedscope and folded")
    if options.output == _STDOUT and not form.is_text:
        raise CommandLineError(f"{options.to} cannot go to standard output")


def _write(trace: Trace, stream: BinaryIO, options: Namespace) -> None:
    areas = trace.areas if options.area is None else (options.area,)
    with progress(f"writing {options.to}", len(trace)) as advance:
        match options.to:  # only the writer that is needed is imported
            case "perfetto":
                from emulator.report.exporters.perfetto import write_perfetto

                write_perfetto(trace, stream, areas, trace.header.kernel, advance)
            case "speedscope":
                from emulator.report.exporters.speedscope import write_speedscope

                write_speedscope(trace, stream, areas, _measures(options), trace.header.kernel)
            case "folded":
                from emulator.report.exporters.folded import write_folded

                write_folded(trace, stream, areas, _measures(options)[0])
            case "csv":
                from emulator.report.exporters.columns import write_csv

                write_csv(trace, stream, advance)
            case "parquet":
                from emulator.report.exporters.columns import write_parquet

                write_parquet(trace, stream, advance)
    stream.flush()


def _measures(options: Namespace) -> tuple[Measure, ...]:
    """Return the measure that was asked for, or all."""
    from emulator.trace.queries.totals import Measure  # `Trace` has imported it

    return tuple(Measure) if options.measure is None else (options.measure,)
