"""Readers of the heap: figures for an undamaged one, defects for a broken one, an end for both."""

from __future__ import annotations

import random

import pytest

from kernel_model.audit import Defect, Invariant, Location, LocationKind
from kernel_model.blocks import Block
from kernel_model.litecore.heap import Heap
from kernel_model.litecore.heap_layout import HeapAddresses, HeapUsage
from kernel_model.memory import ByteMemory
from kernel_model.text import defect_text

START, END = 0x1000, 0x1100
GLOBALS = HeapAddresses(start=0x10, end=0x14, free_list=0x18, error_count=0x1C, lock=0x20)


@pytest.fixture
def memory() -> ByteMemory:
    """Return a heap of five blocks: free 0x1000, live 0x1020, free 0x1040, live 0x1060, free 0x1080."""
    memory = ByteMemory(0, 0x2000)
    heap = Heap(memory, GLOBALS, print)
    heap.init(START, END)
    first, _, third, _ = (heap.kmalloc(24) for _ in range(4))
    heap.kfree(first)
    heap.kfree(third)
    return memory


@pytest.fixture
def reader(memory: ByteMemory) -> Heap:
    return Heap(memory, GLOBALS, print)


def figures(usage: HeapUsage) -> tuple[int, int, int, int]:
    return usage.used, usage.free, usage.largest_free, len(usage.blocks)


def test_blocks_are_listed_in_address_order(reader: Heap) -> None:
    assert list(reader.blocks()) == [
        Block(0x1000, 24, used=False),
        Block(0x1020, 24, used=True),
        Block(0x1040, 24, used=False),
        Block(0x1060, 24, used=True),
        Block(0x1080, 120, used=False),
    ]


def test_a_block_knows_its_body_and_end() -> None:
    block = Block(0x1020, 24, used=True)
    assert (block.body, block.end) == (0x1028, 0x1040)


def test_usage(reader: Heap) -> None:
    usage = reader.usage()
    assert usage == HeapUsage(START, END, 48, 168, 120, refused=0, blocks=tuple(reader.blocks()))
    assert usage.fragmentation == pytest.approx(1 - 120 / 168)


def test_nothing_free_is_not_fragmented() -> None:
    assert (
        HeapUsage(0x1000, 0x1010, used=8, free=0, largest_free=0, refused=0, blocks=()).fragmentation == 0.0
    )
    assert (
        HeapUsage(0x1000, 0x1058, used=8, free=64, largest_free=64, refused=0, blocks=()).fragmentation == 0.0
    )


def test_usage_can_be_bounded_and_counts_refused_frees(reader: Heap) -> None:
    reader.kfree(0x1004)
    usage = reader.usage(2)
    assert figures(usage) == (24, 24, 24, 2)
    assert usage.refused == 1


def test_a_heap_before_its_init_is_empty_and_has_no_defects() -> None:
    reader = Heap(ByteMemory(0, 0x40), GLOBALS, print)
    assert list(reader.blocks()) == []
    assert reader.usage() == HeapUsage(0, 0, 0, 0, 0, 0, ())
    assert reader.validate() == []


def test_an_undamaged_heap_has_no_defects(reader: Heap) -> None:
    assert reader.validate() == []


@pytest.mark.parametrize(
    ("address", "value", "defect"),
    [
        (0x10, 0x1001, "0x00000010 heap_start = 0x00001001: not a multiple of 8"),
        (0x14, 0x1101, "0x00000014 heap_end = 0x00001101: not a multiple of 8, or below heap_start"),
        (0x14, 0x0FF8, "0x00000014 heap_end = 0x00000ff8: not a multiple of 8, or below heap_start"),
        (
            0x18,
            0x1020,
            "0x00000018 heap_free_list = 0x00001020: should be 0x00001000, the next free block or the end (0)",
        ),
        (
            0x18,
            0,
            "0x00000018 heap_free_list = 0x00000000: should be 0x00001000, the next free block or the end (0)",
        ),
        (
            0x1008,
            0x1080,
            "0x00001008 next = 0x00001080: should be 0x00001040, the next free block or the end (0)",
        ),
        (
            0x1048,
            0x1000,
            "0x00001048 next = 0x00001000: should be 0x00001080, the next free block or the end (0)",
        ),
        (
            0x1088,
            0x1000,
            "0x00001088 next = 0x00001000: should be 0x00000000, the next free block or the end (0)",
        ),
        (0x1060, 0x41, "0x00001060 size = 0x00000041: not a multiple of 8"),
        (0x1060, 0, "0x00001060 size = 0x00000000: smaller than 8"),
        (0x1060, 0xA0, "0x00001060 size = 0x000000a0: reaches beyond heap_end"),
        (0x1060, 0xFFFFFFF8, "0x00001060 size = 0xfffffff8: reaches beyond heap_end"),
        (0x1064, 0x41414141, "0x00001064 used = 0x41414141: neither 0 nor 1"),
    ],
)
def test_a_broken_word_is_named(
    memory: ByteMemory, reader: Heap, address: int, value: int, defect: str
) -> None:
    memory.store_u32(address, value)
    assert [defect_text(found) for found in reader.validate()] == [defect]


