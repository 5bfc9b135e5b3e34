"""Spec 1.4, task 3: ranges of address space, and vmalloc, which joins them with frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from kernel_model.address_space import AddressSpace

if TYPE_CHECKING:
    from tests.conformance.conftest import Subject

ERROR = 0xFFFFFFFF
PAGE = 4096
START, END = 0xC000_0000, 0xE000_0000
PAGES: Final = (END - START) // PAGE
ALLOC, VMALLOC = 0, 1


@pytest.fixture
def mapped(paged: Subject) -> Subject:
    """Return the subject with a page directory."""
    assert paged.call("paging_init") == 0
    return paged


def word(subject: Subject, name: str) -> int:
    return subject.memory.load_u32(subject.symbols[name])


def ranges(subject: Subject) -> list[tuple[int, int, int]]:
    """Return start, pages and owner of each record."""
    found = []
    record = word(subject, "vspace_ranges")
    while record:
        start, pages, owner, record = subject.memory.load_words(record, 4)
        found.append((start, pages, owner))
    return found


def heap_metadata(subject: Subject) -> list[tuple[int, ...]]:
    """Return the heap's globals, and the header of each block."""
    found = [tuple(word(subject, name) for name in ("heap_free_list", "heap_error_count"))]
    header, end = word(subject, "heap_start"), word(subject, "heap_end")
    while header < end:
        size, used = subject.memory.load_words(header, 2)
        found.append((header, size, used))
        header += 8 + size
    return found


def user_ranges(subject: Subject) -> list[tuple[int, int]]:
    """Return what is mapped besides the identity map."""
    space = AddressSpace(subject.memory, word(subject, "page_directory"), pse=False)
    return [(each.start, each.end) for each in space.ranges() if each.start >= 0x50_0000]


def state(subject: Subject) -> object:
    """Return all that a call which fails leaves as it was."""
    count = subject.call("memmap_free_count")
    mapped = user_ranges(subject) if word(subject, "page_directory") else []
    return count, heap_metadata(subject), ranges(subject), mapped


def fill_heap(subject: Subject) -> None:
    while subject.call("kmalloc", 8):
        pass


def take_frames(subject: Subject, left: int) -> None:
    assert subject.call("alloc_frames", subject.call("memmap_free_count") - left) != 0xFFFFFFFF


class TestRanges:
    def test_the_globals(self, paged: Subject) -> None:
        names = ("vspace_start", "vspace_end", "vspace_ranges", "vspace_error_count", "vspace_lock")
        assert [word(paged, name) for name in names] == [START, END, 0, 0, 0]

    def test_the_lowest_gap_that_fits(self, paged: Subject) -> None:
        a, b, c = (paged.call("vspace_alloc", pages) for pages in (2, 3, 1))
        assert (a, b, c) == (START, START + 2 * PAGE, START + 5 * PAGE)
        assert paged.call("vspace_free", b) == 0
        assert paged.call("vspace_alloc", 4) == START + 6 * PAGE
        assert paged.call("vspace_alloc", 3) == b
        assert paged.call("vspace_free", a) == 0
        assert paged.call("vspace_alloc", 1) == a
        assert paged.call("vspace_alloc", 1) == a + PAGE
        assert ranges(paged) == [
            *((START, 1, ALLOC), (START + PAGE, 1, ALLOC), (START + 2 * PAGE, 3, ALLOC)),
            *((START + 5 * PAGE, 1, ALLOC), (START + 6 * PAGE, 4, ALLOC)),
        ]

    def test_a_record_is_a_heap_block(self, paged: Subject) -> None:
        paged.call("vspace_alloc", 7)
        record = word(paged, "vspace_ranges")
        assert record == word(paged, "heap_start") + 8
        assert paged.memory.load_words(record - 8, 6) == (16, 1, START, 7, ALLOC, 0)

    def test_it_is_address_space_only(self, mapped: Subject) -> None:
        before = mapped.call("memmap_free_count")
        start = mapped.call("vspace_alloc", 1000)
        assert mapped.call("virt_to_phys", start) == 0xFFFFFFFF
        assert mapped.call("memmap_free_count") == before

    def test_all_of_it(self, paged: Subject) -> None:
        assert paged.call("vspace_alloc", PAGES) == START
        assert paged.call("vspace_alloc", 1) == 0
        assert paged.call("vspace_free", START) == 0
        assert paged.call("vspace_alloc", PAGES - 1) == START
        assert paged.call("vspace_alloc", 1) == END - PAGE

    @pytest.mark.parametrize("pages", [0, PAGES + 1, 0x100000, 0x80000000, 0xFFFFFFFF])
    def test_none_or_too_many(self, paged: Subject, pages: int) -> None:
        before = state(paged)
        assert paged.call("vspace_alloc", pages) == 0
        assert state(paged) == before

    def test_without_heap_for_the_record(self, paged: Subject) -> None:
        paged.call("vspace_alloc", 2)
        fill_heap(paged)
        before = state(paged)
        assert paged.call("vspace_alloc", 1) == 0
        assert state(paged) == before

    def test_freed_in_any_order_the_heap_is_what_it_was(self, paged: Subject) -> None:
        before = state(paged)
        starts = [paged.call("vspace_alloc", pages) for pages in (1, 2, 3, 4)]
        for index in (2, 0, 3, 1):
            assert paged.call("vspace_free", starts[index]) == 0
        assert state(paged) == before

    @pytest.mark.parametrize("address", [0, 4, START + 4, START + PAGE, START + 2 * PAGE, END, 0xFFFFF000])
    def test_only_what_was_handed_out_is_freed(self, paged: Subject, address: int) -> None:
        paged.call("vspace_alloc", 2)
        before = state(paged)
        assert paged.call("vspace_free", address) == ERROR
        assert state(paged) == before

    def test_a_double_free(self, paged: Subject) -> None:
        start = paged.call("vspace_alloc", 2)
        assert [paged.call("vspace_free", start) for _ in range(2)] == [0, ERROR]

    def test_before_there_is_a_heap(self, paged: Subject) -> None:
        paged.call("mem_init", 0, 0)
        assert paged.call("vspace_alloc", 1) == 0
        assert word(paged, "vspace_ranges") == 0

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            pytest.param(0x8000_0000, 0x8000_3000, 0x8000_0000, id="elsewhere"),
            pytest.param(0x0040_0000, 0x0050_2000, 0x0050_0000, id="the window reaches into it"),
            pytest.param(0x0040_0000, 0x0050_1000, 0, id="the window leaves one page"),
            pytest.param(0x8000_0000, 0x8000_0000, 0, id="empty"),
            pytest.param(0x8000_3000, 0x8000_0000, 0, id="upside down"),
            pytest.param(0, 0x0050_2000, 0x0050_0000, id="from 0"),
        ],
    )
    def test_other_bounds(self, paged: Subject, start: int, end: int, expected: int) -> None:
        paged.memory.store_u32(paged.symbols["vspace_start"], start)
        paged.memory.store_u32(paged.symbols["vspace_end"], end)
        assert paged.call("vspace_alloc", 2) == expected
        assert paged.call("vspace_free", expected) == (0 if expected else ERROR)

    def test_address_0_is_never_handed_out(self, paged: Subject) -> None:
        paged.memory.store_u32(paged.symbols["vspace_start"], 0)
        paged.memory.write(paged.symbols["memmap"], bytes(20))
        assert paged.call("vspace_alloc", 2) == PAGE


