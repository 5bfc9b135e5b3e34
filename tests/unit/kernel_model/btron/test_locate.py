"""Where the byte at an address lies, and what a report calls that."""

from __future__ import annotations

import pytest

from kernel_model.audit import Location, LocationKind
from kernel_model.structs import POOL_MPF, POOL_MPL, SPACE_BYTES, TCB
from kernel_model.text import location_text
from tests.conformance.btron.subjects import KERNEL, PAGE, RAM_END, SCRATCH, WINDOW, Guest, ModelSubject
from tests.conformance.btron.user_space import START, A, B, make_spaces, mapped, pages_of

END = WINDOW + 40960


@pytest.fixture
def subject() -> ModelSubject:
    """Return a kernel with a pool of each kind, one block out of each, at the end of the byte layer's pages."""
    subject = ModelSubject()
    guest = Guest(subject)
    guest.boot()
    assert guest.er("mpl_create", 7, guest.packet(0, 0, 56)) == 0
    assert guest.er("mpf_create", 2, guest.packet(0, 0, 2, 12)) == 0
    assert guest.er("mpl_get", guest.out(), 7, 16, 0) == 0
    assert guest.er("mpf_get", guest.out(), 2, 0) == 0
    return subject


def text_at(subject: ModelSubject, address: int) -> str | None:
    location = subject.btron.locate(address)
    return None if location is None else location_text(location)


@pytest.mark.parametrize(
    ("symbol", "offset", "text"),
    [
        ("need_dispatch", 0, "need_dispatch"),
        ("kmem_free_list", 3, "kmem_free_list"),
        ("pmem_table", 2, "pmem_table"),
        ("ready_head", 40, "ready_head[10]"),
        ("ready_tail", 127, "ready_tail[31]"),
        ("tcb_table", TCB.size * 3 + TCB.offset("wercd"), "tcb_table[3].wercd"),
        ("tcb_table", TCB.size * 33 - 1, "tcb_table[32].reserved"),
        ("mpl_table", POOL_MPL.size * 100 + 20, "mpl_table[100].free"),
        ("mpf_table", POOL_MPF.size * 2 + 39, "mpf_table[2].free_count"),
        ("kmem_extents", 12, "kmem_extents[1].size"),
        ("boot_ranges", 8, "boot_ranges[1].start"),
        ("boot_reserved", 4, "boot_reserved[0].end"),
    ],
)
def test_globals(subject: ModelSubject, symbol: str, offset: int, text: str) -> None:
    address = subject.symbols[symbol] + offset
    assert text_at(subject, address - KERNEL) == text


@pytest.mark.parametrize(
    ("symbol", "size"),
    [("ready_head", 128), ("ready_tail", 128), ("need_dispatch", 4), ("tcb_table", TCB.size * 33)],
)
def test_what_lies_beside_a_global_is_not_it(subject: ModelSubject, symbol: str, size: int) -> None:
    address = subject.symbols[symbol] - KERNEL
    for beside in (address - 1, address + size):
        location = subject.btron.locate(beside)
        assert location is None or location.object != symbol


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (0x0012_0000 + 8 * 0x123 + 5, "pmem_table[0x00000123].refcount"),
        (END - 64, "mpl 7 block 0x80309fc0 .size"),
        (END - 60, "mpl 7 block 0x80309fc0 .tag"),
        (END - 56, "mpl 7 block 0x80309fc0 body byte 0"),
        (END - 40, "mpl 7 block 0x80309fd8 .size"),
        (END - 32, "mpl 7 block 0x80309fd8 .next"),
        (END - 1, "mpl 7 block 0x80309fd8 body byte 31"),
        (END - 64 - 48, "mpf 2 block 0x80309f90 .size"),
        (END - 64 - 40, "mpf 2 block 0x80309f90 body byte 0"),
        (END - 64 - 16, "mpf 2 block 0x80309fa8 .next"),
        (END - 64 - 12, "mpf 2 block 0x80309fa8 body byte 4"),
        (WINDOW + 3, "kmem area 0x80300000 .next"),
        (WINDOW + 4, "kmem area 0x80300000 .size"),
        (WINDOW + 100, "kmem area 0x80300000 body byte 92"),
        (SCRATCH - KERNEL, None),
        (RAM_END - 1, None),
    ],
)
def test_tables_blocks_and_areas(subject: ModelSubject, address: int, text: str | None) -> None:
    assert text_at(subject, address) == text


