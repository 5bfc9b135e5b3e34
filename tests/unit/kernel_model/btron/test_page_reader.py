"""Entries of the page table that cannot be."""

from __future__ import annotations

from dataclasses import fields

import pytest

from kernel_model.btron.kernel_globals import Globals
from kernel_model.btron.page_reader import page_defects
from kernel_model.btron.pmem import Pmem
from kernel_model.memory import ByteMemory
from kernel_model.text import defect_text

TABLE, PAGES, SIZE = 0x100, 64, 0x1000
ADDRESSES = Globals(*range(0, 4 * len(fields(Globals)), 4))


@pytest.fixture
def memory() -> ByteMemory:
    """Pages 1 to 9 are in use with as many owners, page 0 is reserved, the others are free."""
    memory = ByteMemory(0, SIZE)
    memory.store_u32(ADDRESSES.pmem_table, 0x80000000 | TABLE)
    memory.store_u32(ADDRESSES.pmem_pages, PAGES)
    memory.store_words(TABLE, (2, 0))
    for page in range(1, 10):
        memory.store_words(TABLE + 8 * page, (1, page << 8 * (page % 4)))
    return memory


def texts(memory: ByteMemory) -> list[str]:
    return [defect_text(each) for each in page_defects(memory, SIZE, Pmem(memory, ADDRESSES))]


def test_a_table_without_defects(memory: ByteMemory) -> None:
    assert texts(memory) == []


def test_a_table_that_is_not_set_up() -> None:
    assert texts(ByteMemory(0, SIZE)) == []


@pytest.mark.parametrize(
    ("page", "entry", "text"),
    [
        (3, (1, 0), "0x0000011c pmem_table[0x00000003].refcount = 0x00000000: a page in use has an owner"),
        (0, (2, 1), "0x00000104 pmem_table[0x00000000].refcount = 0x00000001: a reserved page has no owner"),
        (63, (0, 256), "0x000002fc pmem_table[0x0000003f].refcount = 0x00000100: a free page has no owner"),
        (9, (0x100, 1), "0x00000148 pmem_table[0x00000009].flag = 0x00000100: there is no such flag"),
    ],
)
def test_an_entry_that_cannot_be(memory: ByteMemory, page: int, entry: tuple[int, int], text: str) -> None:
    memory.store_words(TABLE + 8 * page, entry)
    assert texts(memory) == [text]


def test_each_of_several_is_reported(memory: ByteMemory) -> None:
    for page in (0, 1, 63):
        memory.store_u32(TABLE + 8 * page, 3)
    assert len(texts(memory)) == 3


def test_a_table_beyond_memory(memory: ByteMemory) -> None:
    memory.store_u32(ADDRESSES.pmem_pages, 0x200)
    assert texts(memory) == ["the page table makes no sense: pmem_table 0x00000100, pmem_pages 0x00000200"]
