"""The variables by which BTRON/386 is known, and where its models find their structures.

Apart from the models, so that whoever only recognises the kernel need not import them.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_PMEM_SYMBOLS: Final = (
    "pmem_table",
    "pmem_pages",
    "boot_ranges",
    "boot_range_count",
    "boot_reserved",
    "boot_reserved_count",
)
_KMEM_SYMBOLS: Final = ("kmem_free_list", "kmem_extents", "kmem_extent_count")
_TASK_SYMBOLS: Final = (
    "tcb_table",
    "ready_head",
    "ready_tail",
    "current_task",
    "sys_dispatch_disabled",
    "need_dispatch",
    "sys_tick",
)

LAYER_SYMBOLS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "pmem": _PMEM_SYMBOLS,
        "kmem": _KMEM_SYMBOLS + _PMEM_SYMBOLS,  # each layer takes its memory from the one before
        "pools": ("mpl_table", "mpf_table", *_TASK_SYMBOLS, *_KMEM_SYMBOLS, *_PMEM_SYMBOLS),
        "regions": ("space_table", "page_directory", "tcb_table", *_PMEM_SYMBOLS),
    }
)
"""Symbols of data that the model of each layer needs, the lowest layer first. (To replace a function, its own symbol is needed as well.)"""
