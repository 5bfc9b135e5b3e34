"""``kmemu init``: write a profile for a kernel: which of its functions allocate, and what their calls mean."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.cli.machine_options import add_machine, add_until, new_machine, read_image, run_budget
from emulator.cli.status import CommandLineError, Status
from emulator.cli.terminal.output import Output, complain
from emulator.errors import KernelMismatch

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from emulator.loader.image import KernelImage
    from emulator.machine.machine import Machine
    from emulator.profile.discovery.areas import DraftArea
    from emulator.run.ending import Ending

USAGE = "kmemu init KERNEL.elf | firmware:NAME | --kasan-stubs [-o FILE] [options]"
DESCRIPTION = """\
Writes a profile: which functions of a kernel take memory and which give it back,
for --profile of the other commands. They are found by their names and prototypes,
and by what they do in a short run. Comments in the file say what was taken for
what, why, and how sure that is; what is not sure enough is a comment itself.
With --kasan-stubs it writes the library that a kernel is linked with which is
compiled with -fsanitize=kernel-address."""
EPILOG = """\
examples:
  kmemu init kernel.elf                  writes kernel.toml
  kmemu init kernel.elf -o - --no-run    shows what names and prototypes say
  kmemu init kernel.elf --until login: --ram 64M
  kmemu init --kasan-stubs               writes libkasan_stubs.a
  kmemu check kernel.elf --profile kernel.toml
