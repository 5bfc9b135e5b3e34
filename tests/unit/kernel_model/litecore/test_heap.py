"""The bytes that the heap leaves behind; its contract with C callers is in tests/conformance."""

from __future__ import annotations

import pytest

from kernel_model.abi import LockHeld
from kernel_model.litecore.heap import Heap
from kernel_model.litecore.heap_layout import HeapAddresses
from kernel_model.memory import ByteMemory, Overlay

START, END = 0x1000, 0x1100
GLOBALS = HeapAddresses(start=0x10, end=0x14, free_list=0x18, error_count=0x1C, lock=0x20)


@pytest.fixture
def memory() -> ByteMemory:
    memory = ByteMemory(0, 0x2000)
    memory.write(START - 0x100, b"\xee" * 0x400)
    return memory


@pytest.fixture
def console() -> list[str]:
    return []


@pytest.fixture
def heap(memory: ByteMemory, console: list[str]) -> Heap:
    heap = Heap(memory, GLOBALS, console.append)
    heap.init(START, END)
    return heap


def words(memory: ByteMemory, address: int, count: int) -> list[int]:
    return list(memory.load_words(address, count))


def header_of(memory: ByteMemory, pointer: int) -> tuple[int, ...]:
    return memory.load_words(pointer - 8, 2)


def test_init_writes_the_globals_and_one_free_block_only(memory: ByteMemory) -> None:
    overlay = Overlay(memory)
    Heap(overlay, GLOBALS, print).init(START + 1, END - 1)
    assert set(overlay.changes()) == {*range(0x10, 0x24), *range(0x1008, 0x1014)}
    assert overlay.load_words(0x10, 5) == (0x1008, 0x10F8, 0x1008, 0, 0)
    assert overlay.load_words(0x1008, 3) == (0xE8, 0, 0)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0x1001, 0x1017, 0x1008),  # 8 bytes remain
        (0x1000, 0x100F, 0x1000),
        (0x1000, 0x1000, 0x1000),
        (0x1000, 0x0800, 0x1000),
        (0x1000, 0x0000, 0x1000),
        (0xFFFFFFF9, 0xFFFFFFFF, 0xFFFFFFF9),  # rounding would wrap: the start stays as it is
        (0xFFFFFFFF, 0x00000008, 0xFFFFFFFF),
    ],
)
def test_a_range_without_room_leaves_an_empty_heap(
    memory: ByteMemory, heap: Heap, start: int, end: int, expected: int
) -> None:
    blocks = memory.read(START, 0x200)
    heap.init(start, end)
    assert words(memory, 0x10, 5) == [expected, expected, 0, 0, 0]
    assert memory.read(START, 0x200) == blocks
    assert heap.kmalloc(1) == 0
    assert heap.validate() == [] or expected % 8


def test_init_starts_the_error_count_again(memory: ByteMemory, heap: Heap) -> None:
    heap.kfree(4)
    heap.init(START, END)
    assert memory.load_u32(GLOBALS.error_count) == 0


def test_the_smallest_heap_holds_one_block(heap: Heap) -> None:
    heap.init(0x1000, 0x1010)
    assert heap.kmalloc(8) == 0x1008
    assert heap.kmalloc(1) == 0


@pytest.mark.usefixtures("heap")
def test_a_split_leaves_the_rest_as_a_free_block(memory: ByteMemory) -> None:
    overlay = Overlay(memory)
    assert Heap(overlay, GLOBALS, print).kmalloc(20) == 0x1008
    assert set(overlay.changes()) == {
        *range(0x18, 0x1C),
        *range(0x20, 0x24),
        *range(0x1000, 0x1008),
        *range(0x1020, 0x102C),
    }
    assert overlay.load_words(0x1000, 3) == (24, 1, 0)  # the link stays in the body
    assert overlay.load_words(0x1020, 3) == (0xF8 - 24 - 8, 0, 0)
    assert overlay.load_u32(GLOBALS.free_list) == 0x1020


@pytest.mark.parametrize(("size", "handed_out"), [(0xE8, 0xE8), (0xE9, 0xF8), (0xF8, 0xF8)])
def test_a_rest_of_16_bytes_is_split_off_and_8_are_not(
    memory: ByteMemory, heap: Heap, size: int, handed_out: int
) -> None:
    assert heap.kmalloc(size) == 0x1008
    assert header_of(memory, 0x1008) == (handed_out, 1)
    assert memory.load_u32(GLOBALS.free_list) == (0x10F0 if handed_out == 0xE8 else 0)


