"""Boot modules: files that a kernel is given, and where they are placed.

They follow the kernel at the addresses at which QEMU's loader puts them: kernels look for free memory after their modules. Between
the two that loader has its lists and texts; here the room stays empty.
"""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, NamedTuple

from emulator.boot_protocol.pc_memory import HIGH_START, text_bytes
from emulator.errors import BadFile, BadImage, BootInfoDoesNotFit
from emulator.loader.containers import unpacked
from emulator.loader.files import read_file
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIST_ENTRY = 16  # bytes, of the list of modules
_LARGEST_MODULE = 1 << 32  # bytes; more than any RAM


class Module(NamedTuple):
    """A file for the kernel.

    Attributes:
        text: Its name and arguments, as the kernel gets to see them.
        data: Its bytes.
    """

    text: str
    data: bytes

    @property
    def arguments(self) -> str:
        """The text without the name."""
        return self.text.partition(" ")[2]

    @classmethod
    def read(cls, specification: str) -> Module:
        """Read a module given as "path arguments..."; a gzip file is decompressed, as by GRUB.

        Raises:
            BadFile: The file cannot be read, is empty, or a damaged gzip file.
        """
        name, separator, arguments = specification.partition(" ")
        try:
            data = read_file(name, _LARGEST_MODULE)
        except OSError as error:
            raise BadFile(name, f"cannot be read: {error.strerror}", given_as="module ") from error
        try:
            data = unpacked(data, name, _LARGEST_MODULE)
        except BadImage as error:
            raise BadFile(name, error.problem, given_as="module ") from error
        if not data:
            raise BadFile(name, "is empty", given_as="module ")
        return cls(f"{os.path.basename(name)}{separator}{arguments}", data)


def place_modules(
    modules: Sequence[Module], ram_end: int, kernel: Sequence[tuple[int, int]], command_line: str
) -> list[int]:
    """Place modules after the kernel, each on a page boundary; return their addresses in order.

    Args:
        modules: In the order in which the kernel is to see them.
        ram_end: Physical.
        kernel: Physical ranges `[start, end)` of its segments, `.bss` included.
        command_line: All of it; with the other texts it makes the room between kernel and modules.

    Raises:
        BootInfoDoesNotFit: There is not enough RAM after the kernel.
    """
    texts = [command_line, "qemu", *(module.text for module in modules)]
    room = sum(_LIST_ENTRY for _ in modules) + sum(len(text_bytes(text)) for text in texts)
    top = page_up(max([HIGH_START, *(end for _, end in kernel)])) + page_up(room)
    addresses = []
    for module in modules:
        if top + len(module.data) > ram_end:
            raise BootInfoDoesNotFit(f"module {module.text!r}", len(module.data), max(0, ram_end - top))
        addresses.append(top)
        top = page_up(top + len(module.data))
    return addresses


def page_up(address: int) -> int:
    """Return the first page boundary at or after an address."""
    return address + -address % PAGE_SIZE
