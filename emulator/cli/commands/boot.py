"""``kmemu boot``: run a kernel, show what it says and what it left in memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from emulator.cli import option_values
from emulator.cli.machine_options import (
    UNINITIALISED,
    add_kernel,
    add_machine,
    add_profile,
    add_sanitize,
    add_until,
    check_sanitize,
    chosen_profile,
    new_machine,
    run_budget,
)
from emulator.cli.status import CommandLineError, Status, judge_ending
from emulator.cli.terminal.console import RAW_HELP, ConsoleWriter
from emulator.cli.terminal.output import Output, complain
from emulator.errors import EmulatorError
from emulator.report.run_record import RunRecord
from emulator.run.ending import Ending, How

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterable

    from emulator.check.findings import Finding
    from emulator.guest.memory_map.memory_map import MemoryMap
    from emulator.hle.kernels import Kernel
    from emulator.hle.layers import LockstepCalls
    from emulator.machine.core.observed import BadAccesses
    from emulator.machine.machine import Machine
    from emulator.trace.trace import Trace

USAGE = "kmemu boot [KERNEL.elf | firmware:NAME] [options]"
DESCRIPTION = """\
Runs a kernel, shows its console as it appears, and at the end what it did with
its memory."""
EPILOG = """\
examples:
  kmemu boot                                   the built-in kernel firmware:demo
  kmemu boot --list                            names all built-in kernels
  kmemu boot firmware:stress --ram 3G --cmdline ram=all
  kmemu boot --layer memmap=model --layer heap=lockstep
  kmemu boot firmware:btron_demo --layer pools=model
  kmemu boot kernel.elf --module "initrd.img root=/dev/ram" --timeout 10
  kmemu boot -i kernel.elf                     type on its serial console
  kmemu boot kernel.elf --json >run.json
  kmemu boot kernel.elf --sanitize --profile kernel.toml  each access is checked
