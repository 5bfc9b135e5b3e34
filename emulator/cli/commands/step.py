"""``kmemu step``: go through a kernel's run call by call, forwards and backwards."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from emulator.cli.machine_options import add_kernel, add_machine, add_profile, chosen_profile, new_machine
from emulator.cli.status import CommandLineError, Status
from emulator.cli.terminal.output import Output
from emulator.cli.terminal.signals import ENDING, Interrupted

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from emulator.debug.step.step_app import StepApp
    from emulator.guest.memory_map.regions import Span
    from emulator.machine.machine import Machine
    from emulator.replay.timeline import Timeline

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
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add_kernel(parser)
    add_profile(parser)
    add = parser.add_argument_group("where and what").add_argument
    add(
        "--at",
        metavar="EVENT",
        type=_event,
        help="after this event (default: 0, or with --who the end)",
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

    timeline = Timeline(machine, profile)
    if options.show or options.who is not None:
        address = None if options.who is None else _address(options.who, machine)
        _record(timeline, options)
        _answer(timeline, options, address, modules)
    else:
        _open(timeline, options, modules)
    return Status.GOOD


def _check(options: Namespace) -> None:
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


def _record(timeline: Timeline, options: Namespace) -> None:
    from emulator.run.ending import Budget

    timeline.record(Budget(options.max_instructions, options.timeout))


def _address(text: str, machine: Machine) -> int:
    from emulator.debug.addresses import read_address

    try:
        return read_address(text, machine.image)
    except ValueError as error:
        raise CommandLineError(str(error)) from error


def _answer(timeline: Timeline, options: Namespace, address: int | None, modules: tuple[Span, ...]) -> None:
    """Print what was asked for: who wrote to *address*, or all there is to see."""
    if options.at is not None and options.at > timeline.event_count:
        raise CommandLineError(
            f"there is no event {options.at}: the run has events 0 to {timeline.event_count}"
        )
    if address is None:
        timeline.go_to(options.at or 0)
        _print_view(timeline, options, modules)
        return
    if options.at is None:
        timeline.run_to_end()
    else:
        timeline.go_to(options.at)
    _print_writer(timeline, address, options)


def _print_view(timeline: Timeline, options: Namespace, modules: tuple[Span, ...]) -> None:
    from emulator.debug.step.view import read_view
    from emulator.debug.step.view_document import view_document
    from emulator.debug.step.view_text import view_lines
    from emulator.guest.locator import Locator
    from emulator.wording import printable

    output = Output()
    view = read_view(timeline, Locator(timeline.machine), modules)
    if options.json:
        output.json({"profile": timeline.profile.name, **view_document(view, timeline.profile.functions)})
    else:
        output.lines(view_lines(view, output.style))
        output.lines(["", f"profile {printable(timeline.profile.title)}"])


def _print_writer(timeline: Timeline, address: int, options: Namespace) -> None:
    from emulator.debug.step.view_document import writer_document
    from emulator.debug.step.view_text import writer_lines
    from emulator.debug.writer import last_writer
    from emulator.guest.locator import Locator

    output = Output()
    try:
        writer = last_writer(timeline, Locator(timeline.machine), address)
    except ValueError as error:
        raise CommandLineError(str(error)) from error
    if options.json:
        output.json(None if writer is None else writer_document(writer))
    elif writer is None:
        output.lines([f"nobody has written to 0x{address:08x} since the start"])
    else:
        output.lines(writer_lines(writer))


def _open(timeline: Timeline, options: Namespace, modules: tuple[Span, ...]) -> None:
    """Open the program on the terminal."""
    import asyncio  # not for --help

    from emulator.debug.step.step_app import StepApp

    app = StepApp(
        timeline,
        lambda: _record(timeline, options),
        start=options.at or 0,
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
