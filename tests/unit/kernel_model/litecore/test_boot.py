"""The boot layout of spec 1.1 in its variations; the default one is in tests/conformance."""

from __future__ import annotations

import pytest

from kernel_model.blocks import Block
from kernel_model.frames import FrameRun
from kernel_model.litecore.boot import BootSettings, memory_init
from kernel_model.litecore.heap import Heap
from kernel_model.litecore.heap_layout import HeapAddresses
from kernel_model.litecore.memmap import Memmap
from kernel_model.memory import ByteMemory

GLOBALS = HeapAddresses(start=0x10, end=0x14, free_list=0x18, error_count=0x1C, lock=0x20)


def boot(image_end: int, settings: BootSettings) -> tuple[Memmap, Heap]:
    memory = ByteMemory(0, 0x200000)
    memmap, heap = Memmap(memory, 0x40, 0x60, image_end), Heap(memory, GLOBALS, print)
    memory_init(memmap, heap, image_end, settings)
    return memmap, heap


def test_the_defaults_are_those_of_the_specification() -> None:
    assert BootSettings() == (0x100000, 0x500000, 65536)


def test_image_bitmap_and_heap_are_in_use_and_the_rest_is_free() -> None:
    memmap, heap = boot(0x105801, BootSettings())
    assert memmap.fields() == (0x100000, 0x500000, 0x100, 1024, 0x105804)
    assert heap.bounds() == (0x106000, 0x116000)
    assert list(memmap.usage().runs()) == [
        FrameRun(0x100, 0x116, used=True),
        FrameRun(0x116, 0x500, used=False),
    ]
    assert list(heap.blocks()) == [Block(0x106000, 65528, used=False)]


@pytest.mark.parametrize(
    ("image_end", "heap_start"), [(0x105F80, 0x106000), (0x105F81, 0x107000), (0x106000, 0x107000)]
)
def test_the_heap_begins_on_the_page_after_the_bitmap(image_end: int, heap_start: int) -> None:
    """The bitmap has 128 bytes."""
    assert boot(image_end, BootSettings())[1].bounds()[0] == heap_start


def test_the_window_cuts_the_heap_short() -> None:
    memmap, heap = boot(0x105801, BootSettings(0x100000, 0x10A000))
    assert heap.bounds() == (0x106000, 0x10A000)
    assert memmap.alloc_frame() is None


def test_a_window_that_ends_below_the_heap_leaves_it_empty() -> None:
    memmap, heap = boot(0x105801, BootSettings(0x100000, 0x104000))
    assert heap.bounds() == (0x106000, 0x106000)
    assert memmap.free_count() == 0


def test_without_a_window_there_is_no_heap() -> None:
    memmap, heap = boot(0x105801, BootSettings(0x500000, 0x100000))
    assert memmap.fields() == (0, 0, 0, 0, 0)
    assert heap.bounds() == (0x106000, 0x106000)


def test_a_window_below_the_image_keeps_its_frames() -> None:
    memmap, heap = boot(0x105801, BootSettings(0x080000, 0x0A0000))
    assert memmap.free_count() == 32
    assert heap.kmalloc(1) == 0


def test_a_heap_of_no_bytes_is_empty() -> None:
    memmap, heap = boot(0x105801, BootSettings(heap_bytes=0))
    assert heap.kmalloc(1) == 0
    assert memmap.alloc_frame() == 0x106


def test_a_heap_larger_than_the_address_space_is_cut_by_the_window() -> None:
    assert boot(0x105801, BootSettings(heap_bytes=0xFFFFFFFF))[1].bounds() == (0x106000, 0x500000)
