"""Spec 1.2: the contracts of the frame allocator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.conftest import FIRMWARE
from tests.helpers.strict_call import stepped_call

if TYPE_CHECKING:
    from emulator.testing import Kernel
    from tests.conformance.conftest import Subject

FRAME_NONE = 0xFFFFFFFF
ERROR = 0xFFFFFFFF


@pytest.fixture
def window(subject: Subject) -> Subject:
    """Return the subject with a window of 75 frames, 0x200..0x24a, all free: two words, one byte, three bits."""
    subject.call("memmap_init", 0x200000, 0x24B000)
    return subject


def fields(subject: Subject) -> tuple[int, ...]:
    return subject.memory.load_words(subject.symbols["memmap"], 5)


def bitmap_address(subject: Subject) -> int:
    return (subject.symbols["__end"] + 3) & ~3


def state(subject: Subject) -> tuple[tuple[int, ...], bytes]:
    """Return the struct, and the bitmap with 16 bytes after it."""
    return fields(subject), subject.memory.read(bitmap_address(subject), -(-fields(subject)[3] // 8) + 16)


def used(subject: Subject) -> set[int]:
    """Return the frames in use, read from the bitmap."""
    _, _, start, count, address = fields(subject)
    bitmap = subject.memory.read(address, -(-count // 8))
    return {start + i for i in range(count) if bitmap[i // 8] >> i % 8 & 1}


def test_init_fills_the_struct(window: Subject) -> None:
    assert fields(window) == (0x200000, 0x24B000, 0x200, 75, bitmap_address(window))


@pytest.mark.parametrize(
    ("end", "expected"),
    [(0x208000, b"\0"), (0x209000, b"\0\xfe"), (0x20F000, b"\0\x80"), (0x24B000, b"\0" * 9 + b"\xf8")],
)
def test_init_clears_the_bitmap_and_sets_the_unused_bits(subject: Subject, end: int, expected: bytes) -> None:
    subject.memory.write(bitmap_address(subject), b"\xa5" * 32)
    subject.call("memmap_init", 0x200000, end)
    assert subject.memory.read(bitmap_address(subject), 32) == expected + b"\xa5" * (32 - len(expected))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param(0x300000, 0x300000, id="empty"),
        pytest.param(0x300000, 0x200000, id="upside down"),
        pytest.param(0x300001, 0x301FFF, id="no whole frame"),
        pytest.param(0x300000, 0x300FFF, id="less than a frame"),
        pytest.param(0xFFFFF001, 0xFFFFFFFF, id="start rounds up to 4 GiB"),
        pytest.param(0xFFFFF000, 0xFFFFFFFF, id="the last page"),
        pytest.param(0xFFFFFFFF, 0, id="wraps"),
    ],
)
def test_init_without_a_whole_frame_changes_nothing(window: Subject, start: int, end: int) -> None:
    window.call("alloc_frames", 9)
    before = state(window)
    window.call("memmap_init", start, end)
    assert state(window) == before


def test_init_rounds_inwards(subject: Subject) -> None:
    subject.call("memmap_init", 0x200001, 0x204FFF)
    assert fields(subject)[:4] == (0x201000, 0x204000, 0x201, 3)


def test_frames_are_handed_out_from_the_lowest(window: Subject) -> None:
    assert [window.call("alloc_frame") for _ in range(75)] == list(range(0x200, 0x24B))


def test_an_exhausted_window_gives_frame_none_and_stays_as_it_is(window: Subject) -> None:
    window.call("alloc_frames", 75)
    before = state(window)
    assert window.call("alloc_frame") == FRAME_NONE
    assert window.call("alloc_frames", 1) == FRAME_NONE
    assert state(window) == before
    assert window.call("memmap_free_count") == 0


@pytest.mark.parametrize("frame", [0x200, 0x207, 0x208, 0x21F, 0x220, 0x23F, 0x240, 0x247, 0x24A])
def test_the_only_free_frame_is_found(window: Subject, frame: int) -> None:
    window.call("alloc_frames", 75)
    assert window.call("free_frame", frame) == 0
    assert window.call("memmap_free_count") == 1
    assert window.call("alloc_frame") == frame


def test_a_run_takes_the_lowest_gap_that_fits(window: Subject) -> None:
    window.call("alloc_frames", 75)
    for first, count in ((0x203, 2), (0x20E, 4), (0x23E, 5), (0x246, 5)):
        assert window.call("free_frames", first, count) == 0
    assert window.call("alloc_frames", 5) == 0x23E
    assert window.call("alloc_frames", 3) == 0x20E
    assert window.call("alloc_frames", 2) == 0x203
    assert window.call("alloc_frames", 2) == 0x246
    assert window.call("alloc_frames", 4) == FRAME_NONE
    assert window.call("alloc_frames", 3) == 0x248
    assert window.call("alloc_frame") == 0x211
    assert window.call("memmap_free_count") == 0


@pytest.mark.parametrize("count", [1, 7, 8, 9, 31, 32, 33, 64, 65, 75])
def test_a_run_sets_its_own_bits_only(window: Subject, count: int) -> None:
    assert window.call("alloc_frames", count) == 0x200
    assert used(window) == set(range(0x200, 0x200 + count))
    assert state(window)[1][9] & 0xF8 == 0xF8


@pytest.mark.parametrize("count", [0, 76, 1024, 0x80000000, 0xFFFFFFFF])
def test_a_run_of_nothing_or_of_too_many_fails(window: Subject, count: int) -> None:
    before = state(window)
    assert window.call("alloc_frames", count) == FRAME_NONE
    assert state(window) == before


@pytest.mark.parametrize("first", [0x203, 0x208, 0x21E])
@pytest.mark.parametrize("count", [1, 5, 8, 34])
def test_free_frames_clears_its_own_bits_only(window: Subject, first: int, count: int) -> None:
    window.call("alloc_frames", 75)
    assert window.call("free_frames", first, count) == 0
    assert used(window) == set(range(0x200, 0x24B)) - set(range(first, first + count))
    assert window.call("memmap_free_count") == count


@pytest.mark.parametrize("frame", [0, 0x1FF, 0x208, 0x24A, 0x24B, 0x24F, 0xFFFFFFFF])
def test_free_frame_refuses_what_is_outside_or_free(window: Subject, frame: int) -> None:
    window.call("alloc_frames", 8)
    before = state(window)
    assert window.call("free_frame", frame) == ERROR
    assert state(window) == before


@pytest.mark.parametrize(
    ("first", "count"),
    [
        pytest.param(0x200, 0, id="none"),
        pytest.param(0x200, 9, id="the last is free"),
        pytest.param(0x240, 4, id="the first is free"),
        pytest.param(0x1FF, 2, id="begins outside"),
        pytest.param(0x24A, 2, id="ends outside"),
        pytest.param(0x200, 76, id="more than all"),
        pytest.param(0x201, 0xFFFFFFFF, id="wraps to itself"),
        pytest.param(0x200, 0xFFFFFE00, id="wraps to 0"),
        pytest.param(0xFFFFFFFF, 0x202, id="begins far above"),
    ],
)
def test_free_frames_is_all_or_nothing(window: Subject, first: int, count: int) -> None:
    window.call("alloc_frames", 8)
    window.call("memmap_reserve", 0x241000, 0x24B000)
    before = state(window)
    assert window.call("free_frames", first, count) == ERROR
    assert state(window) == before


def test_a_double_free_is_refused(window: Subject) -> None:
    frame = window.call("alloc_frame")
    assert window.call("free_frame", frame) == 0
    assert window.call("free_frame", frame) == ERROR


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        pytest.param(0x203000, 0x206000, range(0x203, 0x206), id="whole frames"),
        pytest.param(0x203FFF, 0x205001, range(0x203, 0x206), id="rounds outwards"),
        pytest.param(0x203800, 0x203801, range(0x203, 0x204), id="one byte"),
        pytest.param(0, 0x202000, range(0x200, 0x202), id="clips below"),
        pytest.param(0x249000, 0xFFFFFFFF, range(0x249, 0x24B), id="clips above"),
        pytest.param(0, 0xFFFFFFFF, range(0x200, 0x24B), id="everything"),
        pytest.param(0x203000, 0x203000, range(0), id="empty"),
        pytest.param(0x203800, 0x203800, range(0), id="empty inside a frame"),
        pytest.param(0x206000, 0x203000, range(0), id="upside down"),
        pytest.param(0x203800, 0x203400, range(0), id="upside down inside a frame"),
        pytest.param(0x100000, 0x200000, range(0), id="below"),
        pytest.param(0x24B000, 0x300000, range(0), id="above"),
        pytest.param(0xFFFFF000, 0xFFFFFFFF, range(0), id="the last page"),
    ],
)
def test_reserve(window: Subject, start: int, end: int, frames: range) -> None:
    surroundings = state(window)[1][10:]
    window.call("memmap_reserve", start, end)
    assert used(window) == set(frames)
    before = state(window)
    window.call("memmap_reserve", start, end)
    assert state(window) == before
    assert before[1][9] & 0xF8 == 0xF8
    assert before[1][10:] == surroundings


def test_reserve_keeps_what_is_in_use(window: Subject) -> None:
    window.call("alloc_frames", 4)
    window.call("memmap_reserve", 0x202000, 0x207000)
    assert used(window) == set(range(0x200, 0x207))


def test_a_reserved_frame_is_skipped_and_can_be_freed(window: Subject) -> None:
    window.call("memmap_reserve", 0x200000, 0x201000)
    assert window.call("alloc_frame") == 0x201
    assert window.call("free_frame", 0x200) == 0
    assert window.call("alloc_frame") == 0x200


def test_memmap_get_is_the_struct(subject: Subject) -> None:
    assert subject.call("memmap_get") == subject.symbols["memmap"]


def test_unused_bits_that_were_cleared_yield_no_frame(window: Subject) -> None:
    window.memory.store_u8(bitmap_address(window) + 9, 0)
    assert window.call("alloc_frames", 76) == FRAME_NONE
    assert window.call("alloc_frames", 75) == 0x200
    assert window.call("alloc_frame") == FRAME_NONE


def test_a_window_of_4_gib(subject: Subject) -> None:
    """The last page cannot be managed, because `end_addr` is exclusive."""
    subject.call("memmap_init", 0, 0xFFFFFFFF)
    assert fields(subject)[:4] == (0, 0xFFFFF000, 0, 1048575)
    assert subject.call("memmap_free_count") == 1048575
    assert subject.call("alloc_frames", 1048570) == 0
    assert subject.call("alloc_frames", 6) == FRAME_NONE
    assert subject.call("alloc_frames", 2) == 1048570
    assert subject.call("free_frames", 1048569, 2) == 0
    assert subject.call("alloc_frames", 3) == 1048572
    assert [subject.call("alloc_frame") for _ in range(3)] == [1048569, 1048570, FRAME_NONE]
    assert subject.call("free_frames", 0, 1048575) == 0
    assert subject.call("memmap_free_count") == 1048575


def test_a_window_of_one_frame(subject: Subject) -> None:
    subject.call("memmap_init", 0x7FFFF000, 0x80000000)
    assert [subject.call("alloc_frame"), subject.call("alloc_frame")] == [0x7FFFF, FRAME_NONE]


@FIRMWARE
@pytest.mark.parametrize("frames", [1024, 1000])
def test_a_search_reads_32_frames_at_a_time(kernel: Kernel, frames: int) -> None:
    """The C code's promise; a model is not slower for long."""
    kernel.call("memmap_init", 0x100000, 0x100000 + 4096 * frames)
    kernel.call("memmap_reserve", 0x100000, 0x100000 + 4096 * frames)
    instructions = sum(1 for _ in stepped_call(kernel.machine, "memmap_has_run", 1))
    assert instructions < 20 * frames // 32 + 60