"""

_DEFECTS_HEADING = "With a defect each; NAME_ok is the same without it:"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add_kernel(parser)
    add("--list", action="store_true", help="name the built-in kernels and stop")
    sanitize = parser.add_argument_group("bad accesses")
    add_sanitize(sanitize)
    add_profile(sanitize)
    add_machine(parser)
    add_until(parser)
    add(
        "-i",
        "--interactive",
        action="store_true",
        help="let COM1 receive what is typed, or, with --screen, the keyboard; no time limit without --timeout",
    )
    output = parser.add_argument_group("output").add_argument
    output("--serial", metavar="FILE", help="write COM1 to FILE instead of standard output (- for that)")
    output("--serial2", metavar="FILE", help="the same for COM2")
    output("--screen", action="store_true", help="show the VGA text screen at the end; with -i all the time")
    output(
        "--screenshot",
        metavar="FILE",
        type=option_values.png_name,
        help="write a picture of the screen at the end, text or graphics, to FILE.png",
    )
    output(
        "--save-ram",
        metavar="FILE",
        help="write RAM at the end to FILE, an image for kmemu inspect --page-directory",
    )
    output("--json", action="store_true", help="print one JSON document and nothing else")
    output("--map", action="store_true", help="show each address space with its ranges in the summary")
    output("--raw", action="store_true", help=RAW_HELP)
    output("--no-summary", action="store_true", help="do not show what the kernel did with its memory")


def run(options: Namespace) -> Status:
    """Run the command."""
    output = Output()
    if options.list:
        return _list_kernels(output, as_json=options.json)
    files = _console_files(options)
    _check_files(options, files.values())
    _check_output(options, output)
    shows_screen = options.interactive and options.screen
    with ConsoleWriter(output, to_output=not options.json and not shows_screen, raw=options.raw) as console:
        try:
            machine = new_machine(options, console)
        except EmulatorError as error:
            if options.json:
                ending = Ending(How.NOT_RUN, error=error)
                _show_json(RunRecord(options.kernel, ending), Status.NOT_RUN, output)
            raise
        if machine.image.debug_link is not None:
            _complain_of_debug_information(machine)
        for serial, name in files.items():
            console.send_to_file(serial, name)
        record = _run(machine, options, output)
        if shows_screen:
            console.show(machine.output)
    status, complaint = _judge(record)
    if options.json:
        _show_json(record, status, output)
    else:
        _show(record, options, output)
    if options.no_summary and not options.json and record.ending.lacks:
        from emulator.report.text.lacks import lacks_line  # few runs need it

        output.end_line()
        complain(lacks_line(record.ending.lacks))
    summary_says_it = not options.json and not options.no_summary and len(complaint) == 1
    if complaint and not (summary_says_it and output.is_beside_errors()):
        output.end_line()
        complain(complaint[0], complaint[1:])
    return status


def _complain_of_debug_information(machine: Machine) -> None:
    from emulator.report.text.gaps import debug_lines  # few kernels need it

    for line in debug_lines(machine.image):
        complain(line)


def _console_files(options: Namespace) -> dict[str, str]:
    """Return which consoles, by their names, are written to which files."""
    for option, name in (("--serial", options.serial), ("--serial2", options.serial2)):
        if options.json and name == "-":
            raise CommandLineError(f"--json and {option} - cannot both have standard output")
    consoles = {"SERIAL": options.serial, "SERIAL2": options.serial2}
    files = {console: name for console, name in consoles.items() if name not in (None, "-")}
    if len(set(files.values())) < len(files):
        raise CommandLineError(f"--serial and --serial2 cannot both write {options.serial}")
    return files


def _check_files(options: Namespace, others: Iterable[str]) -> None:
    """Check that what the end of the run writes can be written, and to files of their own."""
    taken = list(others)
    for option, name in (("--screenshot", options.screenshot), ("--save-ram", options.save_ram)):
        if name is not None:
            from emulator.cli.terminal.output_file import check_writable  # only here

            if name in taken:
                raise CommandLineError(f"{option} cannot write {name}, which another option writes")
            check_writable(name)
            taken.append(name)


def _check_output(options: Namespace, output: Output) -> None:
    check_sanitize(options)
    if options.profile is not None and not options.sanitize:
        raise CommandLineError("--profile goes with --sanitize")
    if options.map and options.no_summary:
        raise CommandLineError("--map is a part of the summary, which --no-summary leaves out")
    if not options.interactive:
        return
    if options.json:
        raise CommandLineError("--json and -i cannot both have standard output")
    if options.screen and not output.is_terminal:
        raise CommandLineError("-i --screen draws on the terminal, and standard output is none")


def _list_kernels(output: Output, *, as_json: bool) -> Status:
    from emulator.loader.builtin import DEFECTS, KERNELS, PREFIX  # only here

    if as_json:
        groups = (("kernels", KERNELS), ("kernels_with_defects", DEFECTS))
        lists = {
            key: [{"name": f"{PREFIX}{name}", "description": line} for name, line in group.items()]
            for key, group in groups
        }
        output.json({"version": 1, **lists})
        return Status.GOOD
    width = max(map(len, [*KERNELS, *DEFECTS]))
    output.lines(f"{PREFIX}{name:{width}}  {line}" for name, line in KERNELS.items())
    output.lines(["", _DEFECTS_HEADING])
    output.lines(f"{PREFIX}{name:{width}}  {line}" for name, line in DEFECTS.items())
    return Status.GOOD


def _run(machine: Machine, options: Namespace, output: Output) -> RunRecord:
    from emulator.guest.memory_map.reader import read_memory_map  # not for --list and --help
    from emulator.machine.consoles import Console  # has been imported by now
    from emulator.run.to_end import run_to_end

    accesses = _Accesses(machine, options) if options.sanitize else None
    started = time.perf_counter()
    if options.interactive:
        from emulator.cli.interactive.session import interaction  # only here

        with interaction(machine, output, keyboard=options.screen):
            ending = run_to_end(machine, run_budget(options))
    else:
        ending = run_to_end(machine, run_budget(options))
    seconds = time.perf_counter() - started
    memory_map = read_memory_map(machine, machine.modules)
    if options.screenshot is not None:
        _write_screenshot(machine, options.screenshot)
    if options.save_ram is not None:
        _save_ram(machine, options.save_ram)
    kernel = _kernel(options, memory_map)
    said = {console: bytes(machine.output[console]) if options.json else b"" for console in Console}
    return RunRecord(
        options.kernel,
        ending,
        ram=(machine.ram.start, machine.ram.end),
        seconds=seconds,
        layers=None if kernel is None else _layers(options, machine, kernel),
        lockstep=_lockstep(machine, options),
        serial=said[Console.SERIAL],
        debug=said[Console.DEBUG],
        serial2=said[Console.SERIAL2],
        screen=tuple(machine.screen()) if options.screen else None,
        graphics=machine.shows_graphics if options.screen else None,
        screenshot=options.screenshot,
        memory_map=memory_map,
        profile=None if kernel is None else kernel.name,
        findings=None if accesses is None else accesses.findings(),
    )


class _Accesses:
    """Checks the accesses of a run, and records its calls for that.

    Args:
        machine: Not run yet.
        options: With the profile.

    Raises:
        EmulatorError: No profile fits, or no memory is left.
    """

    def __init__(self, machine: Machine, options: Namespace) -> None:
        from emulator.trace.checking import check_accesses  # few runs need them
        from emulator.trace.recording import CallLog

        profile = chosen_profile(machine.image, options.profile)
        self._machine = machine
        self._log = CallLog(machine, profile)
        self._checked = check_accesses(
            machine,
            profile,
            self._ends() if options.halt_on_error else None,
            uninitialised=options.sanitize == UNINITIALISED,
        )

    def _ends(self) -> Callable[[BadAccesses], bool]:
        from emulator.check.accesses.halting import ends_at

        return ends_at(self._machine, self._trace)

    def _trace(self) -> Trace:
        from emulator.guest.symbolizer import Symbolizer

        return self._log.trace(Symbolizer(self._machine.image))

    def findings(self) -> tuple[Finding, ...]:
        from emulator.check.accesses.bad_accesses import bad_accesses

        seen = self._checked.seen()
        if seen.missed:
            complain("there were more bad accesses than are kept")
        return tuple(bad_accesses(self._machine, seen.accesses, self._trace()))


def _write_screenshot(machine: Machine, path: str) -> None:
    from emulator.cli.terminal.output_file import whole_file  # only here

    png = machine.screenshot().png()
    with whole_file(path) as stream:
        stream.write(png)


def _save_ram(machine: Machine, path: str) -> None:
    from emulator.cli.terminal.output_file import whole_file  # only here
    from emulator.guest.ram_image.writer import write_ram

    with whole_file(path) as stream:
        write_ram(machine, stream)


def _kernel(options: Namespace, memory_map: MemoryMap) -> Kernel | None:
    """Which kernel this is; None for one without layers that are known."""
    if (
        not options.layer
        and memory_map.frames is None
        and memory_map.heap is None
        and memory_map.btron is None
    ):
        return None
    from emulator.hle.kernels import kernel_named, kernel_of  # `read_memory_map` has imported it

    if memory_map.kernel is None:  # only some of its layers can be modelled
        return kernel_of(options.layer[0][0])
    return kernel_named(memory_map.kernel)


def _layers(options: Namespace, machine: Machine, kernel: Kernel) -> dict[str, str]:
    """How each layer of the kernel ran."""
    modes = {name: mode.value for name, mode in options.layer}
    return {layer: modes.get(layer, "native") for layer in kernel.layers_in(machine.image.symbols)}


def _lockstep(machine: Machine, options: Namespace) -> LockstepCalls | None:
    if not options.layer:
        return None
    from emulator.hle.layers import lockstep_calls  # has been imported by now

    return lockstep_calls(machine)


def _judge(record: RunRecord) -> tuple[Status, list[str]]:
    """Return the exit status, and what standard error has to say: no, one or, for a report, several lines."""
    status, complaint = judge_ending(record.ending)
    if status is not Status.GOOD or record.ending.how is How.LEFT:  # somewhere in the middle
        return status, complaint
    memory_map = record.memory_map
    if memory_map is None or not memory_map.defects:
        return Status.FINDINGS if record.findings else status, []
    from kernel_model.text import defect_text  # only damage needs it

    what = "memory management" if memory_map.heap is None else "the heap"
    return Status.FINDINGS, [f"{what} is damaged: {defect_text(memory_map.defects[0])}"]


def _show(record: RunRecord, options: Namespace, output: Output) -> None:
    from emulator.report.text.run import GRAPHICS, screen_box, summary_lines  # not for --json

    style = output.style
    if record.findings:
        from emulator.report.text.findings import finding_lines, grouped  # only here

        for same in grouped(record.findings):
            output.end_line()
            output.lines([*finding_lines(same, style), ""])
    if record.screen is not None:
        if record.graphics:
            output.lines([GRAPHICS])
        output.lines(screen_box(record.screen, style))
    if not options.no_summary:
        output.lines(summary_lines(record, style, maps_spaces=options.map))


def _show_json(record: RunRecord, status: Status, output: Output) -> None:
    from emulator.report.documents.run import run_document  # only for --json

    output.json(run_document(record, status))
