"""``kmemu dap``: let an editor debug kernels, forwards and backwards, by the Debug Adapter Protocol."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from emulator.cli.option_values import listening_address
from emulator.cli.status import Status
from emulator.cli.terminal.output import own_pipes

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from emulator.debug.listening import Address

USAGE = "kmemu dap [--listen ADDRESS:PORT]"
DESCRIPTION = """\
Is a debug adapter: an editor that speaks the Debug Adapter Protocol starts
it, says by a "launch" request which kernel to run, and debugs it: source and
data breakpoints, variables, memory, steps back, findings of the sanitizer.
examples/vscode has what Visual Studio Code needs; docs/dap.md says all."""
EPILOG = """\
examples:
  kmemu dap                            speaks on standard input and output
  kmemu dap --listen 127.0.0.1:4711    waits there for one editor
  kmemu dap --listen :0                at a free port, and says which

exit status:
  0 the editor has left, 2 the command line was wrong,
  3 the port cannot be listened at
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--listen",
        metavar="ADDRESS:PORT",
        type=listening_address,
        help="wait there for an editor: a loopback address, port 0 is a free one (default: standard input and output)",
    )


def run(options: Namespace) -> Status:
    """Run the command."""
    from emulator.debug.dap.server import serve, serve_at  # not for --help

    if options.listen is not None:
        serve_at(options.listen, _ready)
        return Status.GOOD
    reader, writer = own_pipes()
    with os.fdopen(writer, "wb") as outgoing:
        serve(os.fdopen(reader, "rb"), outgoing)  # a thread may wait for more: what it reads is not closed
    return Status.GOOD


def _ready(address: Address) -> None:
    print(f"kmemu: waiting for an editor at {address}", file=sys.stderr, flush=True)
