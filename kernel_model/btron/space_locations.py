"""What the words of ``space_table``, page directories and page tables of user spaces are.

Shortcoming. What a page holds has no location: it is its task's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_model.audit import table_entry, variable
from kernel_model.btron.spaces import region_location
from kernel_model.btron.tcb import MAX_TASKS
from kernel_model.page_tables import PAGE_BYTES
from kernel_model.structs import REGION, SPACE_BYTES, WORD

if TYPE_CHECKING:
    from kernel_model.audit import Location
    from kernel_model.btron.spaces import Spaces


def locate_in_spaces(address: int, spaces: Spaces) -> Location | None:
    """Return what the byte at a physical address belongs to; None: nothing of address spaces.

    Args:
        address: The byte.
        spaces: Of all tasks.

    Raises:
        IndexError: A page directory is not in memory.
    """
    task, offset = divmod(address - spaces.table, SPACE_BYTES)
    if 0 <= task <= MAX_TASKS:
        return _in_table(address, task, offset, spaces)
    if address // PAGE_BYTES == spaces.kernel_directory // PAGE_BYTES:
        return _entry(address, 0, None, of_directory=True)
    for number in range(1, MAX_TASKS + 1):
        directory = spaces.directory(number)
        if not directory:
            continue
        if address // PAGE_BYTES == directory // PAGE_BYTES:
            return _entry(address, 0, number, of_directory=True)
        slot = spaces.pages.slot_of_table(directory, address - address % PAGE_BYTES)
        if slot is not None:
            return _entry(address, slot, number, of_directory=False)
    return None


def _in_table(address: int, task: int, offset: int, spaces: Spaces) -> Location:
    start = address - offset
    if offset < WORD:
        return variable("space_table", start, item=task)._replace(field="directory")
    number = (offset - WORD) // REGION.size
    region = region_location(task, number, spaces.slots(task)[number])
    return region.part_at(address, REGION, REGION)


def _entry(address: int, slot: int, task: int | None, *, of_directory: bool) -> Location:
    """Return the location of an entry; *slot* is the index of the table's own entry in the directory."""
    word = address - address % WORD
    number = word % PAGE_BYTES // WORD
    linear = number << 22 if of_directory else slot << 22 | number << 12
    return table_entry(linear, word, task, of_directory=of_directory)
