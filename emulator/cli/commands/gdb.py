"""``kmemu gdb``: let GDB, or a debugger that speaks its protocol, debug a kernel, forwards and backwards."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from emulator.cli.machine_options import (
    UNINITIALISED,
    add_kernel,
    add_machine,
    add_profile,
    add_sanitize,
    check_sanitize,
    new_machine,
    profile_if_known,
)
from emulator.cli.option_values import listening_address
from emulator.cli.status import CommandLineError, Status
from emulator.cli.terminal.console import ConsoleWriter
from emulator.cli.terminal.output import Output, own_pipes

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from emulator.debug.listening import Address

USAGE = "kmemu gdb [KERNEL.elf | firmware:NAME] [options]"
DESCRIPTION = """\
Waits for GDB (target remote), and lets it debug the kernel from its first
instruction, forwards and backwards: continue, reverse-continue, watch,
reverse-stepi. "monitor help" in GDB lists what else there is."""
EPILOG = """\
examples:
  kmemu gdb kernel.elf                        waits at 127.0.0.1:1234
  gdb kernel.elf -ex "target remote :1234"    in another terminal; it says how
  kmemu gdb kernel.elf --listen :0            at a free port, and says which
  kmemu gdb kernel.elf --sanitize             stops at bad accesses as well

without a port, started by gdb itself:
  (gdb) target remote | kmemu gdb kernel.elf --stdio

exit status:
  0 the debugger has ended it (kill), or with --stdio has gone
  2 the command line was wrong; 3 the kernel could not be loaded, or
  the port cannot be listened at; 130 Ctrl-C
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add_kernel(parser)
    add_profile(parser)
    where = parser.add_argument_group("the debugger").add_mutually_exclusive_group()
    where.add_argument(
        "--listen",
        metavar="ADDRESS:PORT",
        type=listening_address,
        help="wait for it there; a loopback address, port 0 is a free one (default: 127.0.0.1:1234)",
    )
    where.add_argument("--stdio", action="store_true", help="it is on standard input and output")
    add_sanitize(parser.add_argument_group("what is looked for"))
    add_machine(parser, timeout_s=None)


def run(options: Namespace) -> Status:
    """Run the command."""
    from emulator.debug import Debugger
    from emulator.debug.gdb.output import NewOutput
    from emulator.debug.gdb.server import serve, serve_pipes
    from emulator.debug.gdb.target import Target
    from emulator.debug.listening import DEFAULT
    from emulator.guest.tasks import task_reader
    from emulator.run.ending import Budget

    check_sanitize(options)
    if options.halt_on_error:
        raise CommandLineError(
            "gdb stops in front of each bad access: --halt-on-error is for runs without it"
        )
    new_output = NewOutput()
    machine = new_machine(options, new_output)
    new_output.follow(machine)
    profile = profile_if_known(machine.image, options.profile, is_needed=bool(options.sanitize))
    budget = Budget(options.max_instructions, options.timeout)
    sanitize = UNINITIALISED if options.sanitize == UNINITIALISED else bool(options.sanitize)
    with Debugger(machine, profile, sanitize=sanitize, budget=budget) as debugger:
        target = Target(debugger, new_output, task_reader(machine, profile.tasks))
        if options.stdio:
            serve_pipes(target, *own_pipes())
        else:
            with ConsoleWriter(Output(), to_output=True) as console:
                new_output.pass_on = console
                address = options.listen or DEFAULT
                serve(target, address, lambda at: _ready(machine.image.path, at))
    return Status.GOOD


def _ready(kernel: str, address: Address) -> None:
    from emulator.debug.gdb.target import COMMANDS  # not for --help

    words = shlex.join(["gdb", kernel, "-x", str(COMMANDS)])
    print(f'kmemu: {words} -ex "target remote {address}"', file=sys.stderr, flush=True)
