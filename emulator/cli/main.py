"""Parse the command line, run its command, and turn errors into messages and exit statuses."""

from __future__ import annotations

import gc
import os
import sys
from argparse import Action, ArgumentParser, RawDescriptionHelpFormatter
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from emulator.cli.status import CommandLineError, OutputError, Status
from emulator.cli.terminal.output import complain
from emulator.cli.terminal.signals import Interrupted, ending_in_order
from emulator.errors import EmulatorError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from _typeshed import SupportsWrite

_OBJECTS_BEFORE_COLLECTION = 100_000
_COMMANDS = {  # name, which is also that of the module: what it does, in one line
    "boot": "run a kernel",
    "inspect": "show what a kernel file holds",
    "init": "write a profile: which functions of a kernel allocate",
    "check": "run a kernel, find what it does wrong with its memory",
    "trace": "record a kernel's allocations, show each call as a line",
    "step": "go through a run call by call, forwards and backwards",
    "gdb": "let gdb debug a kernel, forwards and backwards",
    "dap": "let an editor debug kernels (Debug Adapter Protocol)",
    "report": "show a trace in the browser",
    "export": "write a trace in the format of another tool",
    "diff": "show which callers allocate more in one trace than in another",
    "doctor": "say whether kmemu works here, and at full speed",
}
_EXAMPLES = """\
examples:
  kmemu boot                         boot the built-in demo kernel
  kmemu boot kernel.elf --ram 64M    boot a kernel of your own
  kmemu boot --layer heap=lockstep   check the kernel's heap against the model
  kmemu check kernel.elf             find double frees, leaks, heap damage
  kmemu step firmware:overflow       go through a run call by call, and back
  kmemu gdb kernel.elf               wait for gdb, which can go back, too
  kmemu dap --listen :4711           wait for an editor, which can, too
  kmemu inspect kernel.elf           show what a kernel file holds
  kmemu init kernel.elf              find its allocators, write a profile
  kmemu report run.kmt               make a page for the browser from a trace
  kmemu export run.kmt --to csv      write a trace as a table

exit status:
  0 all good, 1 findings, 2 the command line was wrong,
  3 the kernel could not be loaded or run, 4 budget used up
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Without the command's own name; those of the process if None.

    Returns:
        The exit status, a `Status`.
    """
    _replace_closed_streams()
    signals: list[Interrupted] = []
    try:
        with ending_in_order() as signals:
            status = _main(arguments)
    except KeyboardInterrupt:  # once more, while the first one was dealt with
        status = Status.INTERRUPTED
    return signals[-1].status if signals else status


def _main(arguments: Sequence[str] | None) -> int:
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except (CommandLineError, UnknownName) as error:
        complain(str(error))
        return Status.COMMAND_LINE
    except (EmulatorError, OutputError) as error:
        complain(str(error))
        return Status.NOT_RUN
    except KeyboardInterrupt as error:
        complain(f"interrupted by {error}" if str(error) else "interrupted")
        return error.status if isinstance(error, Interrupted) else Status.INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return Status.PIPE_CLOSED
    except OSError as error:  # whatever else is read or written has errors of its own
        _forget_stdout()
        complain(f"cannot write standard output: {error.strerror}")
        return Status.NOT_RUN
    return status


def _run(arguments: Sequence[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    parser = _parser(words)
    try:
        options, unknown = parser.parse_known_args(words)
    except SystemExit:  # after --help and --version
        return Status.GOOD
    if unknown:
        raise CommandLineError(
            f"unrecognized arguments: {' '.join(unknown)} ({options.prog} --help shows how)"
        )
    options.words = words
    if options.command is None:
        parser.print_help()
        return Status.COMMAND_LINE
    return int(options.command(options))


class _Parser(ArgumentParser):
    def __init__(self, **options: object) -> None:
        # The default formatter imports shutil for the width, for every option that is added.
        super().__init__(formatter_class=_formatter, allow_abbrev=False, **options)  # type: ignore[arg-type]

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        # argparse's own swallows the error of a full disk.
        (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        option, is_valued, value = message.partition(": ignored explicit argument ")
        if is_valued:  # argparse's words for a value of an option that has none
            option = option.removeprefix("argument ").rpartition("/")[2]
            forms = [each for each in self._option_string_actions if each.startswith(f"{option}=")]
            known = f"there is {option}, and {', '.join(forms)}" if forms else f"{option} takes no value"
            message = f"{option}={value.strip(chr(39))}: {known}"
        raise CommandLineError(f"{message} ({self.prog} --help shows how)")


def _formatter(prog: str) -> RawDescriptionHelpFormatter:
    return RawDescriptionHelpFormatter(prog, max_help_position=26, width=80)


class _Version(Action):
    """Looks versions up only when they are asked for."""

    def __call__(self, parser: ArgumentParser, *_: object) -> NoReturn:
        from emulator.cli.versions import version_lines  # slow

        print(*version_lines(), sep="\n")
        parser.exit()


def _parser(words: Sequence[str]) -> _Parser:
    """Return the parser for a command line.

    For the sake of a quick start only the module of the command is imported: the first word that is no option, because no
    option before it takes a value. Where it is the very first word, nobody can ask for the list of all commands.
    """
    chosen = next((word for word in words if not word.startswith("-")), "")
    known = (chosen,) if words and words[0] in _COMMANDS else _COMMANDS
    parser = _Parser(
        prog="kmemu",
        description="Boots an i386 kernel and shows what it does with its memory.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show the version, and those of what kmemu uses"
    )
    parser.set_defaults(command=None, prog=parser.prog)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name in known:
        command = commands.add_parser(name, help=_COMMANDS[name])
        if name == chosen:
            _fill(command, import_module(f"emulator.cli.commands.{name}"))
    return parser


def _fill(command: ArgumentParser, module: ModuleType) -> None:
    command.usage, command.description, command.epilog = module.USAGE, module.DESCRIPTION, module.EPILOG
    module.add_arguments(command)
    command.set_defaults(command=module.run, prog=command.prog)


def _replace_closed_streams() -> None:
    """Let output go nowhere when the caller has closed a standard stream (``>&-``)."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - lasts as the process


def _forget_stdout() -> None:
    """Keep Python from complaining at its end that it cannot flush."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def command() -> NoReturn:
    """Be the process `kmemu`: `main`, and two savings of time that only a whole process may make.

    What is imported lives as long as the process, so looking for garbage among it is in vain (7 ms); and the
    interpreter's orderly end frees object by object what the operating system takes back at once (9 ms). Nor is there any linear algebra,
    for which NumPy would start threads (50 ms).
    """
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    status = main()
    os._exit(status)


if __name__ == "__main__":
    command()
