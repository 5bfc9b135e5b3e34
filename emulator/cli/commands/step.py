"""``kmemu step``: go through a kernel's run call by call, forwards and backwards."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from emulator.cli.machine_options import (
    DEFAULT_TIMEOUT_S,
    UNINITIALISED,
    add_kernel,
    add_machine,
    add_profile,
    add_sanitize,
    check_halt_on_error,
    new_machine,
    profile_if_known,
)
from emulator.cli.status import CommandLineError, Status
from emulator.cli.terminal.output import Output
from emulator.cli.terminal.signals import ENDING, Interrupted

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Sequence

    from emulator.check.findings import Finding
    from emulator.debug import Debugger
    from emulator.debug.step.step_app import StepApp
    from emulator.debug.timeline import Timeline
    from emulator.debug.writer import Writer
    from emulator.machine.machine import Machine
    from emulator.replay.moment import Moment
    from emulator.report.text.style import Style

USAGE = "kmemu step [KERNEL.elf | firmware:NAME] [options]"
DESCRIPTION = """\
Runs a kernel once, then opens a program on the terminal that goes anywhere in
the run, forwards and backwards: to calls of its memory management, if a profile
says which functions these are, by source lines and instructions, to breakpoints
and bad accesses; and shows memory, variables, tasks, and who wrote what. Needs
a terminal, unless --print or --who is given."""
EPILOG = """\
examples:
  kmemu step firmware:overflow                          ? shows the keys
  kmemu step firmware:overflow --at 18                  opens after event 18
  kmemu step firmware:overflow --at @3387               or after instructions
  kmemu step firmware:overflow --at 18 --print          prints instead
  kmemu step firmware:overflow --who memmap+8 --json    who wrote there last?
  kmemu step firmware:overflow --sanitize               opens at a bad access
  kmemu step firmware:overflow --sanitize --who 0x10b020    was it a bad one?
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add_kernel(parser)
    add_profile(parser)
    where = parser.add_argument_group("where and what")
    add_sanitize(where)
    add = where.add_argument
    add(
        "--at",
        metavar="EVENT|@N",
        type=_place,
        help="after this event, or where N instructions have been executed (default: event 0, or with --who the end, with --sanitize the last one before the first bad access)",
    )
    add("--print", action="store_true", dest="show", help="print what is to be seen after it, and stop")
    add("--who", metavar="ADDRESS", help="name the instruction that wrote this word last before it, and stop")
    add("--json", action="store_true", help="with --print or --who: one JSON document and nothing else")
    add_machine(parser)