def test_after_a_broken_record_and_in_a_broken_list(subject: ModelSubject) -> None:
    subject.memory.store_u32(END - 64, 7)
    assert text_at(subject, END - 64) == "mpl 7 byte 0x00309fc0, behind a broken record"
    subject.memory.store_u32(subject.symbols["kmem_free_list"] - KERNEL, 0x41414141)
    assert subject.btron.locate(WINDOW) is None


def test_a_location_is_of_the_whole_member_or_body(subject: ModelSubject) -> None:
    record = KERNEL + END - 64
    block = (LocationKind.BLOCK, "mpl")
    assert subject.btron.locate(END - 62) == Location(*block, END - 64, END - 60, 7, record, "size")
    assert subject.btron.locate(END - 50) == Location(*block, END - 56, END - 40, 7, record, byte=6)
    assert subject.btron.locate(END - 27) == Location(*block, END - 28, END, 7, record + 24, byte=5)
    area = (LocationKind.AREA, "kmem")
    assert subject.btron.locate(WINDOW + 7) == Location(
        *area, WINDOW + 4, WINDOW + 8, item=KERNEL + WINDOW, field="size"
    )
    entry = 0x0012_0000 + 8 * 0x123
    page = (LocationKind.PAGE, "pmem_table")
    assert subject.btron.locate(entry + 5) == Location(
        *page, entry + 4, entry + 8, item=0x123, field="refcount"
    )


def test_address_spaces() -> None:
    subject = ModelSubject()
    guest = Guest(subject)
    guest.boot()
    make_spaces(guest)
    mapped(guest, B)
    start, offset = subject.symbols["space_table"] - KERNEL, SPACE_BYTES * B
    assert text_at(subject, start + offset + 3) == f"space_table[{B}].directory"
    assert text_at(subject, start + offset + 4) == f"space_table[{B}].regions[0].start"
    assert text_at(subject, start + offset + SPACE_BYTES - 1) == f"space_table[{B}].regions[7].size"
    assert text_at(subject, start) == "space_table[0].directory"
    assert text_at(subject, start + SPACE_BYTES * 32) == "space_table[32].directory"
    assert text_at(subject, start + SPACE_BYTES * 33) is None
    directory = guest.space(B)["directory"]
    assert text_at(subject, directory + 7) == f"page directory entry of 0x00400000 (task {B})"
    assert text_at(subject, directory + PAGE - 1) == f"page directory entry of 0xffc00000 (task {B})"
    assert text_at(subject, guest.symbols["page_directory"]) == "page directory entry of 0x00000000"
    entry = guest.entry_of(B, START) - KERNEL
    assert text_at(subject, entry + 1) == f"page table entry of 0x{START:08x} (task {B})"
    assert (
        text_at(subject, guest.entry_of(B, START + PAGE) - KERNEL)
        == f"page table entry of 0x00400000 (task {B})"
    )
    (first, _) = pages_of(guest, B)
    assert text_at(subject, first * PAGE) is None  # it is the task's


@pytest.mark.parametrize("task", [1, 32])
def test_the_spaces_of_the_first_and_the_last_task(task: int) -> None:
    subject = ModelSubject()
    guest = Guest(subject)
    guest.boot()
    make_spaces(guest)
    assert guest.er("space_create", task) == 0
    directory = guest.space(task)["directory"]
    assert text_at(subject, directory + 4) == f"page directory entry of 0x00400000 (task {task})"
    guest.memory.store_u32(directory, WINDOW + 60 * PAGE)
    assert text_at(subject, WINDOW + 60 * PAGE) is None  # not present
    guest.memory.store_u32(directory, WINDOW + 60 * PAGE + 1)
    assert text_at(subject, WINDOW + 60 * PAGE) == f"page table entry of 0x00000000 (task {task})"


def test_a_directory_outside_memory_has_no_entries() -> None:
    subject = ModelSubject()
    guest = Guest(subject)
    guest.boot()
    make_spaces(guest)
    guest.memory.store_u32(guest.symbols["space_table"] + SPACE_BYTES * A, 0xFFFF_F000)
    assert text_at(subject, WINDOW + 40 * PAGE) is None
    assert text_at(subject, guest.space(B)["directory"]) is None  # the search ends there
