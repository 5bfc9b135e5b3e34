"""What a page can be, and how the pages of a table are used, as runs and as figures."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

PMEM_FREE: Final = 0
PMEM_USE: Final = 1
PMEM_RESERVED: Final = 2
FLAG_NAMES: Final = {PMEM_FREE: "free", PMEM_USE: "in use", PMEM_RESERVED: "reserved"}


class PageRun(NamedTuple):
    """A maximal run ``[start, end)`` of pages (numbers) whose entries are the same."""

    start: int
    end: int
    flag: int
    refcount: int


class PageCount(NamedTuple):
    """How many pages have the same entry in ``pmem_table``."""

    flag: int
    refcount: int
    pages: int


class PageUsage(NamedTuple):
    """How the pages are used; all values but `by_entry` are counts of pages.

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


def page_usage(runs: Iterable[PageRun]) -> PageUsage:
    """Count the pages of a table by flag and owners, and the longest free run.

    Args:
        runs: Of the whole table, in address order.
    """
    counts: Counter[tuple[int, int]] = Counter()
    largest = current = position = 0
    for start, end, flag, refcount in runs:
        counts[flag, refcount] += end - start
        current = current + end - start if flag == PMEM_FREE else 0
        largest = max(largest, current)
        position = end

    def count(flag: int) -> int:
        return sum(pages for (each, _), pages in counts.items() if each == flag)

    return PageUsage(
        total=position,
        free=count(PMEM_FREE),
        used=count(PMEM_USE),
        shared=sum(pages for (flag, refs), pages in counts.items() if flag == PMEM_USE and refs > 1),
        reserved=count(PMEM_RESERVED),
        largest_free_run=largest,
        by_entry=tuple(PageCount(*entry, counts[entry]) for entry in sorted(counts)),
    )