def test_a_freed_block_holds_size_flag_and_link_and_stale_bytes(memory: ByteMemory, heap: Heap) -> None:
    first, _, third, _ = (heap.kmalloc(24) for _ in range(4))
    memory.write(first, b"\xaa" * 24)
    heap.kfree(third)
    heap.kfree(first)
    assert words(memory, first - 8, 8) == [24, 0, third - 8, *[0xAAAAAAAA] * 5]
    assert words(memory, third - 8, 3) == [24, 0, 0x1080]
    assert memory.load_u32(GLOBALS.free_list) == first - 8


def test_a_merge_with_the_next_block_leaves_its_header_in_memory(memory: ByteMemory, heap: Heap) -> None:
    first, second, _ = (heap.kmalloc(24) for _ in range(3))
    heap.kfree(second)
    heap.kfree(first)
    assert words(memory, first - 8, 3) == [56, 0, 0x1060]
    assert words(memory, second - 8, 3) == [24, 0, 0x1060]


def test_a_merge_with_the_block_before_leaves_the_freed_header_in_memory(
    memory: ByteMemory, heap: Heap
) -> None:
    first, second, _ = (heap.kmalloc(24) for _ in range(3))
    heap.kfree(first)
    heap.kfree(second)
    assert words(memory, first - 8, 3) == [56, 0, 0x1060]
    assert words(memory, second - 8, 3) == [24, 0, 0x1060]


def test_a_merge_with_both_neighbours(memory: ByteMemory, heap: Heap) -> None:
    first, second, third, _ = (heap.kmalloc(24) for _ in range(4))
    heap.kfree(first)
    heap.kfree(third)
    heap.kfree(second)
    assert words(memory, first - 8, 3) == [88, 0, 0x1080]
    assert words(memory, second - 8, 3) == [56, 0, 0x1080]  # as it was after the merge with the next
    assert words(memory, third - 8, 3) == [24, 0, 0x1080]


@pytest.mark.parametrize("offset", [-0x1008, -16, -8, -4, 1, 4, 7, 8, 0x78, 0xF0, 0xF8, 0x1000, 0xFFFFEFF0])
def test_an_invalid_pointer_is_counted_and_reported(
    memory: ByteMemory, heap: Heap, console: list[str], offset: int
) -> None:
    heap.kmalloc(24)
    pointer = 0x1008 + offset
    if not pointer:
        heap.kfree(pointer)
        assert console == []
        return
    before = memory.read(START, 0x200), words(memory, 0x10, 3)
    heap.kfree(pointer)
    assert (memory.read(START, 0x200), words(memory, 0x10, 3)) == before
    assert memory.load_u32(GLOBALS.error_count) == 1
    assert console == [f"kfree: not allocated: 0x{pointer:08x}\n"]


def test_the_error_count_wraps(memory: ByteMemory, heap: Heap) -> None:
    memory.store_u32(GLOBALS.error_count, 0xFFFFFFFF)
    heap.kfree(4)
    assert memory.load_u32(GLOBALS.error_count) == 0


def test_a_forged_header_inside_a_body_is_not_believed(
    memory: ByteMemory, heap: Heap, console: list[str]
) -> None:
    pointer = heap.kmalloc(64)
    memory.store_words(pointer + 16, (16, 1))
    heap.kfree(pointer + 24)
    assert console == [f"kfree: not allocated: 0x{pointer + 24:08x}\n"]


def test_a_stale_header_is_not_believed(heap: Heap, console: list[str]) -> None:
    """The second free comes after the block was merged away; its old header still says live-looking things."""
    first, second = heap.kmalloc(24), heap.kmalloc(24)
    heap.kfree(second)
    heap.kfree(first)
    assert heap.kmalloc(56) == first
    heap.kfree(second)
    assert console == [f"kfree: not allocated: 0x{second:08x}\n"]


