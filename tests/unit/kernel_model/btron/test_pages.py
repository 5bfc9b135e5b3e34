"""Figures of a page table."""

from __future__ import annotations

from kernel_model.btron.pages import PMEM_FREE, PMEM_RESERVED, PMEM_USE, PageCount, PageRun, page_usage


def test_pages_are_counted_by_flag_and_owners() -> None:
    runs = [
        PageRun(0, 10, PMEM_RESERVED, 0),
        PageRun(10, 14, PMEM_FREE, 0),
        PageRun(14, 15, PMEM_FREE, 7),
        PageRun(15, 17, PMEM_USE, 1),
        PageRun(17, 20, PMEM_USE, 3),
        PageRun(20, 23, PMEM_FREE, 0),
        PageRun(23, 24, 9, 0),
    ]
    usage = page_usage(runs)
    assert usage[:6] == (24, 8, 5, 3, 10, 5)
    assert usage.by_entry == (
        PageCount(PMEM_FREE, 0, 7),
        PageCount(PMEM_FREE, 7, 1),
        PageCount(PMEM_USE, 1, 2),
        PageCount(PMEM_USE, 3, 3),
        PageCount(PMEM_RESERVED, 0, 10),
        PageCount(9, 0, 1),
    )
    assert usage.fragmentation == 1 - 5 / 8


def test_a_table_without_pages_is_not_fragmented() -> None:
    assert page_usage([]).fragmentation == 0.0
