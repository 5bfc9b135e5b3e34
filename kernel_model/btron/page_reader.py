"""Checks the page table: the flag of an entry has to exist, and to fit the number of the page's owners.

The table has an entry for each page of RAM, so one pattern runs over all that are valid, and only others are read singly.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kernel_model.audit import Defect, Invariant, Location, LocationKind, variable
from kernel_model.btron.pages import FLAG_NAMES, PMEM_USE
from kernel_model.btron.pmem import AREA
from kernel_model.structs import PMEM_ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.btron.pmem import Pmem
    from kernel_model.memory import Memory

_PAGES_MAX: Final = 1 << 20
_TABLE: Final = Invariant(
    "pmem-table",
    "the page table makes no sense: pmem_table 0x{:08x}, pmem_pages 0x{:08x}",
    names_word=True,
)
_FLAG: Final = Invariant("pmem-flag", "there is no such flag")
_OWNER: Final = Invariant("pmem-owner", "a page in use has an owner")
_NO_OWNER: Final = Invariant("pmem-no-owner", "a {} page has no owner")

_valid: Final = re.compile(
    b"(?:\0{8}|\x01\0\0\0(?!\0{4}).{4}|\x02\0{7})*+", re.DOTALL
).match  # free, in use, reserved


def page_defects(memory: Memory, memory_size: int, pmem: Pmem) -> Iterator[Defect]:
    """Yield the defects of entries that cannot be; a table that is not set up has none.

    Args:
        memory: Physical memory.
        memory_size: Its bytes.
        pmem: The model; only read from.
    """
    table, pages = pmem.table(), pmem.pages()
    if not table or not pages:
        return
    if not is_in_memory(table, pages, memory_size):
        location = variable("pmem_pages", pmem.addresses.pmem_pages)
        yield Defect(_TABLE, AREA, location, pages, (table, pages))
        return
    size = PMEM_ENTRY.size * pages
    entries = memory.view(table, size)
    position = 0
    while position < size:
        valid = _valid(entries, position)
        position = valid.end() if valid else position
        if position < size:
            yield _defect(memory, table, position // PMEM_ENTRY.size)
            position += PMEM_ENTRY.size


def is_in_memory(table: int, pages: int, memory_size: int) -> bool:
    """Return whether there is memory for the page table of so many pages, and whether there can be so many."""
    return pages <= _PAGES_MAX and table + PMEM_ENTRY.size * pages <= memory_size


def _defect(memory: Memory, table: int, page: int) -> Defect:
    address = table + PMEM_ENTRY.size * page
    flag, owners = memory.load_words(address, 2)
    entry = page_entry(page, address)
    if flag not in FLAG_NAMES:
        return Defect(_FLAG, AREA, entry.member(PMEM_ENTRY, "flag"), flag)
    refcount = entry.member(PMEM_ENTRY, "refcount")
    if flag == PMEM_USE:
        return Defect(_OWNER, AREA, refcount, owners)
    return Defect(_NO_OWNER, AREA, refcount, owners, (FLAG_NAMES[flag],))


def page_entry(page: int, address: int) -> Location:
    """Return the location of a page's entry, which lies at a physical address."""
    return Location(LocationKind.PAGE, "pmem_table", address, address + PMEM_ENTRY.size, item=page)
