"""What a BTRON/386 kernel does with its memory, as plain data. Addresses are the kernel's own, sizes bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kernel_model.btron.kmem_reader import KmemState
    from kernel_model.btron.pool_reader import PoolState


class PageCount(NamedTuple):
    """How many pages have the same entry in ``pmem_table``."""

    flag: int
    refcount: int
    pages: int


class PageState(NamedTuple):
    """The page table's figures; all but `by_entry` are counts of pages.

    Attributes:
        shared: Pages in use that have more than one owner; they count as used, too.
        by_entry: Counts by flag and refcount, ascending.
    """

    total: int
    free: int
    used: int
    shared: int
    reserved: int
    largest_free_run: int
    by_entry: tuple[PageCount, ...]

    @property
    def fragmentation(self) -> float:
        """1 - largest free run / all free pages: 0.0 when they are one run or nothing is free."""
        return 1 - self.largest_free_run / self.free if self.free else 0.0


class BtronState(NamedTuple):
    """All of it. A part is None where it is not set up or makes no sense.

    Attributes:
        defects: Broken rules, a line each.
    """

    pages: PageState | None = None
    kmem: KmemState | None = None
    pools: tuple[PoolState, ...] = ()
    defects: tuple[str, ...] = ()
