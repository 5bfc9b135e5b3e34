from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.errors import BudgetUsedUp
from emulator.guest.memory_map.reader import read_memory_map
from emulator.guest.memory_map.regions import RegionKind
from emulator.report.documents.run import run_document
from emulator.report.run_record import RunRecord
from emulator.run.ending import Ending, How
from kernel_model.btron.pages import PageCount
from kernel_model.structs import POOL_MPF, POOL_MPL, TCB
from kernel_model.text import defect_text

if TYPE_CHECKING:
    from emulator.guest.memory_map.memory_map import BtronState, MemoryMap
    from emulator.machine.machine import Machine

BASE = 0x80000000


@pytest.fixture(scope="module")
def waiting() -> Machine:
    """Stop where five tasks wait for pool 1 and one for pool 3."""
    machine = boot("firmware:btron_pools_wait")
    machine.run(until="E, priority 10, asks for 200 bytes until tick 300", timeout_s=10)
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=20_000)
    return machine


def address(machine: Machine, name: str) -> int:
    found = machine.image.symbol(name)
    assert found is not None
    return found.address - BASE


def read(machine: Machine) -> BtronState:
    state = read_memory_map(machine).btron
    assert state is not None
    return state


def damaged(machine: Machine, words: dict[str, int]) -> MemoryMap:
    """Read while some of the kernel's words have other values; ``*`` follows a pointer."""
    with machine.snapshot():
        for name, value in words.items():
            symbol, _, offset = name.strip("*").partition("+")
            location = address(machine, symbol)
            if name.startswith("*"):
                location = machine.memory.load_u32(location) - BASE
            machine.memory.store_u32(location + int(offset or 0), value)
        return read_memory_map(machine)


def test_pages_bytes_and_pools_with_their_waiters(waiting: Machine) -> None:
    state = read(waiting)
    assert state.pages is not None
    assert (state.pages.total, state.pages.shared, read_memory_map(waiting).defects) == (1280, 0, ())
    assert PageCount(1, 1, state.pages.used) in state.pages.by_entry
    assert state.pages.free + state.pages.used + state.pages.reserved == state.pages.total
    assert state.kmem is not None
    assert state.kmem.owned == 40960
    assert [extent.size for extent in state.kmem.extents] == [40960]
    variable, fixed = state.pools
    assert (variable.name, variable.number, variable.by_priority) == ("mpl", 1, False)
    assert (variable.used_blocks, variable.used, variable.free) == (1, 256, 0)
    assert [(each.number, each.wait_size, each.deadline) for each in variable.waiters] == [
        (2, 200, 51),
        (3, 200, 151),
        (4, 200, 101),
        (5, 200, 251),
        (6, 200, 301),
    ]
    assert (fixed.name, fixed.number, fixed.used_blocks, fixed.free_blocks) == ("mpf", 3, 1, 0)
    assert [(task.number, task.wait_size, task.deadline) for task in fixed.waiters] == [(1, 0, 201)]


def test_the_memory_map(waiting: Machine) -> None:
    memory_map = read_memory_map(waiting)
    assert memory_map.ram == (0x100000, 0x500000)
    inside = [region.kind for region in memory_map.inside_ram()]
    assert inside[:2] == [RegionKind.IMAGE, RegionKind.PAGING]  # the kernel's directory lies in its image
    assert inside.count(RegionKind.PAGING) == 7
    assert [kind for kind in inside[2:] if kind is not RegionKind.PAGING] == [
        RegionKind.IMAGE,
        RegionKind.RESERVED,
        RegionKind.TABLE,
        RegionKind.RESERVED,
        RegionKind.KMEM,
    ]
    assert memory_map.frames is not None
    assert memory_map.allocated == 6  # the stacks of the tasks
    regions = memory_map.whole_ram()
    assert regions[0].start == 0x100000
    assert [region.end for region in regions[:-1]] == [region.start for region in regions[1:]]
    assert (regions[-1].end, regions[-1].kind) == (0x500000, RegionKind.FREE)


def test_shared_pages_are_counted(waiting: Machine) -> None:
    with waiting.snapshot():
        table = waiting.memory.load_u32(address(waiting, "pmem_table")) - BASE
        waiting.memory.store_words(table + 8 * 0x400, (1, 3))
        memory_map = read_memory_map(waiting)
    assert memory_map.btron is not None
    assert memory_map.btron.pages is not None
    assert memory_map.btron.pages.shared == 1
    assert PageCount(1, 3, 1) in memory_map.btron.pages.by_entry
    assert [
        (region.start, region.end) for region in memory_map.regions if region.kind is RegionKind.SHARED
    ] == [(0x400000, 0x401000)]


def test_the_document_for_programs(waiting: Machine) -> None:
    record = RunRecord("k.elf", Ending(How.BUDGET), memory_map=read_memory_map(waiting))
    document = json.loads(json.dumps(run_document(record, 4)))
    assert (document["frames"], document["heap"], document["defects"]) == (None, None, [])
    assert document["pages"]["by_entry"][0] == {
        "flag": 0,
        "refcount": 0,
        "pages": document["pages"]["free"],
        "name": "free",
    }
    assert document["kmem"]["areas"][0]["start"] == document["kmem"]["extents"][0]["start"]
    pool = document["pools"][0]
    assert (pool["kind"], pool["id"], pool["order"], pool["block_size"]) == ("mpl", 1, "fifo", None)
    assert pool["end"] - pool["start"] == 264
    assert [each["task"] for each in pool["waiters"]] == [2, 3, 4, 5, 6]


