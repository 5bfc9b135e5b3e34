"""What a BTRON/386 kernel does with its memory, as plain data. Addresses are the kernel's own, sizes bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from emulator.report.areas import Span


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


class KmemState(NamedTuple):
    """The byte allocator.

    Attributes:
        extents: What it owns.
        areas: The free list, as far as it makes sense.
    """

    extents: tuple[Span, ...]
    areas: tuple[Span, ...]

    @property
    def owned(self) -> int:
        """Bytes of the extents."""
        return sum(end - start for start, end in self.extents)

    @property
    def free(self) -> int:
        """Bytes of the free areas."""
        return sum(end - start for start, end in self.areas)

    @property
    def largest_free(self) -> int:
        """Bytes of the largest free area."""
        return max((end - start for start, end in self.areas), default=0)

    @property
    def fragmentation(self) -> float:
        """1 - largest free area / all free bytes: 0.0 when they are one area or nothing is free."""
        return 1 - self.largest_free / self.free if self.areas else 0.0


class Waiter(NamedTuple):
    """A task in the queue of a pool.

    Attributes:
        task: Its id.
        size: Bytes of the block that it waits for; 0 in pools of blocks of one size.
        deadline: System time (ms) at which it gives up; None: never.
    """

    task: int
    priority: int
    size: int
    deadline: int | None


class PoolState(NamedTuple):
    """A memory pool that exists. Bytes are those of bodies.

    Attributes:
        name: ``mpl`` for blocks of any size, ``mpf`` for blocks of one size.
        by_priority: Whether the most urgent task is served first; otherwise the one that came first.
        block_size: Bytes of every block; 0 in pools for any size.
        used_blocks: Handed out, as far as the records make sense.
        waiters: First to last.
    """

    name: str
    number: int
    by_priority: bool
    area: Span
    block_size: int
    used_blocks: int
    used: int
    free_blocks: int
    free: int
    largest_free: int
    waiters: tuple[Waiter, ...]


class BtronState(NamedTuple):
    """All of it. A part is None where it is not set up or makes no sense.

    Attributes:
        defects: Broken rules, a line each.
    """

    pages: PageState | None = None
    kmem: KmemState | None = None
    pools: tuple[PoolState, ...] = ()
    defects: tuple[str, ...] = ()
