"""``kmemu trace``: record a kernel's allocations, show each call as a line."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from emulator.cli import option_values
from emulator.cli.machine_options import (
    UNINITIALISED,
    add_console,
    add_kernel,
    add_machine,
    add_profile,
    add_sanitize,
    add_until,
    check_sanitize,
    chosen_profile,
    given_for_a_run,
    new_machine,
    run_budget,
)
from emulator.cli.status import CommandLineError, Status, judge_ending
from emulator.cli.terminal.console import ErrorConsole
from emulator.cli.terminal.output import Output, complain
from emulator.cli.terminal.progress import activity
from emulator.errors import BudgetUsedUp
from emulator.run.ending import Ending, How

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterable, Iterator

    from emulator.machine.core.checked_accesses import CheckedAccesses
    from emulator.machine.core.observed import BadAccesses
    from emulator.machine.machine import Machine
    from emulator.machine.recording import Recording
    from emulator.profile.model import Profile
    from emulator.trace.queries.selection import Selection
    from emulator.trace.table import Call
    from emulator.trace.trace import Trace

USAGE = "kmemu trace [KERNEL.elf | firmware:NAME | TRACE.kmt] [options]"
DESCRIPTION = """\
Runs a kernel and shows each call that takes or gives back memory, as strace does
for system calls: arguments, result, and where it was called. Calls that a call makes
itself stand below it, indented. Given a trace, shows the calls in there."""
EPILOG = """\
ranges are A..B, A.., ..B or one number; sizes may end in K or M

examples:
  kmemu trace                                    the calls of firmware:demo
  kmemu trace firmware:stress -o run.kmt         record into a file, show a summary
  kmemu trace run.kmt --summary
  kmemu trace run.kmt --function kmalloc --size 1K..
  kmemu trace run.kmt --address 0x10b008 --json  calls on one block, as JSON lines
  kmemu trace firmware:overflow --calls 3 --insn what happens inside a call
  kmemu trace kernel.elf --profile kernel.toml   a kernel of your own
  kmemu trace kernel.elf --sanitize              with bad accesses, after the calls