def test_a_kernel_that_has_not_started() -> None:
    memory_map = read_memory_map(boot("firmware:btron_demo"))
    assert memory_map.notes == ("the page table is not set up",)
    assert memory_map.btron is not None
    assert (memory_map.btron.pages, memory_map.btron.pools, memory_map.defects) == (None, (), ())
    assert [region.kind for region in memory_map.regions] == [RegionKind.IMAGE]


@pytest.mark.parametrize("word", ["pmem_pages", "pmem_table"])
def test_a_page_table_outside_memory_is_not_believed(waiting: Machine, word: str) -> None:
    with waiting.snapshot():
        waiting.memory.store_u32(address(waiting, word), 0xFFFFFFF0)
        memory_map = read_memory_map(waiting)
    assert memory_map.frames is None
    assert memory_map.notes[0].startswith("the page table makes no sense: pmem_table 0x")


def pool_word(symbol: str, number: int, field: str) -> str:
    layout = POOL_MPL if symbol == "mpl_table" else POOL_MPF
    return f"{symbol}+{layout.size * number + layout.offset(field)}"


@pytest.mark.parametrize(
    ("words", "defect"),
    [
        ({"kmem_free_list": 0x12345}, "kmem_free_list: there is no area at 0x00012345"),
        ({"kmem_extents": 0xFFFFF000}, "kmem_extents: 0xfffff000 with 0x0000a000 bytes makes no sense"),
        ({"*kmem_free_list+4": 0xFFFFFFF8}, " cannot have 0xfffffff8 bytes"),
        (
            {pool_word("mpl_table", 1, "area"): 8},
            "mpl 1: the area 0x00000008 with 0x00000108 bytes makes no sense",
        ),
        (
            {pool_word("mpl_table", 1, "area_size"): 0xFFFFFFF8},
            " with 0xfffffff8 bytes makes no sense",
        ),
        (
            {pool_word("mpl_table", 1, "free"): 8},
            "mpl 1: the free list leads to 0x00000008, not to 0x00000000",
        ),
        ({pool_word("mpl_table", 1, "first_waiter"): 99}, "mpl 1: the task queue at 0x"),
        (
            {pool_word("mpl_table", 1, "first_waiter"): 1},
            "mpl 1: task 1 is in its queue, but does not wait for it",
        ),
        (
            {f"tcb_table+{2 * TCB.size + TCB.offset('next')}": 2},
            "mpl 1: the task queue at 0x",
        ),
        (
            {pool_word("mpf_table", 3, "count"): 0xFFFFFFFF},
            "mpf 3: 4294967295 blocks of 4 bytes do not make an area of 16 bytes",
        ),
        (
            {pool_word("mpf_table", 3, "free"): 4},
            "mpf 3: the free list leads to 0x00000004, which is no free block",
        ),
        ({pool_word("mpf_table", 3, "free_count"): 7}, "mpf 3: free_count is 7, but 0 blocks are free"),
        (
            {pool_word("mpl_table", 7, "exists"): 1},
            "mpl 7: the area 0x00000000 with 0x00000000 bytes makes no sense",
        ),
        ({"*pmem_table": 9}, "pmem_table: flag 0x00000009 of 1 page does not exist"),
        ({"*pmem_table+4": 9}, "pmem_table: refcount 9 of 1 page, reserved"),
    ],
)
def test_nothing_is_believed(waiting: Machine, words: dict[str, int], defect: str) -> None:
    found = damaged(waiting, words).defects
    assert any(defect in defect_text(each) for each in found)


def test_a_count_of_extents_is_not_believed(waiting: Machine) -> None:
    with waiting.snapshot():
        waiting.memory.store_u32(address(waiting, "kmem_extent_count"), 0x1FFFFFFF)
        memory_map = read_memory_map(waiting)
    assert memory_map.notes == ("kmem makes no sense: kmem_extent_count 0x1fffffff",)


def test_kmem_pages_that_are_free_are_a_defect(waiting: Machine) -> None:
    state = read(waiting)
    assert state.kmem is not None
    page = (state.kmem.extents[0].start - BASE) >> 12
    found = damaged(waiting, {f"*pmem_table+{8 * page}": 0, f"*pmem_table+{8 * page + 4}": 0}).defects
    assert tuple(map(defect_text, found)) == (
        f"kmem extent 0x{state.kmem.extents[0].start:08x}: 1 of its pages are not in use",
    )


def test_the_scan_of_blocks_is_bounded(waiting: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernel_model.btron.pools.reader.BLOCKS_MAX", 1)
    memory_map = read_memory_map(waiting)
    assert memory_map.notes == ("the pools have 1 blocks or more, and only those are counted",)
    assert memory_map.defects == ()
