"""What lies at an address: the words of a report about a differing byte.

Theory. A byte that two runs disagree on means little by its address. It belongs to a global of the kernel, an entry of one
of its tables, a block of a pool, or a free area. The structures may be broken at that moment; whatever cannot be
made sense of is named by its address.

Source: spec 2.2 to 2.4; `kernel_model.structs`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from kernel_model.btron.kernel_space import physical
from kernel_model.btron.kmem import MAX_EXTENTS
from kernel_model.btron.pmem import MAX_BOOT_RANGES
from kernel_model.btron.pool_table import POOL_IDS
from kernel_model.btron.tasks import MAX_TASKS, PRIORITIES
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
    StructLayout,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kernel_model.btron.abi import Btron
    from kernel_model.btron.pool_table import PoolBlock

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


def describe(address: int, addresses: Mapping[str, int], kernel: Btron) -> str:
    """Return what the byte at a physical address belongs to.

    Examples: ``need_dispatch``, ``tcb_table[3].wercd``, ``ready_head[10]``, ``pmem_table[0x00000123].refcount``,
    ``mpl 7 block 0x80140010 .size`` (blocks are named by their records), ``mpf 2 block 0x80141000 body byte 24``, ``kmem area
    0x80142000 .next``, ``kmem area 0x80142000 body byte 8``, and, for anything else, the address itself.

    Args:
        address: The byte.
        addresses: Physical addresses of the kernel's symbols.
        kernel: The models, to find blocks and areas.
    """
    name = _in_globals(address, addresses)
    for part in (_in_page_table, _in_pools, _in_free_areas):
        if name is None:
            with suppress(IndexError):  # it leads to nowhere, or makes no sense
                name = part(address, kernel)
    return name or f"0x{address:08x}"


def _in_globals(address: int, addresses: Mapping[str, int]) -> str | None:
    for name in _WORD_SYMBOLS:
        if addresses[name] <= address < addresses[name] + 4:
            return name
    for name in ("ready_head", "ready_tail"):
        priority = (address - addresses[name]) // 4
        if 0 <= priority < PRIORITIES.stop:
            return f"{name}[{priority}]"
    for name, layout, count in _TABLES:
        index, offset = divmod(address - addresses[name], layout.size)
        if 0 <= index < count:
            return f"{name}[{index}]{_part(layout, layout.size, offset)}"
    return None


def _in_page_table(address: int, kernel: Btron) -> str | None:
    page, offset = divmod(address - kernel.pmem.table(), PMEM_ENTRY.size)
    if not 0 <= page < kernel.pmem.pages():
        return None
    return f"pmem_table[0x{page:08x}]{_part(PMEM_ENTRY, PMEM_ENTRY.size, offset)}"


def _in_pools(address: int, kernel: Btron) -> str | None:
    for name, pools in (("mpl", kernel.mpl), ("mpf", kernel.mpf)):
        for number in pools.numbers():
            fields = pools.fields(number)
            if 0 <= address - physical(fields.area) < fields.area_size:
                return f"{name} {number} {_in_blocks(address, pools.blocks(number))}"
    return None


def _in_blocks(address: int, blocks: Iterable[PoolBlock]) -> str:
    """Return the block and the part of it that a byte of a pool's area belongs to."""
    for block in blocks:
        start, end = physical(block.record), physical(block.body) + block.size
        if address < end:
            layout = MPL_BLOCK if block.used else FREE_MPL_BLOCK
            return f"block 0x{block.record:08x} {_part(layout, MPL_BLOCK.size, address - start)}"
    return f"byte 0x{address:08x}, behind a broken record"


def _in_free_areas(address: int, kernel: Btron) -> str | None:
    for area in kernel.kmem.areas():
        offset = address - physical(area.start)
        if 0 <= offset < area.size:
            return f"kmem area 0x{area.start:08x} {_part(KMEM_ENTRY, KMEM_ENTRY.size, offset)}"
    return None


def _part(layout: StructLayout, header: int, offset: int) -> str:
    """Return the member at *offset*, or, behind all members, the byte of the body that follows the *header*."""
    field = layout.field_at(offset)
    return f"body byte {offset - header}" if field is None else f".{field.name}"
