"""Add the options that describe a machine and its run, for all commands that run a kernel, and make the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.cli import option_values
from emulator.cli.status import CommandLineError
from emulator.cli.terminal.console import RAW_HELP
from emulator.cli.terminal.output import complain
from emulator.errors import KernelMismatch, UnknownName

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _ArgumentGroup
    from collections.abc import Callable

    from emulator.devices.board import BoardSettings
    from emulator.loader.image import KernelImage
    from emulator.machine.consoles import Console
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.run.ending import Budget

_DEFAULT_KERNEL = "firmware:demo"
DEFAULT_TIMEOUT_S = 60.0


def add_kernel(
    parser: ArgumentParser, what: str = "ELF file, or firmware:NAME for a built-in kernel"
) -> None:
    """Add the kernel, of which there is a default.

    Args:
        parser: Of the command.
        what: May be named, for people.
    """
    parser.add_argument(
        "kernel",
        metavar="KERNEL",
        nargs="?",
        default=_DEFAULT_KERNEL,
        help=f"{what} (default: %(default)s)",
    )


def add_profile(parser: ArgumentParser | _ArgumentGroup) -> None:
    """Add the choice of a profile."""
    parser.add_argument(
        "--profile", metavar="FILE", help="which functions allocate (default: what is known of the kernel)"
    )


UNINITIALISED: Final = "uninitialised"
"""What `sanitize` is where uses of values that were never written are looked for, too."""


def add_sanitize(group: _ArgumentGroup) -> None:
    """Add whether each access of the kernel is checked."""
    group.add_argument(
        "--sanitize",
        action="store_const",
        const="accesses",
        help="check each access: beyond the ends of a block, after its free, of memory in no block",
    )
    group.add_argument(
        f"--sanitize={UNINITIALISED}",  # no value of the option before: a kernel may follow that
        action="store_const",
        const=UNINITIALISED,
        dest="sanitize",
        help="the same, and branches, addresses and outputs that depend on what a block held and nobody wrote",
    )
    group.add_argument(
        "--halt-on-error",
        action="store_true",
        help="with --sanitize: end the run before the first bad access",
    )


def add_console(output: _ArgumentGroup) -> None:
    """Add to the options about output whether the guest's console is shown, beside what the command prints."""
    output.add_argument("--console", action="store_true", help="show what the kernel says, on standard error")
    output.add_argument("--raw", action="store_true", help=f"with --console: {RAW_HELP}")


def add_loading(group: _ArgumentGroup) -> None:
    """Add the options that say how a kernel's file is read."""
    option = group.add_argument
    option(
        "--boot",
        choices=option_values.PROTOCOLS,
        help="boot protocol of a kernel that has two (default: multiboot1)",
    )
    option(
        "--load",
        metavar="ADDR",
        type=option_values.address,
        help="load the file as it is, at a physical address",
    )
    option(
        "--entry",
        metavar="ADDR",
        type=option_values.address,
        help="physical address of the first instruction (default: the file's, or that of --load)",
    )
    option("--symbols", metavar="FILE", help="another ELF file with the kernel's symbols")


def read_image(options: Namespace) -> KernelImage:
    """Return the kernel that the options describe.

    Raises:
        BadImage: It cannot be loaded.
        UnknownName: No built-in kernel has its name.
    """
    from emulator.loader.builtin import resolve
    from emulator.loader.image import KernelImage
    from emulator.loader.layout import LoadOptions

    return KernelImage.read(
        resolve(options.kernel), LoadOptions(options.load, options.entry, options.boot), options.symbols
    )


