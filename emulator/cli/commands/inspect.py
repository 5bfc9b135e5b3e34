"""``kmemu inspect``: show what a kernel file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.cli.machine_options import add_loading, read_image
from emulator.cli.status import Status
from emulator.cli.terminal.output import Output

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

USAGE = "kmemu inspect KERNEL.elf | firmware:NAME [options]"
DESCRIPTION = """\
Shows segments, entry, symbols and Multiboot header of a kernel, and which of
its layers can be modelled."""
EPILOG = ""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("kernel", metavar="KERNEL", help="ELF file, or firmware:NAME for a built-in kernel")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    add_loading(parser.add_argument_group("the kernel's file"))


def run(options: Namespace) -> Status:
    """Run the command."""
    # Imported here so that the other commands need not wait for it.
    from emulator.hle.inspection import inspect_image
    from emulator.report.documents.inspection import inspection_document
    from emulator.report.text.inspection import inspection_lines

    facts = inspect_image(read_image(options), options.kernel)
    output = Output()
    if options.json:
        output.json(inspection_document(facts))
    else:
        output.lines(inspection_lines(facts, output.style))
    return Status.GOOD
