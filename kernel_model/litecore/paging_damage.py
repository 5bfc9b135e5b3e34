"""What the models of virtual memory raise where their structures lead out of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.audit import (
    BrokenStructure,
    Defect,
    Invariant,
    Location,
    LocationKind,
    table_entry,
    variable,
)
from kernel_model.structs import MEMMAP, VSPACE_RANGE

if TYPE_CHECKING:
    from kernel_model.litecore.memmap import Memmap
    from kernel_model.litecore.paging import PagingAddresses
    from kernel_model.litecore.vspace import VspaceAddresses
    from kernel_model.memory import Memory

FRAMES: Final = "frames"
VSPACE: Final = "vspace"
"""The areas of LiteCore's profile."""

_COVERED: Final = 0xFFC0_0000  # bits of an address that say which directory entry it has

_DIRECTORY_IN_MEMORY: Final = Invariant("page-directory-in-memory", "there is no memory for a page directory")
_TABLE_IN_MEMORY: Final = Invariant("page-table-in-memory", "there is no memory for a page table")
_WINDOW_IN_MEMORY: Final = Invariant(
    "memmap-window-in-memory", "there is no memory for frame 0x{:08x} of the window"
)
_RANGE_IN_MEMORY: Final = Invariant("vspace-range-in-memory", "there is no memory for the record of a range")


def outside_memory(memory: Memory, addresses: PagingAddresses, virtual: int) -> BrokenStructure:
    """Return what is raised when the entries for a virtual address do not lie in memory."""
    directory = memory.load_u32(addresses.directory)
    index = virtual >> 22
    try:
        entry = memory.load_u32(directory + 4 * index)
    except IndexError:
        location = variable("page_directory", addresses.directory)
        return BrokenStructure(Defect(_DIRECTORY_IN_MEMORY, FRAMES, location, directory))
    location = table_entry(virtual & _COVERED, directory + 4 * index, of_directory=True)
    return BrokenStructure(Defect(_TABLE_IN_MEMORY, FRAMES, location, entry))


def window_outside_memory(memmap: Memmap, frame: int) -> BrokenStructure:
    """Return what is raised when a frame that was handed out for a table does not lie in memory."""
    location = variable("memmap", memmap.address).member(MEMMAP, "end_addr")
    return BrokenStructure(Defect(_WINDOW_IN_MEMORY, FRAMES, location, memmap.fields().end_addr, (frame,)))


def record_outside_memory(addresses: VspaceAddresses, link: int, record: int) -> BrokenStructure:
    """Return what is raised when the word at *link* leads to a record outside memory."""
    if link == addresses.ranges:
        location = variable("vspace_ranges", link)
    else:
        location = record_location(link - VSPACE_RANGE.offset("next")).member(VSPACE_RANGE, "next")
    return BrokenStructure(Defect(_RANGE_IN_MEMORY, VSPACE, location, record))


def record_location(record: int) -> Location:
    """Return the location of the record at an address."""
    end = record + VSPACE_RANGE.size
    return Location(LocationKind.VARIABLE, f"vspace_range 0x{record:08x}", record, end)