def add_machine(parser: ArgumentParser, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> None:
    """Add the options that describe the machine, and those that limit its run.

    Args:
        parser: Of the command.
        timeout_s: What a run may take without ``--timeout``; None: as long as it likes.
    """
    group = parser.add_argument_group("the machine")
    machine = group.add_argument
    machine(
        "--ram",
        metavar="SIZE",
        type=option_values.ram_window,
        help="RAM above 1 MiB: a size such as 64M or 3G (the most), or START-END (default: 4M)",
    )
    machine(
        "--layer",
        metavar="NAME=MODE",
        type=option_values.layer_mode,
        action="append",
        default=[],
        help=f"run a layer ({_layers()}) native, as model, or in lockstep (repeatable)",
    )
    machine("--cmdline", metavar="TEXT", default="", help="command line for the kernel")
    machine(
        "--module", metavar='"FILE ARGS"', action="append", default=[], help="Multiboot module (repeatable)"
    )
    add_loading(group)
    machine(
        "--disk",
        metavar="FILE",
        action="append",
        default=[],
        help="IDE disk, up to four; what the kernel writes is not kept",
    )
    machine(
        "--input",
        metavar="FILE",
        type=option_values.file_contents,
        default=b"",
        help="what COM1 receives: the bytes of FILE",
    )
    machine(
        "--keys",
        metavar="TEXT",
        type=option_values.keys,
        default="",
        help="type TEXT when the kernel listens; {enter}, {up}, {f1}, {ctrl+c} are keys",
    )
    machine(
        "--rtc",
        metavar="DATE",
        type=option_values.date,
        default=None,
        help="where the real-time clock starts: 2024-02-29 or 2024-02-29T12:30:00 (default: 2024-01-01)",
    )
    machine(
        "--memory",
        "--mmu",
        dest="mmu",
        choices=("fast", "ordinary", "reference"),
        default="fast",
        help="how the guest's accesses are made: by single instructions of the host, by the engine, or with its own MMU; for comparison",
    )
    budget = parser.add_argument_group("budgets").add_argument
    budget(
        "--max-instructions",
        metavar="N",
        type=option_values.instruction_count,
        help="stop after exactly so many",
    )
    budget(
        "--timeout",
        metavar="SECONDS",
        type=option_values.timeout,
        default=timeout_s,
        help=f"stop after so long; 0 for no limit (default: {'no limit' if timeout_s is None else f'{timeout_s:.0f}'})",
    )


def add_until(parser: ArgumentParser) -> None:
    """Add what ends a run well besides the kernel itself."""
    until = parser.add_argument_group("the end of the run").add_argument
    until(
        "--until",
        metavar="TEXT",
        type=option_values.awaited_text,
        help="stop when this text appears on a console or the text screen",
    )
    until("--until-idle", action="store_true", help="stop when the kernel only waits, for input or ticks")


def given_for_a_run(options: Namespace) -> str:
    """Return the first option about a run, and what it shows meanwhile, that has another value than its default; "": none has."""
    from argparse import ArgumentParser  # has been imported by now

    parser = ArgumentParser(add_help=False)
    add_machine(parser)
    add_until(parser)
    add_console(parser.add_argument_group())
    defaults = vars(parser.parse_args([]))
    given = (name for name, value in defaults.items() if getattr(options, name) != value)
    return next((f"--{name.replace('_', '-')}" for name in given), "")


def run_budget(options: Namespace) -> Budget:
    """Return what the run may take, and what ends it, as `add_machine` and `add_until` have it."""
    from emulator.run.ending import Budget  # not for --help

    unlimited = options.timeout is DEFAULT_TIMEOUT_S and getattr(options, "interactive", False)
    timeout_s = None if unlimited else options.timeout
    return Budget(options.max_instructions, timeout_s, options.until or "", options.until_idle)


def _layers() -> str:
    """Return the layers that can be modelled, by kernel."""
    from emulator.hle.kernels import KERNELS  # a run imports it anyway

    return "; ".join(f"{kernel.name}: {', '.join(kernel.layers)}" for kernel in KERNELS)


def new_machine(options: Namespace, on_output: Callable[[Console, bytes], None] | None) -> Machine:
    """Return the machine that the options describe, not yet run.

    Raises:
        CommandLineError: They describe none.
        EmulatorError: The kernel, a module or the disk cannot be loaded.
    """
    from emulator import boot  # not for --list and --help

    try:
        return boot(
            options.kernel,
            ram=options.ram,
            layers=dict(options.layer),
            command_line=options.cmdline,
            modules=options.module,
            load=options.load,
            entry=options.entry,
            protocol=options.boot,
            symbols=options.symbols,
            mmu=options.mmu,
            on_output=on_output,
            disk=options.disk,
            board=_board(options),
        )
    except (ValueError, UnknownName) as error:
        raise CommandLineError(str(error)) from error


def _board(options: Namespace) -> BoardSettings:
    from emulator.devices.board import BoardSettings  # not for --list and --help

    settings = BoardSettings(serial_input=options.input, keys=options.keys)
    return settings if options.rtc is None else settings._replace(rtc_start_s=options.rtc)


def check_halt_on_error(options: Namespace) -> None:
    """Check that there are accesses before which a run may end.

    Raises:
        CommandLineError: Accesses are not checked.
    """
    if options.halt_on_error and not options.sanitize:
        raise CommandLineError("--halt-on-error goes with --sanitize")


def check_sanitize(options: Namespace) -> None:
    """Check that the machine can do what `add_sanitize` has asked for.

    Raises:
        CommandLineError: It cannot, or only a part was asked for.
    """
    check_halt_on_error(options)
    if options.sanitize and options.mmu == "reference":
        raise CommandLineError(
            "--sanitize needs kmemu's MMU: with --memory reference nobody tells each access"
        )


def chosen_profile(image: KernelImage, file: str | None) -> Profile:
    """Return the profile that a command uses: the user's, or else the known one that fits the kernel.

    What cannot be known of its functions is reported, and which of a file's the kernel has under a similar name at most.

    Raises:
        BadFile: The user's file is none.
        KernelMismatch: No function of a profile is in the kernel.
    """
    from emulator.profile.known import match, matching_profile  # not for --help
    from emulator.profile.reader import read_profile
    from emulator.report.text.gaps import gap_lines, missing_lines

    if file is None:
        profile = matching_profile(image)
    else:
        given = read_profile(file)
        profile = match(given, image)
        for line in missing_lines(given, profile, image):
            complain(line)
    for line in gap_lines(profile, image):
        complain(line)
    return profile


def profile_if_known(image: KernelImage, file: str | None, *, is_needed: bool) -> Profile:
    """Return what `chosen_profile` does; where nobody has asked for one and none fits, one without functions.

    Raises:
        BadFile, KernelMismatch: See `chosen_profile`. A profile *is_needed*, or *file* is one.
    """
    from emulator.profile.model import no_profile  # not for --help

    try:
        return chosen_profile(image, file)
    except KernelMismatch as error:
        if is_needed or file is not None:
            raise
        return no_profile(error.problem)
