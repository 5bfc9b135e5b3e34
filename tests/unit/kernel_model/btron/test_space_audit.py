"""What the audit of BTRON/386's address spaces says of each rule that is broken, one at a time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from kernel_model.btron.pages import PMEM_FREE, PMEM_RESERVED, PMEM_USE
from kernel_model.btron.space_audit import SpaceAudit
from kernel_model.memory import ByteMemory
from kernel_model.structs import SPACE_BYTES
from kernel_model.text import defect_text

if TYPE_CHECKING:
    from kernel_model.btron.pmem import Pmem

SIZE, PAGES = 0x40000, 0x30
PMEM_TABLE, SPACES = 0x1000, 0x3000
DIRECTORY, TABLE, PAGE, OTHER_DIRECTORY, OTHER_TABLE = 0x10000, 0x11000, 0x12000, 0x20000, 0x21000
START, READ_WRITE_USER = 0x0040_0000, 0x10003


class Spaces:
    """Two tasks, 2 and 5, with a region each of which two pages are mapped in the first, and one in the second."""

    def __init__(self) -> None:
        self.memory = ByteMemory(0, SIZE)
        for task, directory, table, pages in ((2, DIRECTORY, TABLE, 2), (5, OTHER_DIRECTORY, OTHER_TABLE, 1)):
            self.put(SPACES + SPACE_BYTES * task, directory)
            self.put(self.region(task), START, 0x1000, 0x4000, READ_WRITE_USER, 0, 0x1000 * pages)
            self.own(directory)
            self.own(table)
            self.put(directory + 4, table | 7)
            for page in range(pages):
                frame = (PAGE if task == 2 else OTHER_TABLE + 0x1000) + 0x1000 * page
                self.put(table + 4 * page, frame | 0x67)
                self.own(frame)

    def region(self, task: int) -> int:
        return SPACES + SPACE_BYTES * task + 4

    def put(self, address: int, *words: int) -> None:
        self.memory.store_words(address, words)

    def own(self, page: int, flag: int = PMEM_USE, owners: int = 1) -> None:
        self.put(PMEM_TABLE + 8 * (page >> 12), flag, owners)

    def defects(self) -> list[str]:
        pmem = cast("Pmem", SimpleNamespace(table=lambda: PMEM_TABLE, pages=lambda: PAGES))
        found = SpaceAudit(self.memory, SIZE, SPACES, pmem).defects()
        assert all(each.invariant.of_mapping and each.area == "pmem" for each in found)
        assert all(self.memory.load_u32(each.address) == each.value for each in found)
        return [f"{each.invariant.code}: {defect_text(each)}" for each in found]


@pytest.fixture
def spaces() -> Spaces:
    return Spaces()


ENTRY = "0x00011004 page table entry of 0x00401000 (task 2) = 0x"


def test_whole_spaces_have_no_defect(spaces: Spaces) -> None:
    assert spaces.defects() == []


def test_a_page_that_is_mapped_twice_and_owned_twice_is_right(spaces: Spaces) -> None:
    spaces.put(OTHER_TABLE, PAGE | 7)
    spaces.own(PAGE, owners=2)
    assert spaces.defects() == []


@pytest.mark.parametrize("owners", [0, 1])
def test_a_page_that_is_mapped_more_often_than_it_is_owned(spaces: Spaces, owners: int) -> None:
    spaces.put(OTHER_TABLE, PAGE | 7)
    spaces.own(PAGE, owners=owners)
    entry = "0x00021000 page table entry of 0x00400000 (task 5) = 0x00012007"
    count = ("0 owners", "1 owner")[owners]
    assert spaces.defects() == [f"map-owners: {entry}: page 0x00012 is mapped 2 times, but has {count}"]


@pytest.mark.parametrize(("flag", "state"), [(PMEM_FREE, "free"), (PMEM_RESERVED, "reserved"), (7, "no RAM")])
def test_pages_tables_and_directories_that_are_not_in_use(spaces: Spaces, flag: int, state: str) -> None:
    spaces.own(PAGE + 0x1000, flag, 0)
    spaces.own(TABLE, flag, 0)
    spaces.own(OTHER_DIRECTORY, flag, 0)
    assert spaces.defects() == [
        f"map-free-table: 0x00010004 page directory entry of 0x00400000 (task 2) = 0x00011007: the table lies in page 0x00011, which is {state}",
        f"map-free-page: {ENTRY}00013067: maps page 0x00013, which is {state}",
        f"map-free-directory: 0x000033d4 space_table[5].directory = 0x00020000: the page directory lies in page 0x00020, which is {state}",
    ]


def test_a_page_outside_ram(spaces: Spaces) -> None:
    spaces.put(TABLE + 4, 0xFEC00007)
    assert spaces.defects() == [f"map-free-page: {ENTRY}fec00007: maps page 0xfec00, which is no RAM"]


def test_a_table_outside_memory(spaces: Spaces) -> None:
    spaces.put(DIRECTORY + 8, 0x00800007)
    text = "0x00010008 page directory entry of 0x00800000 (task 2) = 0x00800007"
    assert spaces.defects() == [f"map-no-table: {text}: the table lies outside memory"]


def test_a_table_that_maps_nothing(spaces: Spaces) -> None:
    spaces.own(0x1F000)
    spaces.put(DIRECTORY + 8, 0x1F007)
    text = "0x00010008 page directory entry of 0x00800000 (task 2) = 0x0001f007"
    assert spaces.defects() == [f"map-empty-table: {text}: a table that maps nothing is kept"]


@pytest.mark.parametrize(
    ("permission", "what"),
    [(0x10001, "writing"), (0x3, "access from ring 3"), (0x20002, "access from ring 3")],
)
def test_an_entry_that_allows_more_than_its_region(spaces: Spaces, permission: int, what: str) -> None:
    spaces.put(spaces.region(5) + 12, permission)
    text = "0x00021000 page table entry of 0x00400000 (task 5) = 0x00022067"
    assert spaces.defects() == [
        f"map-permission: {text}: allows {what}, which the region at 0x00400000 does not"
    ]


def test_an_entry_allows_what_its_directory_allows(spaces: Spaces) -> None:
    spaces.put(spaces.region(5) + 12, 0x10001)
    spaces.put(OTHER_DIRECTORY + 4, OTHER_TABLE | 5)
    assert spaces.defects() == []


def test_a_page_in_no_region(spaces: Spaces) -> None:
    spaces.put(TABLE + 4 * 4, 0x1F007)
    spaces.own(0x1F000)
    text = "0x00011010 page table entry of 0x00404000 (task 2) = 0x0001f007"
    assert spaces.defects() == [f"map-no-region: {text}: the page is in no region of the task"]


def test_a_size_that_is_not_what_is_mapped(spaces: Spaces) -> None:
    spaces.put(spaces.region(2) + 20, 0x3000)
    text = "0x000031a0 space_table[2].regions[0].size = 0x00003000"
    assert spaces.defects() == [f"map-region-size: {text}: 0x00002000 bytes are mapped in the region"]


def test_regions_of_a_task_without_a_space_say_nothing(spaces: Spaces) -> None:
    spaces.put(spaces.region(7), START, 0x1000, 0x4000, READ_WRITE_USER, 0, 0x1000)
    assert spaces.defects() == []


def test_a_page_table_of_pmem_that_makes_no_sense_is_another_audit_s(spaces: Spaces) -> None:
    pmem = cast("Pmem", SimpleNamespace(table=lambda: SIZE - 8, pages=lambda: PAGES))
    spaces.own(PAGE, PMEM_FREE, 0)
    assert SpaceAudit(spaces.memory, SIZE, SPACES, pmem).defects() == []
