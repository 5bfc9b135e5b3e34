"""Boot modules: files that a kernel is given, and where they are placed.

They go to the top of RAM, out of the way of the kernel and of the heap that usually follows it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import BadFile, BootInfoDoesNotFit
from emulator.loader.files import read_file
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

_HIGH_START = 0x100000
_LARGEST_MODULE = 1 << 32  # bytes; more than any RAM


class Module(NamedTuple):
    """A file for the kernel.

    Attributes:
        text: Its name and arguments, as the kernel gets to see them.
        data: Its bytes.
    """

    text: str
    data: bytes

    @classmethod
    def read(cls, specification: str) -> Module:
        """Read a module given as "path arguments...".

        Raises:
            BadFile: The file cannot be read.
        """
        name, separator, arguments = specification.partition(" ")
        try:
            data = read_file(name, _LARGEST_MODULE)
        except OSError as error:
            raise BadFile(name, f"cannot be read: {error.strerror}", given_as="module ") from error
        return cls(f"{Path(name).name}{separator}{arguments}", data)


def place_modules(modules: Sequence[Module], ram_end: int, kernel: Sequence[tuple[int, int]]) -> list[int]:
    """Place modules downwards from the end of RAM, each on a page boundary; return their addresses in order.

    Args:
        modules: In the order in which the kernel is to see them.
        ram_end: Physical.
        kernel: Physical ranges `[start, end)` of its segments.

    Raises:
        BootInfoDoesNotFit: There is not enough RAM above the kernel.
    """
    floor = max([_HIGH_START, *(end for _, end in kernel)])
    addresses = []
    top = ram_end
    for module in modules:
        start = (top - len(module.data)) // PAGE_SIZE * PAGE_SIZE
        if start < floor:
            raise BootInfoDoesNotFit(f"module {module.text!r}", len(module.data), max(0, top - floor))
        addresses.append(start)
        top = start
    return addresses