@pytest.mark.parametrize(
    "header",
    [
        pytest.param((24 + 4, 1), id="size not a multiple of 8"),
        pytest.param((0, 1), id="size 0"),
        pytest.param((0xF00, 1), id="beyond the heap"),
        pytest.param((0xFFFFFFF8, 1), id="wraps"),
        pytest.param((24, 2), id="used 2"),
    ],
)
@pytest.mark.parametrize("is_second", [False, True])
def test_kfree_refuses_a_broken_header(
    memory: ByteMemory, heap: Heap, header: tuple[int, int], *, is_second: bool
) -> None:
    """Both as the header to be freed and as one that the scan passes."""
    first, second = heap.kmalloc(24), heap.kmalloc(24)
    memory.store_words(first - 8, header)
    before = memory.read(START, 0x200), words(memory, 0x10, 3)
    heap.kfree(second if is_second else first)
    assert (memory.read(START, 0x200), words(memory, 0x10, 3)) == before
    assert memory.load_u32(GLOBALS.error_count) == 1


BROKEN_LISTS = [
    pytest.param(0x1004, (32, 0, 0), id="unaligned"),
    pytest.param(0x0FF8, (32, 0, 0), id="below the heap"),
    pytest.param(0x10F8, (32, 0, 0), id="no room for a body"),
    pytest.param(0x1100, (32, 0, 0), id="at the end"),
    pytest.param(0xFFFFFFF8, None, id="far away"),
    pytest.param(0x1020, (24, 1, 0), id="live"),
    pytest.param(0x1020, (28, 0, 0), id="odd size"),
    pytest.param(0x1020, (0, 0, 0), id="size 0"),
    pytest.param(0x1020, (0xE0, 0, 0), id="too large"),
]


@pytest.mark.parametrize(("head", "block"), BROKEN_LISTS)
def test_a_broken_free_list_gives_nothing_and_takes_nothing(
    memory: ByteMemory, heap: Heap, head: int, block: tuple[int, int, int] | None
) -> None:
    pointer = heap.kmalloc(24)
    memory.store_u32(GLOBALS.free_list, head)
    if block:
        memory.store_words(head, block)
    before = memory.read(0x800, 0x1000), words(memory, 0x10, 5)
    assert heap.kmalloc(8) == 0
    assert not heap.has_space(8)
    assert (memory.read(0x800, 0x1000), words(memory, 0x10, 5)) == before
    heap.kfree(pointer)
    assert memory.load_u32(GLOBALS.error_count) == 1
    assert memory.read(0x800, 0x1000) == before[0]


@pytest.mark.parametrize("link", ["itself", "the block before"])
def test_a_free_list_that_turns_back_ends(memory: ByteMemory, heap: Heap, link: str) -> None:
    first, _, third, _ = (heap.kmalloc(24) for _ in range(4))
    heap.kfree(third)
    heap.kfree(first)
    memory.store_u32(third, third - 8 if link == "itself" else first - 8)
    assert heap.kmalloc(32) == 0
    assert heap.kmalloc(24) == first  # what lies before the damage still works


def test_a_broken_neighbour_is_not_merged(memory: ByteMemory, heap: Heap) -> None:
    first, second, _ = (heap.kmalloc(24) for _ in range(3))
    heap.kfree(second)
    memory.store_u32(second - 8, 0x1000)
    heap.kfree(first)
    assert memory.load_u32(GLOBALS.error_count) == 1
    assert header_of(memory, first) == (24, 1)


def test_a_heap_that_is_already_locked_is_a_deadlock(memory: ByteMemory, heap: Heap) -> None:
    memory.store_u32(GLOBALS.lock, 1)
    for call in (
        lambda: heap.kmalloc(8),
        lambda: heap.kfree(8),
        lambda: heap.has_space(8),
        lambda: heap.init(0, 0),
    ):
        with pytest.raises(LockHeld):
            call()
    assert memory.load_u32(GLOBALS.lock) == 1


def test_the_line_is_printed_after_the_lock_is_given_back(memory: ByteMemory) -> None:
    locks: list[int] = []
    heap = Heap(memory, GLOBALS, lambda _: locks.append(memory.load_u32(GLOBALS.lock)))
    heap.init(START, END)
    heap.kfree(8)
    assert locks == [0]


def test_an_unaligned_heap_start_frees_nothing(memory: ByteMemory, heap: Heap) -> None:
    pointer = heap.kmalloc(24)
    memory.store_u32(GLOBALS.start, START - 3)
    heap.kfree(pointer)
    assert memory.load_u32(GLOBALS.error_count) == 1