def _place(text: str) -> int | Moment:
    from emulator.debug.timeline import read_place

    try:
        return read_place(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def run(options: Namespace) -> Status:
    """Run the command."""
    from emulator.debug import Debugger  # not for --help
    from emulator.run.ending import Budget

    _check(options)
    machine = new_machine(options, None)
    profile = profile_if_known(machine.image, options.profile, is_needed=bool(options.sanitize))
    address = None if options.who is None else _address(options.who, machine)
    sanitize = UNINITIALISED if options.sanitize == UNINITIALISED else bool(options.sanitize)
    budget = Budget(options.max_instructions, options.timeout)
    with Debugger(machine, profile, sanitize=sanitize, budget=budget) as debugger:
        if address is not None and not options.sanitize:
            _name_writer(debugger, address, options)
        elif options.show or address is not None:
            _answer(_recorded(debugger, options), address, options)
        else:
            _open(debugger, options)
    return Status.GOOD


def _recorded(debugger: Debugger, options: Namespace) -> Timeline:
    from emulator.debug.timeline import Timeline

    timeline = Timeline(debugger)
    _record(timeline, options)
    return timeline


def _record(timeline: Timeline, options: Namespace) -> None:
    """Record the run, without limits only until the kernel waits: then most have done what they do by themselves."""
    is_limited = options.max_instructions is not None or options.timeout is not DEFAULT_TIMEOUT_S
    timeline.record(to_finding=options.halt_on_error, until_idle=not is_limited)


def _go_to(timeline: Timeline, place: int | Moment) -> None:
    try:
        timeline.go_to_place(place)
    except ValueError as error:
        raise CommandLineError(str(error)) from error


def _first_place(timeline: Timeline, options: Namespace) -> int | Moment:
    """Return where to begin."""
    if options.at is not None:
        at: int | Moment = options.at
        return at
    return timeline.bad_accesses.next_event(0) or 0


def _check(options: Namespace) -> None:
    check_halt_on_error(options)
    if options.show and options.who is not None:
        raise CommandLineError("--print and --who cannot both be had")
    scripted = options.show or options.who is not None
    if options.json and not scripted:
        raise CommandLineError("--json goes with --print or --who")
    if options.mmu == "reference":
        raise CommandLineError("step needs kmemu's MMU: with --memory reference nobody tells what is written")
    is_terminal = (
        sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    )
    if not scripted and not is_terminal:
        raise CommandLineError("step needs a terminal; --print and --who do without")


def _address(text: str, machine: Machine) -> int:
    from emulator.debug.addresses import read_address

    try:
        return read_address(text, machine.image)
    except ValueError as error:
        raise CommandLineError(str(error)) from error


def _answer(timeline: Timeline, address: int | None, options: Namespace) -> None:
    """Print what was asked for: who wrote to *address*, or all there is to see."""
    if address is None:
        _go_to(timeline, _first_place(timeline, options))
        _print_view(timeline, options)
        return
    if options.at is None:
        timeline.go_to_end()
    else:
        _go_to(timeline, options.at)
    writer = _writer(timeline.debugger, address)
    _show_writer(writer, None if writer is None else timeline.bad_accesses.of_write(writer), address, options)


def _name_writer(debugger: Debugger, address: int, options: Namespace) -> None:
    """Print who wrote a word last; no list of calls is needed for that."""
    from emulator.debug.timeline import arrive

    if options.at is None:
        debugger.end_here(debugger.run())
    else:
        try:
            arrive(debugger, options.at)
        except ValueError as error:
            raise CommandLineError(str(error)) from error
    _show_writer(_writer(debugger, address), None, address, options)


def _writer(debugger: Debugger, address: int) -> Writer | None:
    from emulator.debug.writer import last_writer
    from emulator.guest.locator import Locator

    try:
        return last_writer(debugger, Locator(debugger.machine), address)
    except ValueError as error:
        raise CommandLineError(str(error)) from error


def _print_view(timeline: Timeline, options: Namespace) -> None:
    from emulator.debug.step.variable_lines import scopes_and_structures, scopes_only
    from emulator.debug.step.view import ViewReader, Wanted
    from emulator.debug.step.view_document import view_document
    from emulator.debug.step.view_text import view_lines
    from emulator.wording import printable

    output = Output()
    opens = scopes_and_structures if options.json else scopes_only
    view = ViewReader(timeline).read(Wanted(opens=opens))
    findings = timeline.bad_accesses.findings
    if options.json:
        document = view_document(view, timeline.profile.functions)
        if options.sanitize:
            from emulator.report.documents.check import finding_document  # few runs need it

            document["findings"] = list(map(finding_document, findings))
        name = timeline.profile.name if timeline.profile.functions else None
        output.json({"profile": name, **document})
    else:
        output.lines(view_lines(view, output.style))
        if options.sanitize:
            output.lines(_access_lines(findings, timeline.event, output.style))
        output.lines(["", f"profile {printable(timeline.profile.title)}"])


def _access_lines(findings: Sequence[Finding], event: int, style: Style) -> Iterator[str]:
    """Yield the bad accesses of a run as a pane; those right after an event as a whole."""
    from emulator.report.text.findings import finding_lines
    from emulator.report.text.style import rule
    from emulator.wording import printable

    yield ""
    yield rule("Bad accesses", style)
    for each in findings:
        if each.call_site is not None and each.call_site.event == event:
            yield from finding_lines([each], style)
        elif each.call_site is not None:
            yield f"after event {each.call_site.event}: {printable(each.message)}"
    if not findings:
        yield "none"


def _show_writer(writer: Writer | None, bad: Finding | None, address: int, options: Namespace) -> None:
    from emulator.debug.step.view_document import writer_document
    from emulator.debug.step.view_text import writer_lines

    output = Output()
    if options.json:
        document = None if writer is None else writer_document(writer)
        if document is not None and options.sanitize:
            from emulator.report.documents.check import finding_document  # few runs need it

            document["finding"] = None if bad is None else finding_document(bad)
        output.json(document)
    elif writer is None:
        output.lines([f"nobody has written to 0x{address:08x} since the start"])
    else:
        output.lines(writer_lines(writer, bad, output.style))


def _open(debugger: Debugger, options: Namespace) -> None:
    """Open the program on the terminal."""
    import asyncio  # not for --help

    from emulator.debug.step.step_app import StepApp
    from emulator.debug.timeline import Timeline

    timeline = Timeline(debugger)

    def begin() -> None:
        _record(timeline, options)
        try:
            timeline.go_to_place(_first_place(timeline, options))
        except ValueError:  # the run is shorter
            timeline.go_to_end()

    app = StepApp(timeline, begin, Output().style)
    number = asyncio.run(_session(app))
    if number is not None:
        raise Interrupted(number)


async def _session(app: StepApp) -> int | None:
    """Let a person work with the program; return the signal that ended it, if one did."""
    import asyncio  # has been imported by now

    received: list[int] = []

    def end(number: int) -> None:
        received.append(number)
        app.leave()

    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, end, number)
    try:
        await app.run_async()
    finally:
        await app.finish()
    return received[0] if received else None