def test_a_defect_is_a_value(memory: ByteMemory, reader: Heap) -> None:
    memory.store_u32(0x1064, 7)
    invariant = Invariant("heap-used-flag", "neither 0 nor 1")
    location = Location(LocationKind.BLOCK, "heap", 0x1064, 0x1068, item=0x1060, field="used")
    assert reader.validate() == [Defect(invariant, "heap", location, 7)]
    assert reader.validate()[0].address == 0x1064


def test_unmerged_neighbours_are_a_defect_each(memory: ByteMemory, reader: Heap) -> None:
    memory.store_u32(0x1024, 0)
    found = [defect_text(defect) for defect in reader.validate()]
    assert found == [
        "0x00001024 used = 0x00000000: free, and so is the block before it",
        "0x00001044 used = 0x00000000: free, and so is the block before it",
        "0x00001008 next = 0x00001040: should be 0x00001020, the next free block or the end (0)",
    ]


def test_the_scan_stops_where_headers_make_no_sense(memory: ByteMemory, reader: Heap) -> None:
    memory.store_u32(0x1040, 3)
    assert [block.header for block in reader.blocks()] == [0x1000, 0x1020]
    assert figures(reader.usage()) == (24, 24, 24, 2)


def test_a_link_over_a_free_block_to_after_a_broken_header_is_a_defect(
    memory: ByteMemory, reader: Heap
) -> None:
    """Only where all blocks that can be known are in the list, what follows may be right."""
    memory.store_u32(0x1060, 3)
    header = "0x00001060 size = 0x00000003: not a multiple of 8"
    assert [defect_text(defect) for defect in reader.validate()] == [header]
    memory.store_u32(0x1008, 0x1080)
    link = "0x00001008 next = 0x00001080: should be 0x00001040, the next free block or the end (0)"
    assert [defect_text(defect) for defect in reader.validate()] == [header, link]


def test_a_last_header_without_room_for_a_body_is_a_defect(memory: ByteMemory, reader: Heap) -> None:
    memory.store_u32(0x1080, 112)
    assert [defect_text(defect) for defect in reader.validate()] == [
        "0x000010f8 size = 0x00000000: smaller than 8"
    ]


def test_a_heap_end_beyond_the_memory_is_a_defect(memory: ByteMemory, reader: Heap) -> None:
    memory.store_u32(GLOBALS.end, 0x100000)
    memory.store_u32(0x1080, 0x2000)
    assert [defect_text(defect) for defect in reader.validate()] == [
        "0x00000014 heap_end = 0x00100000: there is no memory up to there"
    ]
    assert len(reader.usage().blocks) == 5


def test_is_valid_says_what_validate_says(memory: ByteMemory, reader: Heap) -> None:
    words = [*range(0x10, 0x1C, 4), *range(START, END, 4)]
    values = [0, 1, 2, 8, 16, 24, 128, 136, 0x1000, 0x1020, 0x1040, 0x1080, 0x1100, 0x41414141, 0xFFFFFFF8]
    rng = random.Random(1)
    valid = 0
    for _ in range(3000):
        address, value = rng.choice(words), rng.choice(values)
        before = memory.load_u32(address)
        memory.store_u32(address, value)
        assert reader.is_valid() == (reader.validate() == []), (hex(address), hex(value))
        valid += reader.is_valid()
        memory.store_u32(address, before)
    assert 0 < valid < 3000


def test_a_heap_that_reaches_beyond_memory_is_not_valid(memory: ByteMemory, reader: Heap) -> None:
    memory.store_u32(GLOBALS.end, 0xFFFFFFF8)
    assert not reader.is_valid()


def test_a_heap_before_its_init_is_valid() -> None:
    assert Heap(ByteMemory(0, 0x40), GLOBALS, print).is_valid()