class TestDamage:
    """A list that cannot be one ends every search, and refuses the call."""

    @pytest.mark.parametrize(
        ("member", "value"),
        [
            pytest.param(0, START + PAGE // 2, id="unaligned"),
            pytest.param(0, START, id="over the range before"),
            pytest.param(0, END, id="outside"),
            pytest.param(1, 0, id="no pages"),
            pytest.param(1, PAGES, id="too many pages"),
            pytest.param(1, 0xFFFFFFFF, id="far too many"),
        ],
    )
    def test_a_record(self, paged: Subject, member: int, value: int) -> None:
        first = paged.call("vspace_alloc", 2)
        second = paged.call("vspace_alloc", 2)
        record = paged.memory.load_words(word(paged, "vspace_ranges"), 4)[3]
        paged.memory.store_u32(record + 4 * member, value)
        assert paged.call("vspace_alloc", 1) == 0
        assert paged.call("vspace_free", second) == ERROR
        assert paged.call("vspace_free", first) == 0, "in front of the damage"

    def test_a_ring(self, paged: Subject) -> None:
        starts = [paged.call("vspace_alloc", 1) for _ in range(3)]
        record = word(paged, "vspace_ranges")
        paged.memory.store_u32(record + 12, record)
        assert paged.call("vspace_alloc", 1) == 0
        assert paged.call("vspace_free", starts[2]) == ERROR


class TestVmalloc:
    @pytest.mark.parametrize(
        ("size", "pages"),
        [(1, 1), (PAGE - 1, 1), (PAGE, 1), (PAGE + 1, 2), (5 * PAGE, 5), (1100 * 1024, 275)],
    )
    def test_frames_under_a_range(self, mapped: Subject, size: int, pages: int) -> None:
        before = mapped.call("memmap_free_count")
        assert mapped.call("vmalloc", size) == START
        assert ranges(mapped) == [(START, pages, VMALLOC)]
        assert mapped.call("memmap_free_count") == before - pages - 1  # and a table
        assert user_ranges(mapped) == [(START, START + pages * PAGE)]
        entry = AddressSpace(mapped.memory, word(mapped, "page_directory"), pse=False).mapping(START)
        assert entry is not None
        assert (entry.writable, entry.user) == (True, False)

    def test_frames_come_one_by_one_and_ascending(self, mapped: Subject) -> None:
        first = mapped.call("alloc_frames", 5)
        for frame in (first, first + 2, first + 3):
            mapped.call("free_frame", frame)
        start = mapped.call("vmalloc", 3 * PAGE)
        frames = [mapped.call("virt_to_phys", start + page * PAGE) // PAGE for page in range(3)]
        assert frames == [first, first + 3, first + 5], "the second free one has become the table"

    @pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFF001, 0x80000000, END - START, END - START + 1])
    def test_none_or_too_many(self, mapped: Subject, size: int) -> None:
        before = state(mapped)
        assert mapped.call("vmalloc", size) == 0
        assert state(mapped) == before

    def test_without_a_page_directory(self, paged: Subject) -> None:
        before = state(paged)
        assert paged.call("vmalloc", 1) == 0
        assert state(paged) == before

    @pytest.mark.parametrize("frames", range(6))
    def test_frames_run_out(self, mapped: Subject, frames: int) -> None:
        """Five frames are needed: with fewer, it fails at one of the pages, or at the table."""
        take_frames(mapped, frames)
        before = state(mapped)
        pointer = mapped.call("vmalloc", 4 * PAGE)
        assert (pointer != 0) == (frames >= 5)
        mapped.call("vfree", pointer)
        assert state(mapped) == before

    def test_a_second_table_runs_out(self, mapped: Subject) -> None:
        """The range crosses 4 MiB; its first page is mapped already when the second table cannot be had."""
        mapped.call("vspace_alloc", 1023)
        take_frames(mapped, 3)
        before = state(mapped)
        assert mapped.call("vmalloc", 2 * PAGE) == 0
        assert state(mapped) == before

    def test_the_heap_runs_out(self, mapped: Subject) -> None:
        fill_heap(mapped)
        before = state(mapped)
        assert mapped.call("vmalloc", 1) == 0
        assert state(mapped) == before

    def test_a_page_in_the_way(self, mapped: Subject) -> None:
        """Mapped by hand where nobody has taken a range: it stays, and vmalloc takes nothing."""
        assert mapped.call("map_page", 0x40_0000, START + 2 * PAGE, 1) == 0
        before = state(mapped)
        assert mapped.call("vmalloc", 3 * PAGE) == 0
        assert state(mapped) == before
        assert mapped.call("vmalloc", 2 * PAGE) == START


