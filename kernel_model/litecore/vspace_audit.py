"""The audit of LiteCore's ranges of address space: each record makes sense, and comes after the one before it.

Theory. The list is followed up to the first record that no search would pass. All of this holds while ``vspace_lock`` is not held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.audit import BrokenStructure, Defect, Invariant
from kernel_model.litecore.paging_damage import VSPACE, record_location
from kernel_model.litecore.vspace import Owner
from kernel_model.page_tables import PAGE_BYTES
from kernel_model.structs import VSPACE_RANGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.litecore.vspace import VirtualSpace

_VMALLOC: Final = "vmalloc"
AREAS: Final = (VSPACE, _VMALLOC)
"""The areas of LiteCore's profile whose blocks are ranges."""

_START: Final = Invariant(
    "vspace-range-start", "not on a page boundary at or above 0x{:08x}, where the range before it ends"
)
_PAGES: Final = Invariant("vspace-range-pages", "not 1 to 0x{:x}, the pages up to vspace_end")
_OWNER: Final = Invariant(
    "vspace-range-owner", "neither vspace_alloc (0) nor vmalloc (1, or 2 while vfree is at work)"
)


def range_defects(vspace: VirtualSpace) -> Iterator[Defect]:
    """Yield what is wrong with the records, in the order found.

    Args:
        vspace: The model; only read from.
    """
    lowest, end = vspace.bounds()
    record, link = vspace.first(), vspace.addresses.ranges
    while record:
        try:
            start, pages, owner, following = vspace.load_record(link, record)
        except BrokenStructure as error:
            yield error.defect
            return
        whole = record_location(record)
        area = VSPACE if owner == Owner.ALLOC else _VMALLOC
        if owner not in list(Owner):
            yield Defect(_OWNER, VSPACE, whole.member(VSPACE_RANGE, "owner"), owner)
        if start < lowest or start % PAGE_BYTES:
            yield Defect(_START, area, whole.member(VSPACE_RANGE, "start"), start, (lowest,))
            return
        most = max(end - start, 0) // PAGE_BYTES
        if not 0 < pages <= most:
            yield Defect(_PAGES, area, whole.member(VSPACE_RANGE, "pages"), pages, (most,))
            return
        lowest = start + pages * PAGE_BYTES
        record, link = following, whole.member(VSPACE_RANGE, "next").start
