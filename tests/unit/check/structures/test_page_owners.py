"""BTRON/386's page table against the owners that the trace knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.check.findings import Kind
from kernel_model.text import violation_text
from tests.helpers.checked import checked

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.machine.machine import Machine


def store(machine: Machine, page: int, flag: int, owners: int) -> None:
    table = machine.memory.load_u32(machine.address_of("pmem_table") & 0x7FFFFFFF) & 0x7FFFFFFF
    machine.memory.store_words(table + 8 * page, (flag, owners))


def kmem_page(machine: Machine) -> int:
    return (machine.memory.load_u32(machine.address_of("kmem_extents") & 0x7FFFFFFF) & 0x7FFFFFFF) // 4096


def test_a_page_that_nobody_has(tmp_path: Path) -> None:
    run = checked("btron_demo", tmp_path, at_end=lambda machine: store(machine, 1000, 1, 2))
    (finding,) = run.checks.at_end(run.trace)
    assert (finding.kind, finding.area) == (Kind.REFCOUNT, "pmem")
    assert finding.message == "page 0x003e8: in use, refcount 2, but no owner"
    assert finding.block is None


@pytest.mark.parametrize(("name", "value"), [("pmem_pages", 0xFFFFFFFF), ("pmem_table", 0xFFFFFFF8)])
def test_a_page_table_that_makes_no_sense_says_nothing_of_pages(
    name: str, value: int, tmp_path: Path
) -> None:
    def spoil(machine: Machine) -> None:
        machine.memory.store_u32(machine.address_of(name) & 0x7FFFFFFF, value)

    run = checked("btron_demo", tmp_path, at_end=spoil)
    assert run.checks.at_end(run.trace) == []
    assert "the page table makes no sense: " in violation_text(run.checks.audit()[0])


@pytest.mark.parametrize(
    ("flag", "owners", "text"),
    [(1, 2, "in use, refcount 2, but 1 owner"), (0, 0, "free, refcount 0, but 1 owner")],
)
def test_a_page_of_kmem(flag: int, owners: int, text: str, tmp_path: Path) -> None:
    def spoil(machine: Machine) -> None:
        for page in (1, 2):
            store(machine, kmem_page(machine) + page, flag, owners)

    run = checked("btron_demo", tmp_path, at_end=spoil)
    page = kmem_page(run.machine)
    (finding,) = run.checks.at_end(run.trace)
    assert finding.message == f"pages 0x{page + 1:05x}..0x{page + 2:05x}: {text}"
    assert finding.block is not None
    assert finding.block.address <= (page << 12 | 0x80000000) < finding.block.address + finding.block.size


def test_many_mismatches_are_cut_short(tmp_path: Path) -> None:
    def every_other(machine: Machine) -> None:
        for page in range(1000, 1080, 2):
            store(machine, page, 1, 2)

    run = checked("btron_demo", tmp_path, at_end=every_other)
    found = run.checks.at_end(run.trace)
    assert [finding.message for finding in found][15] == "page 0x00406: in use, refcount 2, but no owner"
    assert [finding.details for finding in found] == [
        ("the first 16 of 40 like this are listed",),
        *[()] * 15,
    ]


def test_who_changed_a_count_is_found(tmp_path: Path) -> None:
    run = checked("btron_bad_refcount", tmp_path)
    (finding,) = run.checks.at_end(run.trace, run.rerun)
    assert finding.faulting_write is not None
    assert finding.faulting_write.backtrace[0].function == "add_user"
    assert (finding.faulting_write.before, finding.faulting_write.after) == (1, 2)


def test_the_twin_is_clean(tmp_path: Path) -> None:
    run = checked("btron_bad_refcount_ok", tmp_path)
    assert run.checks.at_end(run.trace, run.rerun) == []


def test_a_reserved_page_that_is_handed_out(tmp_path: Path) -> None:
    def reserve_all(machine: Machine) -> None:
        ranges = machine.address_of("boot_reserved") & 0x7FFFFFFF
        machine.memory.store_words(ranges, (0, 0x500000))

    run = checked("btron_demo", tmp_path, at_end=reserve_all)
    findings = run.checks.at_end(run.trace)
    assert {finding.kind for finding in findings} == {Kind.RESERVED}
    assert findings[0].message.startswith("pmem_alloc handed out page")
    assert findings[0].message.endswith(", reserved at boot")
    assert findings[0].call_site is not None