class TestVfree:
    def test_everything_comes_back(self, mapped: Subject) -> None:
        before = state(mapped)
        pointers = [mapped.call("vmalloc", size) for size in (1, 3 * PAGE, PAGE + 1, 5 * 1024 * 1024 // 4)]
        for index in (1, 3, 0, 2):
            mapped.call("vfree", pointers[index])
        assert state(mapped) == before
        assert mapped.console == ""

    def test_null_is_ignored(self, mapped: Subject) -> None:
        mapped.call("vmalloc", 1)
        before = state(mapped)
        mapped.call("vfree", 0)
        assert state(mapped) == before
        assert (word(mapped, "vspace_error_count"), mapped.console) == (0, "")

    @pytest.mark.parametrize("pointer", [4, START + 4, START + PAGE, START + 3 * PAGE, 0x10_0000, 0xFFFFFFFF])
    def test_what_was_not_allocated_is_named(self, mapped: Subject, pointer: int) -> None:
        mapped.call("vmalloc", 2 * PAGE)
        before = state(mapped)
        mapped.call("vfree", pointer)
        assert state(mapped) == before
        assert word(mapped, "vspace_error_count") == 1
        assert mapped.console == f"vfree: not allocated: 0x{pointer:08x}\n"

    def test_a_double_free(self, mapped: Subject) -> None:
        pointer = mapped.call("vmalloc", 1)
        mapped.call("vfree", pointer)
        before = state(mapped)
        mapped.call("vfree", pointer)
        assert state(mapped) == before
        assert word(mapped, "vspace_error_count") == 1

    def test_each_range_is_freed_by_its_own_call(self, mapped: Subject) -> None:
        memory, space = mapped.call("vmalloc", 1), mapped.call("vspace_alloc", 1)
        before = state(mapped)
        assert mapped.call("vspace_free", memory) == ERROR
        mapped.call("vfree", space)
        assert state(mapped) == before
        assert mapped.console == f"vfree: not allocated: 0x{space:08x}\n"

    def test_a_range_in_which_another_vfree_is_at_work(self, mapped: Subject) -> None:
        pointer = mapped.call("vmalloc", 1)
        mapped.memory.store_u32(word(mapped, "vspace_ranges") + 8, 2)
        before = state(mapped)
        mapped.call("vfree", pointer)
        assert mapped.call("vspace_free", pointer) == ERROR
        assert state(mapped) == before

    def test_a_page_that_somebody_unmapped_is_skipped(self, mapped: Subject) -> None:
        before = mapped.call("memmap_free_count")
        pointer = mapped.call("vmalloc", 3 * PAGE)
        frame = mapped.call("virt_to_phys", pointer + PAGE) // PAGE
        assert mapped.call("unmap_page", pointer + PAGE) == 0
        mapped.call("vfree", pointer)
        assert ranges(mapped) == []
        assert mapped.call("memmap_free_count") == before - 1
        assert mapped.call("free_frame", frame) == 0

    def test_the_count_wraps(self, mapped: Subject) -> None:
        mapped.memory.store_u32(mapped.symbols["vspace_error_count"], 0xFFFFFFFF)
        mapped.call("vfree", 4)
        assert word(mapped, "vspace_error_count") == 0
