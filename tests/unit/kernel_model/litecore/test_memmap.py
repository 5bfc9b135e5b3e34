"""The Python face of the frame allocator; its contract with C callers is in tests/conformance."""

from __future__ import annotations

import pytest

from kernel_model.frames import FrameRun, FrameUsage
from kernel_model.litecore.memmap import InvalidFree, Memmap, MemmapFields
from kernel_model.memory import ByteMemory, Overlay

STRUCT, LOCK, IMAGE_END = 0x20, 0x40, 0x102  # the bitmap goes to 0x104


@pytest.fixture
def memory() -> ByteMemory:
    return ByteMemory(0, 0x30000)


@pytest.fixture
def memmap(memory: ByteMemory) -> Memmap:
    """Return a window of 20 frames, 16..35."""
    memmap = Memmap(memory, STRUCT, LOCK, IMAGE_END)
    memmap.init(0x10000, 0x24000)
    return memmap


def test_init_fills_the_struct_and_sets_the_unused_bits(memory: ByteMemory, memmap: Memmap) -> None:
    assert memmap.fields() == MemmapFields(0x10000, 0x24000, 16, 20, 0x104)
    assert memory.load_words(STRUCT, 5) == (0x10000, 0x24000, 16, 20, 0x104)
    assert memory.read(0x103, 5) == b"\0\0\0\xf0\0"


def test_init_writes_nothing_outside_struct_lock_and_bitmap(memory: ByteMemory) -> None:
    memory.write(0, b"\xee" * 0x200)
    memory.store_u32(LOCK, 0)
    overlay = Overlay(memory)
    Memmap(overlay, STRUCT, LOCK, IMAGE_END).init(0x10000, 0x24000)
    assert set(overlay.changes()) == {*range(0x20, 0x34), *range(0x40, 0x44), *range(0x104, 0x107)}


def test_fields_know_their_ends(memmap: Memmap) -> None:
    assert (memmap.fields().bitmap_bytes, memmap.fields().end_frame) == (3, 36)


def test_alloc_writes_one_byte_of_the_bitmap(memory: ByteMemory, memmap: Memmap) -> None:
    memmap.reserve(0x10000, 0x1B000)
    overlay = Overlay(memory)
    assert Memmap(overlay, STRUCT, LOCK, IMAGE_END).alloc_frame() == 27
    assert set(overlay.changes()) == {*range(LOCK, LOCK + 4), *range(0x105, 0x106)}


def test_an_exhausted_window_gives_none(memmap: Memmap) -> None:
    assert [memmap.alloc_frame() for _ in range(21)] == [*range(16, 36), None]
    assert memmap.alloc_frames(1) is None


def test_nothing_can_be_allocated_before_init() -> None:
    """The struct is zero then; there is no bitmap to read, and no memory at its address."""
    memmap = Memmap(ByteMemory(0x1000, 0x100), 0x1000, None, 0x1080)
    assert memmap.alloc_frame() is None
    assert memmap.alloc_frames(1) is None
    assert memmap.free_count() == 0
    assert not memmap.has_run(1)
    assert memmap.usage() == FrameUsage(0, 0, 0, 0, b"")
    memmap.reserve(0, 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("first", "count"), [(15, 1), (36, 1), (16, 0), (35, 2), (16, 21), (0, 1), (30, 1), (17, 3)]
)
def test_an_invalid_free_carries_its_facts_and_changes_nothing(
    memory: ByteMemory, memmap: Memmap, first: int, count: int
) -> None:
    memmap.alloc_frames(3)  # 16, 17, 18
    before = memory.read(0, 0x200)
    with pytest.raises(InvalidFree) as error:
        memmap.free_frames(first, count)
    assert (error.value.first, error.value.count) == (first, count)
    assert memory.read(0, 0x200) == before


def test_the_message_of_an_invalid_free(memmap: Memmap) -> None:
    with pytest.raises(InvalidFree, match=r"^frames 40\.\.42 are not all in use and in the window$"):
        memmap.free_frames(40, 3)
    with pytest.raises(InvalidFree, match=r"^frames 40\.\.40 are not"):
        memmap.free_frames(40, 1)


def test_a_stray_write_to_the_unused_bits_yields_no_frame_outside(memory: ByteMemory, memmap: Memmap) -> None:
    memory.store_u8(0x106, 0)
    assert memmap.alloc_frames(21) is None
    assert not memmap.has_run(21)
    assert memmap.alloc_frames(20) == 16
    memory.store_u8(0x106, 0x0F)
    assert memmap.alloc_frame() is None
    assert memmap.alloc_frames(1) is None


def test_usage_and_runs(memmap: Memmap) -> None:
    memmap.reserve(0x12000, 0x14000)
    memmap.reserve(0x23000, 0x24000)
    usage = memmap.usage()
    assert usage == FrameUsage(16, total=20, free=17, largest_free_run=15, bits=b"\x0c\x00\xf8")
    assert usage.used == 3
    assert list(usage.runs()) == [
        FrameRun(16, 18, used=False),
        FrameRun(18, 20, used=True),
        FrameRun(20, 35, used=False),
        FrameRun(35, 36, used=True),
    ]


def test_usage_of_a_full_window(memmap: Memmap) -> None:
    memmap.reserve(0, 0xFFFFFFFF)
    assert memmap.usage() == FrameUsage(16, total=20, free=0, largest_free_run=0, bits=b"\xff" * 3)


def test_it_works_without_a_lock() -> None:
    memory = ByteMemory(0, 0x200)
    memmap = Memmap(memory, STRUCT, None, IMAGE_END)
    memmap.init(0x10000, 0x24000)
    assert memmap.alloc_frame() == 16
    assert memory.load_u32(LOCK) == 0


def test_a_million_frames(memory: ByteMemory) -> None:
    memmap = Memmap(memory, STRUCT, LOCK, IMAGE_END)
    memmap.init(0, 0xFFFFF000)
    usage = memmap.usage()
    assert (usage.total, usage.free, usage.used, usage.largest_free_run) == (1048575, 1048575, 0, 1048575)
    assert memmap.alloc_frames(1000000) == 0
    assert memmap.alloc_frames(48576) is None
    assert memmap.alloc_frames(48575) == 1000000
    assert memmap.alloc_frame() is None
    memmap.free_frames(999999, 2)
    assert list(memmap.usage().runs())[1] == FrameRun(999999, 1000001, used=False)
    assert memmap.alloc_frame() == 999999
