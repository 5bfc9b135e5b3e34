"""Defects of the memmap itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel_model.litecore.audits import memmap_defects
from kernel_model.litecore.memmap import Memmap
from kernel_model.memory import ByteMemory
from kernel_model.text import defect_text

if TYPE_CHECKING:
    from kernel_model.audit import Defect

STRUCT, IMAGE_END, SIZE = 0x10, 0x40, 0x2000


@pytest.fixture
def memory() -> ByteMemory:
    return ByteMemory(0, SIZE)


def defects(memory: ByteMemory) -> list[Defect]:
    memmap = Memmap(memory, STRUCT, None, IMAGE_END)
    return list(memmap_defects(memory, SIZE, memmap, STRUCT))


@pytest.mark.parametrize("frames", [16, 13])
def test_a_memmap_has_no_defects(memory: ByteMemory, frames: int) -> None:
    memmap = Memmap(memory, STRUCT, None, IMAGE_END)
    assert defects(memory) == []
    memmap.init(0x100000, 0x100000 + frames * 4096)
    assert defects(memory) == []


@pytest.mark.parametrize(
    ("offset", "value", "text"),
    [
        (0, 0x101000, "0x00000010 memmap.start_addr = 0x00101000: not where start_frame begins"),
        (
            4,
            0x100000,
            "0x00000014 memmap.end_addr = 0x00100000: not where the last of max_frames frames ends",
        ),
        (16, 0x1FFF, "0x00000020 memmap.bitmap = 0x00001fff: there is no memory for the bitmap"),
    ],
)
def test_a_damaged_memmap(memory: ByteMemory, offset: int, value: int, text: str) -> None:
    Memmap(memory, STRUCT, None, IMAGE_END).init(0x100000, 0x10D000)
    memory.store_u32(STRUCT + offset, value)
    assert [defect_text(each) for each in defects(memory)] == [text]


def test_a_bitmap_may_end_where_memory_ends(memory: ByteMemory) -> None:
    Memmap(memory, STRUCT, None, IMAGE_END).init(0x100000, 0x10D000)
    memory.store_u32(STRUCT + 16, SIZE - 2)
    memory.store_u8(SIZE - 1, 0xE0)
    assert defects(memory) == []


def test_bits_after_the_last_frame_are_set(memory: ByteMemory) -> None:
    Memmap(memory, STRUCT, None, IMAGE_END).init(0x100000, 0x10D000)
    memory.store_u8(0x41, 0xC0)
    assert [defect_text(each) for each in defects(memory)] == [
        "0x00000041 bitmap = 0x000000c0: bits behind the last frame must be set"
    ]
