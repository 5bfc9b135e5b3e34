"""The variables by which LiteCore is known, and where its models find their structures.

Apart from the models, so that whoever only recognises the kernel need not import them.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_MEMMAP_SYMBOLS: Final = ("memmap", "memmap_lock", "__end")
HEAP_SYMBOLS: Final = ("heap_start", "heap_end", "heap_free_list", "heap_error_count", "heap_lock")

PAGING_SYMBOLS: Final = ("page_directory", "paging_lock")
VSPACE_SYMBOLS: Final = ("vspace_start", "vspace_end", "vspace_ranges", "vspace_error_count", "vspace_lock")
_HEAP: Final = HEAP_SYMBOLS + _MEMMAP_SYMBOLS

LAYER_SYMBOLS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "memmap": _MEMMAP_SYMBOLS,
        "heap": _HEAP,  # mem_has_space() asks about frames, too
        "paging": PAGING_SYMBOLS + _HEAP,  # the heap is mapped to itself
        "vspace": VSPACE_SYMBOLS + PAGING_SYMBOLS + _HEAP,
    }
)
"""Symbols of data that the model of each layer needs, the lowest layer first. (To replace a function, its own symbol is needed as well.)"""
