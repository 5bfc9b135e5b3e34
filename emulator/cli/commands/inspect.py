"""``kmemu inspect``: show what a kernel file holds, or a page directory in an image of RAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.cli import option_values
from emulator.cli.machine_options import add_loading, read_image
from emulator.cli.status import CommandLineError, Status
from emulator.cli.terminal.output import Output, complain
from emulator.loader.builtin import PREFIX

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

USAGE = "kmemu inspect KERNEL.elf | firmware:NAME [options]"
DESCRIPTION = """\
Shows segments, entry, symbols and Multiboot header of a kernel, and which of
its layers can be modelled; or, with --page-directory, what a page directory
in an image of RAM maps."""
EPILOG = """\
examples:
  kmemu inspect firmware:demo
  kmemu boot firmware:btron_demo --save-ram ram.core
  kmemu inspect ram.core --page-directory
  kmemu inspect ram.core --page-directory 0x110000
"""
_IN_CR3 = -1


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("kernel", metavar="KERNEL", help="ELF file, or firmware:NAME for a built-in kernel")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.add_argument(
        "--page-directory",
        metavar="ADDR",
        nargs="?",
        const=_IN_CR3,
        type=option_values.address,
        help="KERNEL is an image of RAM: show what the page directory at this physical address maps (default: that in CR3)",
    )
    add_loading(parser.add_argument_group("the kernel's file"))


def run(options: Namespace) -> Status:
    """Run the command."""
    if options.page_directory is not None:
        return _show_directory(options)
    # Imported here so that the other commands need not wait for it.
    from emulator.hle.inspection import inspect_image
    from emulator.report.documents.inspection import inspection_document
    from emulator.report.text.gaps import debug_lines
    from emulator.report.text.inspection import inspection_lines

    image = read_image(options)
    facts = inspect_image(image, options.kernel)
    for line in debug_lines(image):
        complain(line)
    output = Output()
    if options.json:
        output.json(inspection_document(facts))
    else:
        output.lines(inspection_lines(facts, output.style))
    return Status.GOOD


def _show_directory(options: Namespace) -> Status:
    from emulator.guest.ram_image.directory import NoDirectory, read_directory
    from emulator.guest.ram_image.reader import RamImage
    from emulator.report.documents.page_directory import page_directory_document
    from emulator.report.text.page_directory import page_directory_lines

    for name in ("boot", "load", "entry", "symbols"):
        if getattr(options, name) is not None:
            raise CommandLineError(
                f"--{name} says how a kernel is read, and --page-directory reads an image of RAM"
            )
    if options.kernel.startswith(PREFIX):
        raise CommandLineError(
            f"{options.kernel} is a kernel, and --page-directory reads an image of RAM, as kmemu boot --save-ram writes it"
        )
    image = RamImage(options.kernel)
    try:
        facts = read_directory(image, None if options.page_directory == _IN_CR3 else options.page_directory)
    except NoDirectory as error:
        raise CommandLineError(str(error)) from error
    output = Output()
    if options.json:
        output.json(page_directory_document(facts))
    else:
        output.lines(page_directory_lines(facts, output.style))
    return Status.GOOD