"""
_INSTRUCTIONS = 200_000_000
_STDOUT = "-"
_STUBS = "libkasan_stubs.a"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("kernel", metavar="KERNEL", nargs="?", help="ELF file, or firmware:NAME for a built-in kernel")
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="the profile (default: KERNEL.toml here; - for standard output)",
    )
    add(
        "--kasan-stubs",
        action="store_true",
        help="write libkasan_stubs.a (or -o FILE) instead, see docs/check.md",
    )
    add("--force", action="store_true", help="overwrite FILE")
    add("--no-run", action="store_true", help="do not run the kernel; go by names and prototypes only")
    add("--json", action="store_true", help="print one JSON document about what was found, too")
    add_machine(parser)
    add_until(parser)


def run(options: Namespace) -> Status:
    """Run the command."""
    from emulator.profile.discovery.areas import draft_areas  # not for --help
    from emulator.profile.discovery.text import profile_text

    if options.kasan_stubs:
        return _write_stubs(options)
    if options.kernel is None:
        raise CommandLineError("which kernel? kmemu init KERNEL.elf")
    output, name = Output(), _output_name(options)
    if options.json and name == _STDOUT:
        raise CommandLineError("--json and -o - cannot both have standard output")
    machine = None if options.no_run else new_machine(options, None)
    image = read_image(options) if machine is None else machine.image
    areas = draft_areas(image)
    _see_that_some_are_taken(areas, image, "looks like one that allocates")
    calls, ending = _leave_open(areas) if machine is None else _try_out(machine, options, areas)
    _see_that_some_are_taken(areas, image, "that looks like one that allocates has turned out to be one")
    stem = Path(image.name).stem
    text = profile_text(areas, stem, _introduction(image, calls, ending))
    _check(text, name, image)
    if name == _STDOUT:
        output.lines(text.splitlines())
        return Status.GOOD
    _write(name, text)
    if options.json:
        from emulator.report.documents.discovery import discovery_document

        output.json(discovery_document(options.kernel, name, areas, calls))
    else:
        from emulator.report.text.discovery import discovery_lines

        command = f"kmemu check {shlex.quote(options.kernel)} --profile {shlex.quote(name)}"
        output.lines(discovery_lines(name, areas, command, output.style))
    return Status.GOOD


def _write_stubs(options: Namespace) -> Status:
    """Write the library for kernels that are compiled with KASAN."""
    from emulator.cli.terminal.output_file import whole_file  # only here
    from emulator.loader.builtin import kasan_stubs

    if options.kernel is not None or options.json:
        raise CommandLineError(f"--kasan-stubs goes with no {'kernel' if options.kernel else '--json'}")
    name = options.output or _STUBS
    if Path(name).exists() and not options.force:
        raise CommandLineError(f"{name} exists already; --force overwrites it")
    with whole_file(name) as stream:
        stream.write(kasan_stubs())
    Output().lines([f"{name}: link your kernel with it; docs/check.md has the options of the compiler"])
    return Status.GOOD


def _see_that_some_are_taken(areas: list[DraftArea], image: KernelImage, lacking: str) -> None:
    if not any(each.is_taken for area in areas for each in area.suggestions):
        raise KernelMismatch(image.path, f"no function {lacking}; docs/profiles.md says how to describe them")


def _output_name(options: Namespace) -> str:
    """Return the file to write, and see that it may be written."""
    name = options.output or f"{Path(options.kernel.rpartition(':')[2]).stem or 'kernel'}.toml"
    if name != _STDOUT:
        if Path(name).exists() and not options.force:
            raise CommandLineError(f"{name} exists already; --force overwrites it")
        from emulator.cli.terminal.output_file import check_writable  # only here

        check_writable(name)
    return name


def _leave_open(areas: list[DraftArea]) -> tuple[int, None]:
    from emulator.profile.discovery.judgement import judge_unseen  # only here

    judge_unseen(areas)
    return 0, None


def _try_out(machine: Machine, options: Namespace, areas: list[DraftArea]) -> tuple[int, Ending]:
    """Run the kernel and correct the drafts by what it does."""
    from emulator.cli.terminal.progress import activity  # only here
    from emulator.profile.discovery.judgement import judge
    from emulator.run.ending import How
    from emulator.run.trial import try_out

    budget = run_budget(options)
    if budget.max_instructions is None:
        budget = budget._replace(max_instructions=_INSTRUCTIONS)
    if not budget.until:
        budget = budget._replace(until_idle=True)  # what it does later, it does when it is asked to
    with activity("running", "events") as so_far:
        calls, ending = try_out(machine, areas, budget, so_far)
    if ending.how is How.INTERRUPTED:
        complain("interrupted; the profile says what was seen until then")
    judge(areas, calls)
    if ending.how is How.BUDGET:
        _say_what_was_not_reached(areas, {each.function for each in calls})
    return len(calls), ending


def _say_what_was_not_reached(areas: list[DraftArea], called: set[str]) -> None:
    """Say which areas the run has shown nothing of, for it was too short."""
    taken = {area.name: {each.name for each in area.suggestions if each.is_taken} for area in areas}
    names = [name for name, functions in taken.items() if functions and not functions & called]
    if names:
        complain(
            f"the run ended, by its budget, before it had called any function of {', '.join(names)};"
            " --max-instructions and --timeout let it go on"
        )


def _introduction(image: KernelImage, calls: int, ending: Ending | None) -> str:
    from emulator.report.text.ending import ending_text  # only here
    from emulator.run.ending import How
    from emulator.wording import counted

    source = f"Written by kmemu init for {image.name}"
    if ending is None:
        seen = "from names and prototypes only: it was not run."
    else:
        how = "stopped by its budget" if ending.how is How.BUDGET else ending_text(ending)
        seen = f"from names, prototypes and {counted(calls, 'call')} in a run ({how})."
    return (
        f"{source}, {seen}\n"
        "Behind each function: how sure it is that it is what it was taken for, and why. Correct what is wrong;\n"
        "docs/profiles.md describes the format."
    )


def _check(text: str, name: str, image: KernelImage) -> None:
    """See that the other commands can use what is written, and say what they will not see."""
    from emulator.profile.known import match
    from emulator.profile.reader import parse_profile
    from emulator.report.text.gaps import gap_lines  # only here

    for line in gap_lines(match(parse_profile(text, name), image), image):
        complain(line)


def _write(name: str, text: str) -> None:
    from emulator.cli.terminal.output_file import whole_file  # only here

    with whole_file(name) as stream:
        stream.write(text.encode())
