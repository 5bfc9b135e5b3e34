"""Read one page directory of a RAM image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.guest.memory_map.backing import backing_of_ram
from emulator.guest.memory_map.space_reader import NamedSpace, spaces_of

if TYPE_CHECKING:
    from emulator.guest.memory_map.regions import Span
    from emulator.guest.memory_map.spaces import Spaces
    from emulator.guest.ram_image.reader import RamImage
    from kernel_model.mappings import TableFrame

_DIRECTORY: Final = 4096
_FIRST_LEVEL: Final = 32


class NoDirectory(ValueError):
    """There can be no page directory at an address; the text says why."""


class DirectoryFacts(NamedTuple):
    """What a page directory in a RAM image maps, and the state in which it was saved.

    Attributes:
        image: The file as it was named.
        ram: What of RAM it holds.
        cr0: CR0, as the next ones.
        cr3: The directory that was in use.
        cr4: How tables are read.
        nx: Whether entries can forbid execution; None: the file does not say.
        is_paged: Whether paging was on.
        is_pae: Whether there are three levels.
        spaces: The one address space.
        tables: Its tables, the directories first.
    """

    image: str
    ram: tuple[Span, ...]
    cr0: int
    cr3: int
    cr4: int
    nx: bool | None
    is_paged: bool
    is_pae: bool
    spaces: Spaces
    tables: tuple[TableFrame, ...]


def read_directory(image: RamImage, address: int | None) -> DirectoryFacts:
    """Read a page directory.

    Args:
        image: Where it lies.
        address: Physical; None: that in CR3.

    Raises:
        NoDirectory: It is not aligned, or not in the file; or it is the one in CR3, and paging is off.
    """
    size = _FIRST_LEVEL if image.is_pae else _DIRECTORY
    in_use = image.cr3 & -size
    if address is None and not image.is_paged:
        raise NoDirectory(f"{image.path} was saved with paging off: name the address of a page directory")
    directory = in_use if address is None else address
    if directory % size:
        raise NoDirectory(f"0x{directory:08x} is no page directory: it is not a multiple of {size}")
    if not any(start <= directory and directory + size <= end for start, end in image.ram):
        raise NoDirectory(f"0x{directory:08x} is no page directory: {image.path} has no RAM there")
    space = image.address_space(directory)
    in_use = in_use if image.is_paged else -1
    spaces = spaces_of([space], [NamedSpace(directory, "")], in_use, backing_of_ram(image.ram))
    return DirectoryFacts(
        image.path,
        image.ram,
        image.cr0,
        image.cr3,
        image.cr4,
        image.nx,
        image.is_paged,
        image.is_pae,
        spaces,
        tuple(space.tables()),
    )
