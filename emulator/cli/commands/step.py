"""``kmemu step``: go through a kernel's run call by call, forwards and backwards."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from emulator.cli.machine_options import (
    UNINITIALISED,
    add_kernel,
    add_machine,
    add_profile,
    add_sanitize,
    check_halt_on_error,
    chosen_profile,
    new_machine,
)
from emulator.cli.status import CommandLineError, Status
from emulator.cli.terminal.output import Output
from emulator.cli.terminal.signals import ENDING, Interrupted

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator, Sequence

    from emulator.check.findings import Finding
    from emulator.debug.step.step_app import StepApp
    from emulator.debug.writer import Writer
    from emulator.guest.memory_map.regions import Span
    from emulator.machine.core.observed import BadAccesses
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.replay.timeline import Timeline
    from emulator.report.text.style import Style

USAGE = "kmemu step [KERNEL.elf | firmware:NAME] [options]"
DESCRIPTION = """\
Runs a kernel once, then opens a program on the terminal that goes to any call
of its memory management and shows what the call changed. Needs a terminal,
unless --print or --who is given."""
EPILOG = """\
examples:
  kmemu step firmware:overflow                          ? shows the keys
  kmemu step firmware:overflow --at 18                  opens after event 18
  kmemu step firmware:overflow --at 18 --print          prints instead
  kmemu step firmware:overflow --who memmap+8 --json    who wrote there last?
  kmemu step firmware:overflow --sanitize               opens before a bad access
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
        metavar="EVENT",
        type=_event,
        help="after this event (default: 0, or with --who the end, with --sanitize the last one before the first bad access)",
    )
    add("--print", action="store_true", dest="show", help="print what is to be seen after it, and stop")
    add("--who", metavar="ADDRESS", help="name the instruction that wrote this word last before it, and stop")
    add("--json", action="store_true", help="with --print or --who: one JSON document and nothing else")
    add_machine(parser)


def _event(text: str) -> int:
    if not text.isdecimal() or len(text) > len(str(1 << 32)):
        raise ArgumentTypeError(f"{text!r} is no number of an event")
    return int(text)


def run(options: Namespace) -> Status:
    """Run the command."""
    from emulator.replay.timeline import Timeline  # not for --help

    _check(options)
    machine = new_machine(options, None)
    profile = chosen_profile(machine.image, options.profile)
    modules = machine.modules

    if options.who is not None and not options.sanitize:
        _name_writer(machine, profile, options)
        return Status.GOOD
    run = _Run(Timeline(machine, profile), options)
    if options.show or options.who is not None:
        address = None if options.who is None else _address(options.who, machine)
        run.record()
        _answer(run, options, address, modules)
    else:
        _open(run, modules)
    return Status.GOOD


class _Run:
    """The run that is gone through, with its bad accesses if they are looked for.

    Args:
        timeline: Not recorded yet.
        options: Of the command.

    Attributes:
        timeline: As given.
        bad_accesses: Those of the run; none before `record`.
    """

    def __init__(self, timeline: Timeline, options: Namespace) -> None:
        from emulator.debug.bad_accesses import BadAccessesOfRun  # not for --help

        self.timeline = timeline
        self.bad_accesses = BadAccessesOfRun()
        self._options = options

    def record(self) -> None:
        """Run from the start to the end, and return to the start."""
        from emulator.run.ending import Budget

        budget = Budget(self._options.max_instructions, self._options.timeout)
        if not self._options.sanitize:
            self.timeline.record(budget)
            return
        from emulator.trace.checking import check_accesses  # few runs need it

        machine, profile = self.timeline.machine, self.timeline.profile
        with check_accesses(
            machine,
            profile,
            self._ends() if self._options.halt_on_error else None,
            uninitialised=self._options.sanitize == UNINITIALISED,
        ) as checked:
            self.timeline.record(budget, lambda: self._find(checked.seen()))

    def _ends(self) -> Callable[[BadAccesses], bool]:
        from emulator.check.accesses.halting import ends_at

        return ends_at(self.timeline.machine, self.timeline.trace)

    @property
    def first_event(self) -> int:
        """The event to begin with."""
        if self._options.at is not None:
            return int(self._options.at)
        sites = (finding.call_site for finding in self.bad_accesses.findings)
        return next((site.event for site in sites if site is not None), 0)

    def _find(self, seen: BadAccesses) -> None:
        from emulator.check.accesses.bad_accesses import mistakes  # few runs need it
        from emulator.debug.bad_accesses import BadAccessesOfRun

        found = mistakes(self.timeline.machine, seen.accesses, self.timeline.trace())
        self.bad_accesses = BadAccessesOfRun(found, is_checked=True)


