"""What reports read: pages, areas, pools and tasks, also where the guest has damaged them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel_model.audit import BrokenStructure
from kernel_model.blocks import Block
from kernel_model.btron.kmem import Area, KmemState
from kernel_model.btron.kmem_reader import read_kmem
from kernel_model.btron.pages import PageRun, PageUsage
from kernel_model.btron.pools.reader import PoolReader, PoolState
from kernel_model.btron.pools.table import PoolFields
from kernel_model.btron.tcb import Task
from kernel_model.text import defect_text
from tests.conformance.btron.subjects import KERNEL, PAGE, RAM_END, SCRATCH, WINDOW, Guest, ModelSubject

if TYPE_CHECKING:
    from kernel_model.audit import Defect

BASE, FIRST = KERNEL + WINDOW, WINDOW // PAGE
END = BASE + 40960


@pytest.fixture
def subject() -> ModelSubject:
    return ModelSubject()


@pytest.fixture
def guest(subject: ModelSubject) -> Guest:
    guest = Guest(subject)
    guest.boot()
    return guest


def test_pages_as_runs_and_in_figures(subject: ModelSubject, guest: Guest) -> None:
    guest.call("pmem_alloc", 3 * PAGE)
    guest.er("pmem_share", BASE + PAGE, PAGE)
    pmem = subject.btron.pmem
    assert list(pmem.runs()) == [
        PageRun(0, FIRST, 2, 0),
        PageRun(FIRST, FIRST + 1, 1, 1),
        PageRun(FIRST + 1, FIRST + 2, 1, 2),
        PageRun(FIRST + 2, FIRST + 3, 1, 1),
        PageRun(FIRST + 3, FIRST + 64, 0, 0),
        PageRun(FIRST + 64, RAM_END // PAGE, 2, 0),
    ]
    total = RAM_END // PAGE
    assert pmem.usage()[:6] == (total, 61, 3, 1, total - 64, 61)


def test_a_table_without_entries(subject: ModelSubject, guest: Guest) -> None:
    guest.set("pmem_pages", 0)
    assert list(subject.btron.pmem.runs()) == []
    assert subject.btron.pmem.usage() == PageUsage(0, 0, 0, 0, 0, 0, ())
    assert guest.call("pmem_alloc", 1) == 0
    guest.set("pmem_pages", RAM_END // PAGE)


def test_an_unknown_flag_is_a_run_of_its_own(subject: ModelSubject, guest: Guest) -> None:
    guest.poke(guest.get("pmem_table") + 8 * FIRST, 0x300, 9)
    assert PageRun(FIRST, FIRST + 1, 0x300, 9) in list(subject.btron.pmem.runs())
    assert subject.btron.pmem.usage().free == 63


def test_areas_and_extents(subject: ModelSubject, guest: Guest) -> None:
    kmem = subject.btron.kmem
    assert kmem.state() == KmemState((), ())
    guest.call("kmem_alloc", 100)
    guest.er("kmem_free", END - 64, 32)
    assert kmem.extents() == [Area(BASE, 40960)]
    assert kmem.areas() == [Area(BASE, 40960 - 104), Area(END - 64, 32)]
    assert kmem.areas()[0].end == END - 104
    state = kmem.state()
    assert (state.owned, state.free, state.largest_free) == (40960, 40960 - 72, 40960 - 104)


def test_a_broken_list_is_read_up_to_the_damage(subject: ModelSubject, guest: Guest) -> None:
    guest.call("kmem_alloc", 100)
    guest.poke(BASE, 0x41414141)
    assert subject.btron.kmem.areas() == [Area(BASE, 40960 - 104)]


def read(subject: ModelSubject) -> tuple[KmemState, list[str]]:
    notes: list[str] = []
    defects: list[Defect] = []
    state = read_kmem(subject.memory, RAM_END, subject.btron.kmem, notes, defects)
    assert state is not None
    assert notes == []
    return state, [defect_text(each) for each in defects]


def test_kmem_in_figures(subject: ModelSubject, guest: Guest) -> None:
    state, defects = read(subject)
    assert (state, state.largest_free, state.fragmentation, defects) == (KmemState((), ()), 0, 0.0, [])
    guest.call("kmem_alloc", 100)
    guest.er("kmem_free", END - 64, 32)
    state, defects = read(subject)
    assert (state.owned, state.free, state.largest_free, defects) == (40960, 40888, 40856, [])
    assert state.fragmentation == pytest.approx(1 - 40856 / 40888)
    guest.poke(END - 60, 28)
    assert read(subject)[1] == [f"kmem_free_list: area 0x{END - 64:08x} cannot have 0x0000001c bytes"]


def test_a_broken_extent_hides_no_other(subject: ModelSubject, guest: Guest) -> None:
    second = BASE + 0x100000
    guest.call("kmem_alloc", 40960)
    guest.poke(second, 0, PAGE)
    guest.set("kmem_free_list", second)
    extents = subject.symbols["kmem_extents"]
    guest.poke(extents, BASE, 40960, second, PAGE)
    guest.set("kmem_extent_count", 2)
    both = Area(BASE, 40960), Area(second, PAGE)
    assert read(subject) == (KmemState(both, both[1:]), [])
    guest.poke(extents, BASE + 1)
    assert read(subject) == (
        KmemState(both[1:], both[1:]),
        [f"kmem_extents: 0x{BASE + 1:08x} with 0x0000a000 bytes makes no sense"],
    )


def test_pools_of_any_size(subject: ModelSubject, guest: Guest) -> None:
    mpl = subject.btron.mpl
    assert mpl.numbers() == []
    guest.er("mpl_create", 7, guest.packet(5, 0, 96))
    guest.er("mpl_get", guest.out(), 7, 16, 0)
    area = END - 104
    assert mpl.numbers() == [7]
    assert mpl.fields(7) == PoolFields(5, 0, area, 104, area + 24, 0, 1, size=96)
    assert list(mpl.blocks(7)) == [Block(area, 16, used=True), Block(area + 24, 72, used=False)]
    assert next(mpl.blocks(7)).body == guest.block()
    guest.er("mpl_refer", SCRATCH, 7)
    assert guest.words(SCRATCH, 4) == (5, 0, 72, 72)
    for size in (71, 72 + 8, 72 + 16):
        guest.poke(area + 24, size)
        assert list(mpl.blocks(7)) == [Block(area, 16, used=True)]


def test_pools_of_one_size(subject: ModelSubject, guest: Guest) -> None:
    mpf = subject.btron.mpf
    guest.er("mpf_create", 100, guest.packet(5, 1, 3, 10))
    guest.er("mpf_get", guest.out(), 100, 0)
    area = END - 72
    assert mpf.numbers() == [100]
    fields = PoolFields(5, 1, area, 72, area + 24, 0, 1, block_count=3, block_size=12, free_count=2)
    assert mpf.fields(100) == fields
    assert fields.stride == 24
    assert [block.used for block in mpf.blocks(100)] == [True, False, False]
    guest.er("mpf_refer", SCRATCH, 100)
    assert guest.words(SCRATCH, 3) == (5, 0, 2)
    guest.poke(area + 28, 0x41414141)
    assert list(mpf.blocks(100)) == [Block(area, 12, used=True)]


def read_pools(subject: ModelSubject) -> tuple[list[PoolState], list[Defect]]:
    notes: list[str] = []
    defects: list[Defect] = []
    states = list(PoolReader(subject.memory, RAM_END, subject.btron, notes, defects).pools())
    assert notes == []
    return states, defects


def test_a_broken_record_of_a_fixed_pool_is_named(subject: ModelSubject, guest: Guest) -> None:
    guest.er("mpf_create", 100, guest.packet(5, 1, 3, 10))
    area = END - 72
    guest.poke(area + 48 + 4, 0x41414141)
    (state,), defects = read_pools(subject)
    assert (state.free_blocks, state.free) == (2, 24)
    assert [defect_text(each) for each in defects] == [
        f"mpf 100: there is no record of a block at 0x{area + 48:08x}"
    ]


def test_the_bytes_of_a_fixed_pool_do_not_depend_on_its_records(subject: ModelSubject, guest: Guest) -> None:
    guest.er("mpf_create", 100, guest.packet(5, 1, 3, 10))
    guest.er("mpf_get", guest.out(), 100, 0)
    guest.poke(END - 72, 4)
    (state,), defects = read_pools(subject)
    assert (state.used_blocks, state.used, state.free_blocks, state.free) == (1, 12, 2, 24)
    assert defects == []


@pytest.mark.parametrize("following", [1, 2])
def test_a_queue_of_waiters_that_turns_back_has_none(
    subject: ModelSubject, guest: Guest, following: int
) -> None:
    for number in (1, 2, 3):
        guest.add_task(number, 9)
    guest.er("mpf_create", 1, guest.packet(0, 0, 1, 8))
    guest.er("mpf_get", guest.out(), 1, 0)
    for number in (1, 2):
        guest.run(number)
        guest.er("mpf_get", guest.out(), 1, -1)
    guest.set_tcb(2, "next", following)
    (state,), defects = read_pools(subject)
    assert state.waiters == ()
    assert ["is broken" in defect_text(each) for each in defects] == [True]


def test_tasks_and_waiters(subject: ModelSubject, guest: Guest) -> None:
    for number in (1, 2, 32):
        guest.add_task(number, 9)
    guest.set_tcb(32, "wercd", 0xFFFFFFAA)
    guest.er("mpf_create", 1, guest.packet(0, 0, 1, 8))
    guest.er("mpf_get", guest.out(), 1, 0)
    guest.run(2)
    guest.er("mpf_get", guest.out(), 1, 30)
    assert subject.btron.mpf.waiters(1) == [2]
    assert subject.btron.tasks.tasks() == [
        Task(1, 2, 9, 0, 0, 0, 0, None),
        Task(2, 4, 9, 3, 1, 0, 0, 30),
        Task(32, 2, 9, 0, 0, 0, -86, None),
    ]
    assert subject.btron.tasks.task(3).state == 0


@pytest.mark.parametrize("following", [2, 33, 0xFFFFFFFF])
def test_a_queue_that_does_not_end_is_noticed(subject: ModelSubject, guest: Guest, following: int) -> None:
    guest.er("mpf_create", 1, guest.packet(0, 0, 1, 8))
    head = subject.symbols["mpf_table"] - KERNEL + 40 + 28
    subject.memory.store_u32(head, 2)
    guest.set_tcb(2, "next", following)
    problem = "it does not end" if following == 2 else f"there is no task 0x{following:x}"
    with pytest.raises(
        BrokenStructure, match=rf"^the task queue at 0x{head:08x} is broken: {problem}$"
    ) as error:
        subject.btron.mpf.waiters(1)
    assert error.value.defect.address == head


def test_many_pages_stay_usable() -> None:
    """Counting and searching read no single page; one by one, this test would take minutes."""
    subject = ModelSubject()
    guest = Guest(subject)
    pages = (WINDOW - 0x120000) // 8  # as many as have room in the table below the window: almost 1 GiB
    guest.set("pmem_pages", pages)
    guest.boot_map([(0x100000, pages * PAGE)], [])
    pmem = subject.btron.pmem
    pmem.init()
    free = pages - 0x100
    assert pmem.free_pages() == free
    for _ in range(20):
        assert pmem.alloc((free - 1) * PAGE) == KERNEL + 0x100000
        assert pmem.alloc(2 * PAGE) == 0
        assert pmem.alloc(PAGE) == KERNEL + 0x100000 + (free - 1) * PAGE
        pmem.free(KERNEL + 0x100000, free * PAGE)
    assert pmem.usage()[:6] == (pages, free, 0, 0, 0x100, free)
