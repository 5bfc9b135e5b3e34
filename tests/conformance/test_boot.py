"""Spec 1.1: where things lie after `memory_init`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conformance.conftest import Subject

FRAME_NONE = 0xFFFFFFFF


def word(subject: Subject, name: str) -> int:
    return subject.memory.load_u32(subject.symbols[name])


def boot(subject: Subject, start: int, end: int, heap_bytes: int) -> None:
    for name, value in (
        ("memory_window_start", start),
        ("memory_window_end", end),
        ("heap_bytes", heap_bytes),
    ):
        subject.memory.store_u32(subject.symbols[name], value)
    subject.call("memory_init")


def round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def test_the_struct_describes_the_default_window(subject: Subject) -> None:
    bitmap = round_up(subject.symbols["__end"], 4)
    fields = subject.memory.load_words(subject.symbols["memmap"], 5)
    assert fields == (0x100000, 0x500000, 0x100, 1024, bitmap)


def test_the_heap_begins_on_the_page_after_image_and_bitmap(subject: Subject) -> None:
    bitmap_end = round_up(subject.symbols["__end"], 4) + 1024 // 8
    assert word(subject, "heap_start") == round_up(bitmap_end, 4096)
    assert word(subject, "heap_end") == word(subject, "heap_start") + 65536
    assert word(subject, "heap_error_count") == 0


@pytest.mark.parametrize("frames", [8 * 4096 - 1, 8 * 4096, 8 * 4096 + 1, 8 * 4 * 4096])
def test_the_heap_begins_after_a_bitmap_of_several_pages(subject: Subject, frames: int) -> None:
    boot(subject, 0x100000, 0x100000 + 4096 * frames, 65536)
    bitmap_end = round_up(subject.symbols["__end"], 4) + round_up(frames, 8) // 8
    start = round_up(bitmap_end, 4096)
    assert (word(subject, "heap_start"), word(subject, "heap_end")) == (start, start + 65536)
    used = word(subject, "heap_end") // 4096 - 0x100
    assert subject.call("memmap_free_count") == frames - used
    assert subject.call("alloc_frame") == 0x100 + used


@pytest.mark.parametrize("bytes_after", [0, 1, 2])
def test_the_heap_begins_on_the_page_where_the_bitmap_ends(subject: Subject, bytes_after: int) -> None:
    bitmap = round_up(subject.symbols["__end"], 4)
    page = round_up(bitmap, 4096) + 4096
    boot(subject, 0x100000, 0x100000 + 4096 * 8 * (page + bytes_after - bitmap), 65536)
    assert word(subject, "heap_start") == page + (4096 if bytes_after else 0)


def test_the_heap_is_one_free_block(subject: Subject) -> None:
    start = word(subject, "heap_start")
    assert word(subject, "heap_free_list") == start
    assert subject.memory.load_words(start, 3) == (65528, 0, 0)


def test_exactly_the_frames_of_image_bitmap_and_heap_are_in_use(subject: Subject) -> None:
    used = word(subject, "heap_end") // 4096 - 0x100
    bitmap = subject.memory.read(round_up(subject.symbols["__end"], 4), 128)
    assert int.from_bytes(bitmap, "little") == (1 << used) - 1
    assert subject.call("memmap_free_count") == 1024 - used


def test_no_frame_of_image_bitmap_or_heap_is_ever_handed_out(subject: Subject) -> None:
    first = word(subject, "heap_end") // 4096
    frames = [subject.call("alloc_frame") for _ in range(0x500 - first)]
    assert frames == list(range(first, 0x500))
    assert subject.call("alloc_frame") == FRAME_NONE


def test_the_window_clips_the_heap(subject: Subject) -> None:
    start = word(subject, "heap_start")
    boot(subject, 0x100000, start + 0x3000, 65536)
    assert (word(subject, "heap_start"), word(subject, "heap_end")) == (start, start + 0x3000)
    assert subject.call("memmap_free_count") == 0


def test_a_window_that_ends_below_the_heap_leaves_it_empty(subject: Subject) -> None:
    boot(subject, 0x100000, 0x104000, 65536)
    assert word(subject, "heap_start") == word(subject, "heap_end")
    assert word(subject, "heap_free_list") == 0
    assert subject.call("kmalloc", 1) == 0
    assert subject.call("memmap_free_count") == 0


@pytest.mark.parametrize("heap_bytes", [0, 4096, 0x100000, 0xFFFFFFFF])
def test_the_heap_is_as_large_as_asked_for(subject: Subject, heap_bytes: int) -> None:
    boot(subject, 0x100000, 0x500000, heap_bytes)
    start = word(subject, "heap_start")
    end = min(start + heap_bytes, 0x500000)
    assert word(subject, "heap_end") == end
    assert subject.call("memmap_free_count") == (0x500000 - end) // 4096


def test_a_window_above_the_image_stays_free(subject: Subject) -> None:
    """The image and the bitmap lie outside; the heap cannot be clipped to a window above it, so it lies below."""
    start = word(subject, "heap_start")
    boot(subject, 0x200000, 0x300000, 65536)
    assert word(subject, "heap_start") <= start
    assert word(subject, "heap_end") == word(subject, "heap_start") + 65536
    assert subject.call("memmap_free_count") == 256
    assert subject.call("alloc_frame") == 0x200
