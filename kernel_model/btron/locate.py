"""What lies at an address of BTRON/386's memory.

Theory. A byte belongs to a global variable of the kernel, an entry of one of its tables, a block of a pool, or a free
area. The structures may be broken at that moment; whatever cannot be made sense of has no location.

Source: spec 2.2 to 2.5; `kernel_model.structs`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from kernel_model.audit import Location, LocationKind, variable
from kernel_model.btron.kernel_space import physical
from kernel_model.btron.kmem import MAX_EXTENTS
from kernel_model.btron.page_reader import page_entry
from kernel_model.btron.pmem import MAX_BOOT_RANGES
from kernel_model.btron.pools.table import POOL_IDS
from kernel_model.btron.tcb import MAX_TASKS, PRIORITIES
from kernel_model.structs import (
    BOOT_RANGE,
    FREE_MPL_BLOCK,
    KMEM_ENTRY,
    KMEM_EXTENT,
    MPL_BLOCK,
    PMEM_ENTRY,
    POOL_MPF,
    POOL_MPL,
    TCB,
    WORD,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kernel_model.blocks import Block
    from kernel_model.btron.abi import Btron

_WORD_SYMBOLS: Final = (
    *("pmem_table", "pmem_pages", "boot_range_count", "boot_reserved_count"),
    *("kmem_free_list", "kmem_extent_count"),
    *("current_task", "sys_dispatch_disabled", "need_dispatch", "sys_tick"),
)
_TABLES: Final = (
    ("boot_ranges", BOOT_RANGE, MAX_BOOT_RANGES),
    ("boot_reserved", BOOT_RANGE, MAX_BOOT_RANGES),
    ("kmem_extents", KMEM_EXTENT, MAX_EXTENTS),
    ("mpl_table", POOL_MPL, POOL_IDS.stop),
    ("mpf_table", POOL_MPF, POOL_IDS.stop),
    ("tcb_table", TCB, MAX_TASKS + 1),
)


def locate(address: int, addresses: Mapping[str, int], kernel: Btron) -> Location | None:
    """Return what the byte at a physical address belongs to; None: nothing that is known.

    Args:
        address: The byte.
        addresses: Physical addresses of the kernel's symbols.
        kernel: The models, to find blocks and areas.
    """
    found = _in_variables(address, addresses)
    for search in (_in_page_table, _in_pools, _in_free_areas, _in_spaces):
        if found is None:
            with suppress(IndexError):  # it leads to nowhere, or makes no sense
                found = search(address, kernel)
    return found


def _in_variables(address: int, addresses: Mapping[str, int]) -> Location | None:
    for name in _WORD_SYMBOLS:
        if addresses[name] <= address < addresses[name] + WORD:
            return variable(name, addresses[name])
    for name in ("ready_head", "ready_tail"):
        priority = (address - addresses[name]) // WORD
        if 0 <= priority < PRIORITIES.stop:
            return variable(name, addresses[name] + WORD * priority, item=priority)
    for name, layout, count in _TABLES:
        index, offset = divmod(address - addresses[name], layout.size)
        if 0 <= index < count:
            element = variable(name, address - offset, layout.size, item=index)
            return element.part_at(address, layout, layout)
    return None


def _in_spaces(address: int, kernel: Btron) -> Location | None:
    if kernel.spaces is None:
        return None
    from kernel_model.btron.space_locations import locate_in_spaces  # not every run needs it

    return locate_in_spaces(address, kernel.spaces)


def _in_page_table(address: int, kernel: Btron) -> Location | None:
    page, offset = divmod(address - kernel.pmem.table(), PMEM_ENTRY.size)
    if not 0 <= page < kernel.pmem.pages():
        return None
    return page_entry(page, address - offset).part_at(address, PMEM_ENTRY, PMEM_ENTRY)


def _in_pools(address: int, kernel: Btron) -> Location | None:
    for name, pools in (("mpl", kernel.mpl), ("mpf", kernel.mpf)):
        for number in pools.numbers():
            fields = pools.fields(number)
            if 0 <= address - physical(fields.area) < fields.area_size:
                return _in_blocks(address, name, number, pools.blocks(number))
    return None


def _in_blocks(address: int, name: str, number: int, blocks: Iterable[Block]) -> Location:
    """Return the block and the part of it that a byte of a pool's area belongs to."""
    for block in blocks:
        end = physical(block.body) + block.size
        if address < end:
            start, layout = physical(block.header), MPL_BLOCK if block.used else FREE_MPL_BLOCK
            whole = Location(LocationKind.BLOCK, name, start, end, number, block.header)
            return whole.part_at(address, MPL_BLOCK, layout)
    return Location(LocationKind.UNREADABLE, name, address, address + 1, number, field="record")


def _in_free_areas(address: int, kernel: Btron) -> Location | None:
    for area in kernel.kmem.areas():
        start = physical(area.start)
        if 0 <= address - start < area.size:
            whole = Location(LocationKind.AREA, "kmem", start, start + area.size, item=area.start)
            return whole.part_at(address, KMEM_ENTRY, KMEM_ENTRY)
    return None
