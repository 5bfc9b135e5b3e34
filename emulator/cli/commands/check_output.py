"""The outputs, limits and baseline of ``kmemu check``: options, files, and the result in all formats."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, NamedTuple

from emulator.cli import option_values
from emulator.cli.status import CommandLineError, OutputError, Status
from emulator.cli.terminal.output_file import check_writable, whole_file
from emulator.report.text.style import WIDTH_MAX, Style

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterable, Sequence

    from emulator.check.check_report import CheckReport
    from emulator.cli.terminal.output import Output
    from emulator.verdict.baseline import Baseline
    from emulator.verdict.limits import Limits
    from emulator.verdict.verdict import Verdict

    TextLines = Callable[[Style], Iterable[str]]

_FORMATS = ("text", "json", "junit", "sarif", "github")
_LINES = ("text", "github")  # whose lines may stand between others
_STDOUT = "-"
_HEAP = "heap"
_LIMITS = (
    (
        "--max-heap",
        "SIZE",
        option_values.area_size,
        "most bytes live at the peak of an area (default: heap), such as 64KiB (repeatable)",
    ),
    (
        "--max-leaked",
        "SIZE",
        option_values.area_size,
        "most bytes lost at the end in an area (default: in all together); leaks below are accepted",
    ),
    (
        "--max-fragmentation",
        "SHARE",
        option_values.area_share,
        "most of an area's gaps (default: of the heap) outside the largest one at the peak, 0 to 1",
    ),
)
_FILE_STYLE = Style(WIDTH_MAX, unicode=True)


class FormatOption(NamedTuple):
    """One ``--format``.

    Attributes:
        name: Of the format.
        path: Of the file; "-" for standard output.
    """

    name: str
    path: str


#: What ``--json`` stands for.
JSON = FormatOption("json", _STDOUT)


def _format_option(text: str) -> FormatOption:
    """Read ``FORMAT`` or ``FORMAT=FILE``."""
    name, equals, path = text.partition("=")
    if name not in _FORMATS:
        raise ArgumentTypeError(f"no format {name!r}; there are: {', '.join(_FORMATS)}")
    if equals and not path:
        raise ArgumentTypeError(f"{text!r} names no file")
    return FormatOption(name, path or _STDOUT)


def add_output_arguments(parser: ArgumentParser) -> None:
    """Add the options about where the result goes, and what it is compared with."""
    result = parser.add_argument_group("the result").add_argument
    result(
        "--format",
        metavar="FORMAT[=FILE]",
        dest="formats",
        type=_format_option,
        action="append",
        default=[],
        help="text, json, junit, sarif or github, to FILE or standard output (repeatable; default: text; "
        "text goes to standard output also if all others go to files)",
    )
    result("--baseline", metavar="FILE", help="compare with a run that was good")
    result("--update-baseline", action="store_true", help="write this run to the baseline; keeps tolerances")
    limits = parser.add_argument_group("limits")
    for option, value, kind, text in _LIMITS:
        limits.add_argument(
            option, metavar=f"[AREA=]{value}", type=kind, action="append", default=[], help=text
        )


def check_output_options(options: Namespace) -> None:
    """Check that the options can be followed, before anything runs.

    Raises:
        CommandLineError: They cannot.
    """
    formats = _targets(options)
    on_stdout = [each.name for each in formats if each.path == _STDOUT]
    if len(on_stdout) > 1 and not set(on_stdout) <= set(_LINES):
        raise CommandLineError(
            f"--format: {' and '.join(on_stdout)} cannot share standard output; give one a file: {on_stdout[-1]}=FILE"
        )
    if options.update_baseline and options.baseline is None:
        raise CommandLineError("--update-baseline needs --baseline FILE")
    if options.baseline == _STDOUT:
        raise CommandLineError("--baseline needs a file")
    taken = {os.path.realpath(name): what for what, name in _inputs(options)}
    for name, path in formats:
        if path == _STDOUT:
            continue
        real = os.path.realpath(path)
        if real in taken:
            raise CommandLineError(f"--format {name}={path}: {path} is {taken[real]}")
        if os.path.isfile(real) or not os.path.exists(real):  # noqa: PTH110, PTH113 - os.path takes any name
            taken[real] = f"that of {name} already"


def check_output_files(options: Namespace) -> None:
    """Check that all files can be written, before anything runs.

    Raises:
        OutputError: One cannot.
    """
    for _, path in options.formats:
        if path != _STDOUT:
            check_writable(path)
    if options.update_baseline:
        check_writable(options.baseline)


def _inputs(options: Namespace) -> list[tuple[str, str]]:
    inputs = [
        ("the kernel itself", getattr(options, "kernel", None)),
        ("the profile", getattr(options, "profile", None)),
        ("the file of suppressions", getattr(options, "suppressions", None)),
        ("the baseline", options.baseline),
    ]
    return [(what, name) for what, name in inputs if name is not None]


def limits_of(options: Namespace) -> Limits:
    """Return the limits of the command line. Check them against the areas before anything runs."""
    from emulator.verdict.limits import ALL_AREAS, Limits  # not for --help

    return Limits(
        {area or _HEAP: size for area, size in options.max_heap},
        {area or ALL_AREAS: size for area, size in options.max_leaked},
        {area or _HEAP: share for area, share in options.max_fragmentation},
    )


def baseline_of_options(options: Namespace) -> Baseline | None:
    """Read the baseline; None if there is none, or if it is to be made.

    Raises:
        BadFile: The file cannot be read, or it is no baseline.
    """
    if options.baseline is None:
        return None
    if options.update_baseline and not os.path.lexists(options.baseline):
        return None
    from emulator.verdict.baseline_file import read_baseline  # few runs need it

    return read_baseline(options.baseline)


def update_baseline(options: Namespace, report: CheckReport, old: Baseline | None) -> Baseline:
    """Write a run to the baseline's file, whole or not at all, and return it as a baseline. Tolerances stay.

    Args:
        options: The options, with the file's name.
        report: The report of a run that the kernel ended by itself.
        old: What was in the file, from `baseline_of_options`.

    Raises:
        OutputError: It cannot be written.
    """
    from emulator.verdict.baseline import FIRST_TOLERANCES, baseline_of
    from emulator.verdict.baseline_file import baseline_text

    tolerances = FIRST_TOLERANCES if old is None else old.tolerances
    baseline = baseline_of(report, tolerances)
    with whole_file(options.baseline) as stream:
        stream.write(baseline_text(baseline).encode())
    return baseline


def write_outputs(options: Namespace, verdict: Verdict, status: int, text: TextLines, output: Output) -> None:
    """Write the result in all formats. One that cannot be written keeps no other from being written.

    Args:
        options: Options that were checked.
        verdict: The judged report.
        status: Exit status of the command.
        text: Returns the result as lines of text.
        output: Standard output.

    Raises:
        OutputError: A file cannot be written.
    """
    failed: OutputError | None = None
    targets = sorted(_targets(options), key=lambda each: each.path == _STDOUT)  # whose reader may have left
    for name, path in targets:
        if path == _STDOUT and name == "text":
            output.lines(text(output.style))
            continue
        content = _lines(text(_FILE_STYLE)) if name == "text" else _content(name, verdict, status)
        if path == _STDOUT:
            output.end_line()
            output.raw(content)
            continue
        try:
            with whole_file(path) as stream:
                stream.write(content)
        except OutputError as error:
            failed = failed or error
    if failed is not None:
        raise failed


def _content(name: str, verdict: Verdict, status: int) -> bytes:
    """Return the result in a format of other programs. Only the module that is needed is imported."""
    match name:
        case "json":
            from emulator.report.documents.check import check_document

            return _json(check_document(verdict, status))
        case "junit":
            from emulator.report.ci.junit import junit_xml

            return junit_xml(verdict)
        case "sarif":
            from emulator import __version__
            from emulator.report.ci.sarif import sarif_document

            ran = status in (Status.GOOD, Status.FINDINGS)
            return _json(sarif_document(verdict, status, _root(), __version__, ran=ran))
        case _:
            from emulator.report.ci.github import github_lines

            return _lines(github_lines(verdict, _root()))


def _json(document: object) -> bytes:
    import json  # not for text

    return (json.dumps(document, indent=2) + "\n").encode()


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _root() -> str:
    """Return the top of the repository: names of source files count from there."""
    return os.environ.get("GITHUB_WORKSPACE") or os.environ.get("CI_PROJECT_DIR") or os.getcwd()  # noqa: PTH109


def _targets(options: Namespace) -> Sequence[FormatOption]:
    """Return the formats that are asked for, and text where all others go to files: somebody wants to read something."""
    formats: list[FormatOption] = options.formats
    if any(each.path == _STDOUT or each.name == "text" for each in formats):
        return formats
    return [FormatOption("text", _STDOUT), *formats]
