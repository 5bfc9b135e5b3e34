"""Spec 1.3 and 1.5: the contracts of the kernel heap, and the bytes it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel_model.blocks import Block
from kernel_model.litecore.heap import Heap
from kernel_model.litecore.heap_layout import HeapAddresses

if TYPE_CHECKING:
    from tests.conformance.conftest import Subject

START, END = 0x12000, 0x22000
MEM_TYPE_HEAP, MEM_TYPE_FRAME = 0, 1


@pytest.fixture
def heap(subject: Subject) -> Subject:
    """Return the subject with the heap of the vectors."""
    subject.memory.write(START - 16, b"\xee" * (END - START + 32))
    subject.call("mem_init", START, END)
    return subject


def word(subject: Subject, name: str) -> int:
    return subject.memory.load_u32(subject.symbols[name])


def words(subject: Subject, address: int, count: int) -> list[int]:
    return list(subject.memory.load_words(address, count))


def reader(subject: Subject) -> Heap:
    names = ("heap_start", "heap_end", "heap_free_list", "heap_error_count", "heap_lock")
    return Heap(subject.memory, HeapAddresses(*(subject.symbols[name] for name in names)), print)


def state(subject: Subject) -> tuple[int, int, int, bytes]:
    """Return the heap and its globals, all but the error count."""
    start, end, head = (word(subject, name) for name in ("heap_start", "heap_end", "heap_free_list"))
    return start, end, head, subject.memory.read(START - 16, END - START + 32)


def has_space(subject: Subject, kind: int, size: int) -> bool:
    return bool(subject.call("mem_has_space", kind, size) & 0xFF)  # only AL is the result


def allocate(subject: Subject, *sizes: int) -> list[int]:
    return [subject.call("kmalloc", size) for size in sizes]


def free(subject: Subject, *pointers: int) -> None:
    for pointer in pointers:
        subject.call("kfree", pointer)


# The vectors of spec 1.5.


def test_vectors(heap: Subject) -> None:
    assert allocate(heap, 128, 1, 8, 9, 100) == [0x12008, 0x12090, 0x120A0, 0x120B0, 0x120C8]
    assert word(heap, "heap_free_list") == 0x12130
    assert words(heap, 0x12130, 3) == [65224, 0, 0]
    free(heap, 0x12090, 0x120B0, 0x120A0)
    assert word(heap, "heap_free_list") == 0x12088
    assert words(heap, 0x12088, 3) == [48, 0, 0x12130]
    assert reader(heap).validate() == []


def test_all_of_a_fresh_heap_is_one_allocation(heap: Subject) -> None:
    assert allocate(heap, 65528, 1) == [0x12008, 0]
    assert words(heap, START, 3) == [65528, 1, 0]
    assert word(heap, "heap_free_list") == 0


# mem_init


def test_init_makes_one_free_block_and_touches_nothing_else(heap: Subject) -> None:
    assert state(heap)[:3] == (START, END, START)
    expected = b"\xee" * 16 + (65528).to_bytes(4, "little") + bytes(8) + b"\xee" * (65524 + 16)
    assert state(heap)[3] == expected


@pytest.mark.parametrize(("start", "end"), [(START + 1, END - 1), (START + 7, END - 8), (START + 8, END - 5)])
def test_init_rounds_inwards(subject: Subject, start: int, end: int) -> None:
    subject.call("mem_init", start, end)
    assert state(subject)[:3] == (START + 8, END - 8, START + 8)
    assert words(subject, START + 8, 3) == [65512, 0, 0]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        pytest.param(START, START, START, id="nothing"),
        pytest.param(START, START + 15, START, id="too small"),
        pytest.param(START + 1, START + 23, START + 8, id="too small after rounding"),
        pytest.param(START, START - 8, START, id="upside down"),
        pytest.param(START, 0, START, id="end 0"),
        pytest.param(0xFFFFFFF9, 0xFFFFFFFF, 0xFFFFFFF9, id="start wraps"),
        pytest.param(0xFFFFFFFF, END, 0xFFFFFFFF, id="start wraps below the end"),
        pytest.param(0xFFFFFFF0, 0xFFFFFFFF, 0xFFFFFFF0, id="the last bytes"),
    ],
)
def test_a_range_that_cannot_hold_a_block_leaves_an_empty_heap(
    heap: Subject, start: int, end: int, expected: int
) -> None:
    blocks = state(heap)[3]
    heap.call("kfree", 4)
    heap.call("mem_init", start, end)
    assert state(heap) == (expected, expected, 0, blocks)
    assert word(heap, "heap_error_count") == 0
    assert allocate(heap, 1, 8) == [0, 0]
    assert not has_space(heap, MEM_TYPE_HEAP, 1)


def test_the_smallest_heap_holds_the_smallest_block(subject: Subject) -> None:
    subject.call("mem_init", START, START + 16)
    assert allocate(subject, 8, 1) == [START + 8, 0]
    free(subject, START + 8)
    assert allocate(subject, 9, 3) == [0, START + 8]


def test_init_forgets_blocks_and_errors(heap: Subject) -> None:
    allocate(heap, 100, 200)
    free(heap, 3)
    heap.call("mem_init", START, END)
    assert list(reader(heap).blocks()) == [Block(START, 65528, used=False)]
    assert word(heap, "heap_error_count") == 0


# kmalloc


@pytest.mark.parametrize("size", [0, 65529, 0x80000000, 0xFFFFFFF8, 0xFFFFFFF9, 0xFFFFFFFF])
def test_kmalloc_of_nothing_or_of_too_much_is_null_and_changes_nothing(heap: Subject, size: int) -> None:
    before = state(heap)
    assert heap.call("kmalloc", size) == 0
    assert state(heap) == before
    assert word(heap, "heap_error_count") == 0


@pytest.mark.parametrize(
    ("size", "body"), [(1, 8), (7, 8), (8, 8), (9, 16), (24, 24), (25, 32), (65505, 65512)]
)
def test_kmalloc_rounds_up_to_8(heap: Subject, size: int, body: int) -> None:
    assert heap.call("kmalloc", size) == START + 8
    assert words(heap, START, 2) == [body, 1]
    assert words(heap, START + 8 + body, 3) == [65520 - body, 0, 0]


def test_a_split_changes_two_headers_one_link_and_the_head(heap: Subject) -> None:
    expected = bytearray(state(heap)[3])
    expected[16:24] = b"\x18\0\0\0\1\0\0\0"
    expected[48:60] = (65528 - 32).to_bytes(4, "little") + bytes(8)
    assert heap.call("kmalloc", 20) == START + 8
    assert state(heap) == (START, END, START + 32, bytes(expected))


@pytest.mark.parametrize(("size", "body"), [(65512, 65512), (65513, 65528), (65520, 65528), (65528, 65528)])
def test_16_bytes_are_split_off_and_8_are_not(heap: Subject, size: int, body: int) -> None:
    assert heap.call("kmalloc", size) == START + 8
    assert words(heap, START, 2) == [body, 1]
    assert word(heap, "heap_free_list") == (END - 16 if body == 65512 else 0)


def test_a_block_handed_out_whole_keeps_its_link_word(heap: Subject) -> None:
    first, _, third, _ = allocate(heap, 24, 24, 24, 24)
    free(heap, third, first)
    assert heap.call("kmalloc", 17) == first
    assert words(heap, first - 8, 3) == [24, 1, third - 8]
    assert word(heap, "heap_free_list") == third - 8


def test_first_fit_in_address_order(heap: Subject) -> None:
    a, _, b, _, c, _ = allocate(heap, 64, 8, 32, 8, 128, 8)
    free(heap, c, a, b)  # the order of release does not matter
    assert heap.call("kmalloc", 32) == a
    assert heap.call("kmalloc", 32) == b
    assert heap.call("kmalloc", 24) == a + 40
    assert heap.call("kmalloc", 100) == c


def test_a_block_split_in_the_middle_of_the_list_is_linked_in_order(heap: Subject) -> None:
    a, _, b, _, c, _ = allocate(heap, 16, 8, 64, 8, 16, 8)
    free(heap, a, b, c)
    assert heap.call("kmalloc", 32) == b
    assert words(heap, a, 1) == [b + 32]
    assert words(heap, b + 32, 3) == [24, 0, c - 8]
    assert reader(heap).validate() == []


# kfree


def test_null_is_ignored(heap: Subject) -> None:
    before, console = state(heap), heap.console
    heap.call("kfree", 0)
    assert (state(heap), heap.console, word(heap, "heap_error_count")) == (before, console, 0)


def test_a_freed_block_holds_header_and_link_and_its_old_bytes(heap: Subject) -> None:
    first, _, third, _ = allocate(heap, 24, 24, 24, 24)
    heap.memory.write(first, b"\xaa" * 24)
    free(heap, third, first)
    assert words(heap, first - 8, 8) == [24, 0, third - 8, *[0xAAAAAAAA] * 5]
    assert words(heap, third - 8, 3) == [24, 0, START + 128]
    assert word(heap, "heap_free_list") == first - 8


MERGES = [
    # order of release; then size, used and link of the headers of the four blocks, as they lie there
    pytest.param((1, 0), [(56, 0, 0x12080), (24, 0, 0x12080), None, None], id="with the next"),
    pytest.param((0, 1), [(56, 0, 0x12080), (24, 0, 0x12080), None, None], id="with the one before"),
    pytest.param((0, 2, 1), [(88, 0, 0x12080), (56, 0, 0x12080), (24, 0, 0x12080), None], id="with both"),
    pytest.param((3, 0), [(24, 0, 0x12060), None, None, (65432, 0, 0)], id="with the end of the heap"),
    pytest.param(
        (0, 2, 1, 3), [(65528, 0, 0), (56, 0, 0x12080), (24, 0, 0x12080), (65432, 0, 0)], id="all, rising"
    ),
    pytest.param(
        (3, 2, 1, 0), [(65528, 0, 0), (65496, 0, 0), (65464, 0, 0), (65432, 0, 0)], id="all, falling"
    ),
]


@pytest.mark.parametrize(("order", "headers"), MERGES)
def test_neighbours_are_merged_and_stale_headers_stay(
    heap: Subject, order: tuple[int, ...], headers: list[tuple[int, int, int] | None]
) -> None:
    pointers = allocate(heap, 24, 24, 24, 24)
    free(heap, *(pointers[index] for index in order))
    for pointer, header in zip(pointers, headers, strict=True):
        if header is None:
            assert words(heap, pointer - 8, 2) == [24, 1]
        else:
            assert tuple(words(heap, pointer - 8, 3)) == header
    assert reader(heap).validate() == []


@pytest.mark.parametrize("low_first", [False, True])
def test_neighbours_of_every_size_are_merged(heap: Subject, low_first: bool) -> None:
    for size in range(8, 240, 8):
        pair = allocate(heap, size, 240 - size)
        allocate(heap, 8)
        free(heap, *(pair if low_first else pair[::-1]))
        assert words(heap, pair[0] - 8, 2) == [248, 0]
        assert allocate(heap, 248) == [pair[0]]


def test_freeing_everything_restores_the_heap(heap: Subject) -> None:
    pointers = allocate(heap, *range(1, 200, 7))
    free(heap, *pointers[::2], *pointers[1::2])
    assert state(heap)[:3] == (START, END, START)
    assert words(heap, START, 3) == [65528, 0, 0]
    assert word(heap, "heap_error_count") == 0


INVALID = [
    pytest.param(1, id="1"),
    pytest.param(8, id="header at 0"),
    pytest.param(START, id="the first header"),
    pytest.param(START - 8, id="below the heap"),
    pytest.param(START + 9, id="off by one"),
    pytest.param(START + 12, id="off by four"),
    pytest.param(START + 16, id="inside a body"),
    pytest.param(START + 40, id="freed"),
    pytest.param(START + 72 + 32, id="the free block at the end"),
    pytest.param(END, id="the end"),
    pytest.param(END + 8, id="above the heap"),
    pytest.param(0x10A008, id="elsewhere"),
    pytest.param(0xFFFFFFF8, id="far away"),
    pytest.param(0xFFFFFFFF, id="the last byte"),
]


@pytest.mark.parametrize("pointer", INVALID)
def test_an_invalid_pointer_is_counted_and_named_and_changes_nothing(heap: Subject, pointer: int) -> None:
    _, freed, _ = allocate(heap, 24, 24, 24)
    free(heap, freed)
    before, console = state(heap), heap.console
    for errors in (1, 2):
        heap.call("kfree", pointer)
        assert state(heap) == before
        assert word(heap, "heap_error_count") == errors
    assert heap.console == console + f"kfree: not allocated: 0x{pointer:08x}\n" * 2


def test_a_pointer_into_an_empty_heap_is_invalid(subject: Subject) -> None:
    subject.call("mem_init", START, START)
    free(subject, START + 8)
    assert word(subject, "heap_error_count") == 1


def test_a_forged_header_in_a_body_is_not_believed(heap: Subject) -> None:
    pointer, _ = allocate(heap, 64, 8)
    heap.memory.store_words(pointer + 16, (16, 1))
    before = state(heap)
    free(heap, pointer + 24)
    assert state(heap) == before
    assert word(heap, "heap_error_count") == 1


def test_a_header_that_was_merged_away_is_not_believed(heap: Subject) -> None:
    first, second, _ = allocate(heap, 24, 24, 8)
    free(heap, second, first)
    assert heap.call("kmalloc", 56) == first
    heap.memory.store_words(second - 8, (24, 1))
    free(heap, second)
    assert word(heap, "heap_error_count") == 1


# Heaps that the guest has damaged. Four blocks of 24 bytes; the second and the fourth are free.

BROKEN_HEADERS = [
    pytest.param((28, 1), id="size not a multiple of 8"),
    pytest.param((0, 1), id="size 0"),
    pytest.param((0x10000, 1), id="beyond the heap"),
    pytest.param((65472, 1), id="a word beyond the heap"),
    pytest.param((0xFFFFFFF8, 1), id="size wraps"),
    pytest.param((24, 2), id="used 2"),
    pytest.param((24, 0x41414141), id="used overwritten"),
    pytest.param((32, 1), id="the next header is inside a body"),
]


@pytest.fixture
def damaged(heap: Subject) -> Subject:
    _, second, _, fourth, _ = allocate(heap, 24, 24, 24, 24, 24)
    free(heap, second, fourth)
    return heap


def refuses(subject: Subject, pointer: int) -> bool:
    """Return whether `kfree` refuses the pointer and leaves the heap alone."""
    before, errors = state(subject), word(subject, "heap_error_count")
    free(subject, pointer)
    return state(subject) == before and word(subject, "heap_error_count") == errors + 1


@pytest.mark.parametrize("header", BROKEN_HEADERS[:-1])
def test_a_broken_header_is_not_freed(damaged: Subject, header: tuple[int, int]) -> None:
    damaged.memory.store_words(START + 64, header)
    assert refuses(damaged, START + 72)


@pytest.mark.parametrize("header", BROKEN_HEADERS)
def test_nothing_after_a_broken_header_is_freed(heap: Subject, header: tuple[int, int]) -> None:
    allocate(heap, 24, 24, 24)
    heap.memory.store_words(START + 32, header)
    assert refuses(heap, START + 72)


def test_a_free_block_between_makes_a_broken_header_below_harmless(damaged: Subject) -> None:
    """The scan begins at the last free block below."""
    damaged.memory.store_words(START, (0xFFFFFFFF, 0xFFFFFFFF))
    free(damaged, START + 72)
    assert word(damaged, "heap_error_count") == 0
    assert words(damaged, START + 32, 3) == [88, 0, START + 160]


BROKEN_LINKS = [
    pytest.param(START + 36, None, id="unaligned"),
    pytest.param(START - 32, (24, 0, 0), id="below the heap"),
    pytest.param(END, (24, 0, 0), id="the end"),
    pytest.param(END - 8, (24, 0, 0), id="no room for a body"),
    pytest.param(0xFFFFFFF8, None, id="far away"),
    pytest.param(START + 64, None, id="a live block"),
    pytest.param(START + 96, (20, 0, 0), id="size not a multiple of 8"),
    pytest.param(START + 96, (0, 0, 0), id="size 0"),
    pytest.param(START + 96, (0xFFF8, 0, 0), id="beyond the heap"),
    pytest.param(START + 96, (65440, 0, 0), id="a word beyond the heap"),
    pytest.param(START + 96, (0xFFFFFFF8, 0, 0), id="size wraps"),
    pytest.param(START + 96, (24, 2, 0), id="used 2"),
]


@pytest.mark.parametrize("where", ["head", "link"])
@pytest.mark.parametrize(("link", "header"), BROKEN_LINKS)
def test_a_broken_free_list_gives_and_takes_nothing(
    damaged: Subject, link: int, header: tuple[int, int, int] | None, where: str
) -> None:
    damaged.memory.store_u32(damaged.symbols["heap_free_list"] if where == "head" else START + 40, link)
    if header:
        damaged.memory.store_words(link, header)
    before = state(damaged)
    assert damaged.call("kmalloc", 32) == 0
    assert not has_space(damaged, MEM_TYPE_HEAP, 32)
    assert state(damaged) == before
    assert refuses(damaged, START + 136)


@pytest.mark.parametrize("target", [START + 32, START + 96])
def test_a_free_list_that_turns_back_ends(damaged: Subject, target: int) -> None:
    damaged.memory.store_u32(START + 104, target)
    assert damaged.call("kmalloc", 32) == 0
    assert refuses(damaged, START + 136)
    assert damaged.call("kmalloc", 24) == START + 40  # before the damage all is well


def test_what_lies_before_the_damage_is_still_freed(damaged: Subject) -> None:
    damaged.memory.store_u32(START + 104, 0x41414141)
    free(
        damaged, START + 72
    )  # its free neighbours are the second and the fourth block; the list breaks after them
    assert word(damaged, "heap_error_count") == 0
    assert words(damaged, START + 32, 3) == [88, 0, 0x41414141]


# mem_has_space


@pytest.mark.parametrize("size", [0, 1, 24, 25, 48, 65432, 65433, 65528, 0xFFFFFFF8, 0xFFFFFFF9, 0xFFFFFFFF])
def test_has_space_on_the_heap_is_what_kmalloc_does(heap: Subject, size: int) -> None:
    pointers = allocate(heap, 48, 24, 8)
    free(heap, pointers[0])
    before = state(heap)
    answer = has_space(heap, MEM_TYPE_HEAP, size)
    assert state(heap) == before
    assert answer == (heap.call("kmalloc", size) != 0)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, False),
        (1, True),
        (4096, True),
        (12288, True),
        (12289, False),
        (0xFFFFF001, False),
        (0xFFFFFFFF, False),
    ],
)
def test_has_space_in_frames_is_what_alloc_frames_does(subject: Subject, size: int, expected: bool) -> None:
    subject.call("memmap_init", 0x200000, 0x208000)
    subject.call("memmap_reserve", 0x203000, 0x205000)  # runs of three frames remain
    assert has_space(subject, MEM_TYPE_FRAME, size) is expected
    assert subject.call("memmap_free_count") == 6
    assert (subject.call("alloc_frames", -(-size // 4096)) != 0xFFFFFFFF) is expected


@pytest.mark.parametrize("kind", [2, 3, 0x100, 0x80000000, 0xFFFFFFFF])
def test_an_unknown_type_has_no_space(subject: Subject, kind: int) -> None:
    assert not has_space(subject, kind, 1)