def _check(options: Namespace) -> None:
    check_halt_on_error(options)
    if options.show and options.who is not None:
        raise CommandLineError("--print and --who cannot both be had")
    scripted = options.show or options.who is not None
    if options.json and not scripted:
        raise CommandLineError("--json goes with --print or --who")
    if any(mode.value == "lockstep" for _, mode in options.layer):
        raise CommandLineError("step cannot run layers in lockstep, only native or as model")
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


def _answer(run: _Run, options: Namespace, address: int | None, modules: tuple[Span, ...]) -> None:
    """Print what was asked for: who wrote to *address*, or all there is to see."""
    timeline = run.timeline
    if options.at is not None and options.at > timeline.event_count:
        raise CommandLineError(
            f"there is no event {options.at}: the run has events 0 to {timeline.event_count}"
        )
    if address is None:
        timeline.go_to(run.first_event)
        _print_view(run, options, modules)
        return
    if options.at is None:
        timeline.run_to_end()
    else:
        timeline.go_to(options.at)
    _print_writer(run, address, options)


def _name_writer(machine: Machine, profile: Profile, options: Namespace) -> None:
    """Print who wrote a word last; no list of calls is needed for that."""
    from emulator.debug.writer import newest_writer
    from emulator.guest.locator import Locator
    from emulator.replay.travel import Halt, Travel
    from emulator.run.ending import Budget, How
    from emulator.trace.recording import record_calls

    address = _address(options.who, machine)
    record_calls(machine, profile)
    travel = Travel(machine, Budget(options.max_instructions, options.timeout))
    halt = travel.forward(event=options.at or 0) if options.at != 0 else Halt.TARGET
    events = machine.calls.event_count
    if options.at is not None and halt not in (Halt.EVENT, Halt.TARGET):
        raise CommandLineError(f"there is no event {options.at}: the run has events 0 to {events}")
    is_cut = halt is Halt.TIME or (travel.ending is not None and travel.ending.how is How.BUDGET)
    if is_cut and options.at is None:  # as a run that is gone through ends
        travel.unlimited()
        travel.go_to_event(events)
    try:
        writer = newest_writer(travel, Locator(machine), address)
    except ValueError as error:
        raise CommandLineError(str(error)) from error
    _show_writer(writer, None, address, options)


def _print_view(run: _Run, options: Namespace, modules: tuple[Span, ...]) -> None:
    from emulator.debug.step.view import read_view
    from emulator.debug.step.view_document import view_document
    from emulator.debug.step.view_text import view_lines
    from emulator.guest.locator import Locator
    from emulator.wording import printable

    output, timeline = Output(), run.timeline
    view = read_view(timeline, Locator(timeline.machine), modules, run.bad_accesses)
    if options.json:
        document = view_document(view, timeline.profile.functions)
        if options.sanitize:
            from emulator.report.documents.check import finding_document  # few runs need it

            document["findings"] = list(map(finding_document, run.bad_accesses.findings))
        output.json({"profile": timeline.profile.name, **document})
    else:
        output.lines(view_lines(view, output.style))
        if options.sanitize:
            output.lines(_access_lines(run.bad_accesses.findings, timeline.position.event, output.style))
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


def _print_writer(run: _Run, address: int, options: Namespace) -> None:
    from emulator.debug.writer import last_writer
    from emulator.guest.locator import Locator

    timeline = run.timeline
    try:
        writer = last_writer(timeline, Locator(timeline.machine), address)
    except ValueError as error:
        raise CommandLineError(str(error)) from error
    _show_writer(writer, None if writer is None else run.bad_accesses.of_write(writer), address, options)


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


def _open(run: _Run, modules: tuple[Span, ...]) -> None:
    """Open the program on the terminal."""
    import asyncio  # not for --help

    from emulator.debug.step.step_app import StepApp

    app = StepApp(
        run.timeline,
        run.record,
        start=lambda: run.first_event,
        bad_accesses=lambda: run.bad_accesses,
        style=Output().style,
        modules=modules,
    )
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
