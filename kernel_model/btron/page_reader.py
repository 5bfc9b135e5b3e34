"""Looks for entries of the page table that cannot be: the flag does not exist, or it does not fit the number of owners.

The table has an entry for each page of RAM, so no entry is looked at by itself: one pattern runs over all sound ones.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kernel_model.btron.pmem import PMEM_FREE, PMEM_RESERVED, PMEM_USE
from kernel_model.defect import Defect
from kernel_model.structs import PMEM_ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.btron.pmem import Pmem
    from kernel_model.memory import Memory

_PAGES_MAX: Final = 1 << 20
_OWNERS: Final = PMEM_ENTRY.offset("refcount")
_NAMES: Final = {PMEM_FREE: "free", PMEM_USE: "in use", PMEM_RESERVED: "reserved"}
_sound: Final = re.compile(
    b"(?:\0{8}|\x01\0\0\0(?!\0{4}).{4}|\x02\0{7})*+", re.DOTALL
).match  # free, in use, reserved


def page_defects(memory: Memory, memory_size: int, pmem: Pmem) -> Iterator[Defect]:
    """Yield the entries that cannot be; a table that is not set up has none.

    Args:
        memory: Physical memory.
        memory_size: Its bytes.
        pmem: The model; only read from.
    """
    table, pages = pmem.table(), pmem.pages()
    if not table or not pages:
        return
    if not is_in_memory(table, pages, memory_size):
        text = f"the page table makes no sense: pmem_table 0x{table:08x}, pmem_pages 0x{pages:08x}"
        yield Defect(pmem.addresses.pages, "", pages, text)
        return
    size = PMEM_ENTRY.size * pages
    entries = memory.view(table, size)
    position = 0
    while position < size:
        sound = _sound(entries, position)
        position = sound.end() if sound else position
        if position < size:
            yield _defect(memory, table, position // PMEM_ENTRY.size)
            position += PMEM_ENTRY.size


def is_in_memory(table: int, pages: int, memory_size: int) -> bool:
    """Tell whether there is memory for the page table of so many pages, and whether there can be so many."""
    return pages <= _PAGES_MAX and table + PMEM_ENTRY.size * pages <= memory_size


def _defect(memory: Memory, table: int, page: int) -> Defect:
    address = table + PMEM_ENTRY.size * page
    flag, owners = memory.load_words(address, 2)
    name = f"pmem_table[0x{page:08x}]"
    if flag not in _NAMES:
        return Defect(address, f"{name}.flag", flag, "there is no such flag")
    problem = "a page in use has an owner" if flag == PMEM_USE else f"a {_NAMES[flag]} page has no owner"
    return Defect(address + _OWNERS, f"{name}.refcount", owners, problem)