"""
_TRACE_SUFFIX = ".kmt"
_TRACE_MAGIC = b"ARROW1"
_LIVE = "a run that is not kept"
_TOP = 5  # callers in a summary
_LINES_AT_ONCE = 5000


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add_kernel(parser, "ELF file, firmware:NAME, or a trace")
    add("-o", "--output", metavar="FILE", help="keep the trace in FILE, and show a summary instead of calls")
    add_profile(parser)
    _add_selection(parser)
    add_sanitize(parser.add_argument_group("what to look for"))
    output = parser.add_argument_group("output")
    output.add_argument("--summary", action="store_true", help="show a summary instead of calls")
    add_console(output)
    output.add_argument(
        "--json", action="store_true", help="a JSON object a line for each call, or one for the summary"
    )
    add_machine(parser)
    add_until(parser)


def _add_selection(parser: ArgumentParser) -> None:
    add = parser.add_argument_group("calls to show").add_argument
    add("--function", metavar="GLOB", action="append", default=[], help="of these functions (repeatable)")
    add(
        "--caller",
        metavar="GLOB",
        action="append",
        default=[],
        help="from below these functions (repeatable)",
    )
    add("--address", metavar="RANGE", type=option_values.bounds, help="on blocks that cover these addresses")
    add("--size", metavar="RANGE", type=option_values.bounds, help="of so many bytes")
    add("--events", metavar="RANGE", type=option_values.bounds, help="entered or left in these events")
    add("--calls", metavar="RANGE", type=option_values.bounds, help="with these numbers")
    add("--insn", action="store_true", help="with each instruction in them, and what it loads and stores")


def run(options: Namespace) -> Status:
    """Run the command."""
    output = Output()
    if _is_trace(options.kernel):
        return _show_trace(options, output)
    check_sanitize(options)
    if options.output is not None:
        _check_output(options.output)
        options.summary = not options.insn
        ending, has_findings = _record_and_show(options.output, options, output)
    else:
        import tempfile  # only here

        with tempfile.TemporaryDirectory(prefix="kmemu-") as folder:
            path = str(Path(folder) / f"run{_TRACE_SUFFIX}")
            ending, has_findings = _record_and_show(path, options, output)
    status, complaint = judge_ending(ending)
    if complaint:
        complain(complaint[0], complaint[1:])
    return Status.FINDINGS if has_findings and status is Status.GOOD else status


def _is_trace(name: str) -> bool:
    """Return whether a file is to be read as a trace: by its name, or by what it begins with."""
    if name.endswith(_TRACE_SUFFIX):
        return True
    try:
        with open(name, "rb") as stream:  # noqa: PTH123 - any name
            return stream.read(len(_TRACE_MAGIC)) == _TRACE_MAGIC
    except (OSError, ValueError):  # it may be no file's name
        return False


def _check_output(name: str) -> None:
    """See that a trace is not written over the summary that standard output gets."""
    if name == "-" or _is_standard_output(Path(name)):
        raise CommandLineError(f"-o {name}: a trace cannot go to standard output, which gets the summary")


def _is_standard_output(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):  # there is no such file yet, or no such stream
        return False


def _show_trace(options: Namespace, output: Output) -> Status:
    given = (
        ("-o", options.output),
        ("--insn", options.insn),
        ("--profile", options.profile),
        ("--sanitize", options.sanitize),
        ("--halt-on-error", options.halt_on_error),
    )
    option = next((option for option, value in given if value), given_for_a_run(options))
    if option:
        raise CommandLineError(f"{options.kernel} is a trace; {option} needs a kernel to run")
    _show(options.kernel, options.kernel, options, output)
    return Status.GOOD


class _Recorded(NamedTuple):
    """A run that was recorded.

    Attributes:
        ending: How it ended.
        machine: As the run left it.
        profile: What was recorded.
        accesses: The bad accesses; None: they were not checked.
    """

    ending: Ending
    machine: Machine
    profile: Profile
    accesses: BadAccesses | None


def _record_and_show(path: str, options: Namespace, output: Output) -> tuple[Ending, bool]:
    """Return how the run ended; if it was run twice, and well the first time, how the second run did. And whether accesses were bad."""
    recorded = _record(options, path)
    ending = recorded.ending
    if ending.how is How.INTERRUPTED:
        if ending.signal:  # not by Ctrl-C: nobody waits for it
            return ending, False
        complain("interrupted; what was recorded until then follows (Ctrl-C once more ends that)")
    has_findings = recorded.accesses is not None and bool(recorded.accesses.accesses)
    try:
        _show(path, options.output, options, output, recorded)
    except BudgetUsedUp as error:  # of the second run
        went_well = ending.is_whole or ending.how is How.INTERRUPTED
        return Ending(How.BUDGET, error=error) if went_well else ending, has_findings
    return ending, has_findings


def _record(options: Namespace, path: str) -> _Recorded:
    """Run the kernel and write its trace."""
    from emulator import __version__  # slow
    from emulator.run.recorded import record_run  # not for --help
    from emulator.trace.file.recorder import trace_header

    console = ErrorConsole(raw=options.raw) if options.console else None
    machine = new_machine(options, console)
    profile = chosen_profile(machine.image, options.profile)
    header = trace_header(
        machine,
        profile,
        kernel=options.kernel,
        version=__version__,
        command_line=options.words,
        layers={name: mode.value for name, mode in options.layer},
    )
    budget = run_budget(options)
    with activity("recording", "events") as so_far, ExitStack() as closing:
        checks: list[CheckedAccesses] = []

        def start(recording: Recording) -> None:
            if options.sanitize:
                from emulator.trace.checking import check_accesses  # few runs need it

                ends = _ends(machine, recording, path) if options.halt_on_error else None
                checked = check_accesses(
                    machine, profile, ends, uninitialised=options.sanitize == UNINITIALISED
                )
                checks.append(closing.enter_context(checked))

        ending = record_run(
            machine, path, header, budget, on_start=start, on_progress=so_far, with_memory_map=True
        )
        accesses = checks[0].seen() if checks else None
    if console is not None:
        console.end()
    return _Recorded(ending, machine, profile, accesses)


def _ends(machine: Machine, recording: Recording, path: str) -> Callable[[BadAccesses], bool]:
    """Return what ends a run before its first bad access."""
    from emulator.check.accesses.halting import ends_at  # few runs need it
    from emulator.run.recorded import trace_so_far

    return ends_at(machine, lambda: trace_so_far(recording, path))


def _show(
    path: str, name: str | None, options: Namespace, output: Output, recorded: _Recorded | None = None
) -> None:
    """Show the trace in a file, which has a name for people if it is kept, and of a run that was recorded now what was bad."""
    from emulator.report.text.findings import never_called_line
    from emulator.trace.trace import Trace  # has numpy

    trace = Trace.read(path)
    if not len(trace):
        complain(f"no call of {', '.join(function.name for function in trace.functions)} was seen")
    elif options.profile and trace.never_called:
        complain(never_called_line(trace.never_called))
    if options.summary:
        _show_summary(trace, name, output, as_json=options.json)
        _show_accesses(trace, recorded, output, as_json=options.json)
        return
    _show_calls(trace, options, output, None if recorded is None else recorded.profile)
    _show_accesses(trace, recorded, output, as_json=options.json)
    if trace.ending is not None and trace.ending.lacks:
        from emulator.report.text.lacks import lacks_line

        complain(lacks_line(trace.ending.lacks))


def _show_summary(trace: Trace, name: str | None, output: Output, *, as_json: bool) -> None:
    from emulator.report.documents.trace import trace_document
    from emulator.report.text.trace_summary import trace_lines
    from emulator.trace.queries.overview import overview

    facts = overview(trace, _TOP)
    if as_json:
        output.json(trace_document(trace, facts, name))
    else:
        output.lines(trace_lines(trace, facts, name or _LIVE, output.style))


def _show_accesses(trace: Trace, recorded: _Recorded | None, output: Output, *, as_json: bool) -> None:
    """Show bad accesses, if they were looked for: as in ``kmemu check``, or as an object a line."""
    if recorded is None or recorded.accesses is None:
        return
    from emulator.check.accesses.bad_accesses import bad_accesses  # few runs need it
    from emulator.report.documents.check import finding_document
    from emulator.report.text.findings import finding_lines, grouped

    if recorded.accesses.missed:
        complain("there were more bad accesses than are kept")
    found = bad_accesses(recorded.machine, recorded.accesses.accesses, trace)
    if as_json:
        output.lines(json.dumps({"finding": finding_document(each)}) for each in found)
    else:
        for same in grouped(found):
            output.lines(["", *finding_lines(same, output.style)])


def _show_calls(trace: Trace, options: Namespace, output: Output, profile: Profile | None) -> None:
    """Show the selected calls, some thousand lines at a time."""
    from emulator.trace.queries.selection import select

    mask = select(trace, _selection(options))
    if len(trace) and not mask.any():
        complain(f"none of the {len(trace)} calls is one of those that were asked for")
    if options.insn and profile is not None:
        lines = _with_instructions(trace, profile, trace.calls.chosen(mask), options, output)
    elif options.json:
        lines = map(json.dumps, _documents(trace, trace.calls.chosen(mask)))
    else:
        from emulator.report.text.calls import call_lines

        lines = call_lines(trace, mask, output.style)
    _write(lines, output)


def _write(lines: Iterable[str], output: Output) -> None:
    """Write some thousand lines at a time; what there is also where an error ends them."""
    some: list[str] = []
    try:
        for line in lines:
            some.append(line)
            if len(some) == _LINES_AT_ONCE:
                output.lines(some)
                some.clear()
    finally:
        output.lines(some)


def _documents(trace: Trace, calls: Iterable[Call]) -> Iterator[dict[str, Any]]:
    from emulator.report.documents.trace import call_document

    functions = {function.name: function for function in trace.functions}
    frames = cache(trace.frames)
    return (call_document(call, functions, frames(call.stack)) for call in calls)


def _with_instructions(
    trace: Trace, profile: Profile, calls: Iterable[Call], options: Namespace, output: Output
) -> Iterator[str]:
    """Run the kernel once more, and record the instructions of calls on the way."""
    from emulator.replay.engine import Replay
    from emulator.replay.instructions import calls_with_instructions
    from emulator.report.documents.trace import instruction_document
    from emulator.report.text.calls import call_layout, instruction_lines
    from emulator.trace.recording import record_calls

    recording = record_calls(new_machine(options, None), profile)
    replay = Replay(recording, profile, run_budget(options))
    layout, style = call_layout(trace, output.style), output.style
    for call, instructions, cut in calls_with_instructions(replay, calls):
        if options.json:
            (document,) = _documents(trace, [call])
            inside = {"instructions": list(map(instruction_document, instructions)), "whole": not cut}
            yield json.dumps(document | inside)
        else:
            yield layout.line(call)
            yield from instruction_lines(instructions, style)
            if cut:
                yield f"     ... (only {cut} of this call)"


def _selection(options: Namespace) -> Selection:
    from emulator.trace.queries.selection import Selection  # has numpy

    return Selection(
        functions=options.function,
        callers=options.caller,
        address=options.address,
        size=options.size,
        events=options.events,
        calls=options.calls,
    )
