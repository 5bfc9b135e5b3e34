"""What the audit of LiteCore's page tables says of each rule that is broken, one at a time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from kernel_model.litecore.memmap import MemmapFields
from kernel_model.litecore.paging_audit import paging_defects
from kernel_model.memory import ByteMemory
from kernel_model.text import defect_text

if TYPE_CHECKING:
    from kernel_model.litecore.memmap import Memmap

SIZE = 0x0100_0000
VARIABLE, BITMAP, WINDOW = 0x100, 0x1000, (0x0040_0000, 0x00C0_0000)  # two directory entries
DIRECTORY, TABLE, FRAME = 0x0040_0000, 0x0040_1000, 0x0040_2000
LOWEST = WINDOW[0] >> 12


class Paging:
    """A page directory and a table, that maps a frame at 0xe0001000; the second half of the window is mapped to itself, too."""

    def __init__(self) -> None:
        self.memory = ByteMemory(0, SIZE)
        self.memory.store_u32(VARIABLE, DIRECTORY)
        for frame in (DIRECTORY, TABLE, FRAME):
            self.mark(frame, used=True)
        self.memory.store_u32(DIRECTORY + 4 * 0x380, TABLE | 3)
        self.memory.store_u32(TABLE + 4, FRAME | 3)

    def mark(self, address: int, *, used: bool) -> None:
        at, bit = divmod((address >> 12) - LOWEST, 8)
        value = self.memory.load_u8(BITMAP + at)
        self.memory.store_u8(BITMAP + at, value | 1 << bit if used else value & ~(1 << bit))

    def defects(self) -> list[str]:
        fields = MemmapFields(*WINDOW, LOWEST, (WINDOW[1] - WINDOW[0]) >> 12, BITMAP)
        memmap = cast("Memmap", SimpleNamespace(fields=lambda: fields))
        found = paging_defects(self.memory, SIZE, VARIABLE, memmap)
        assert all(each.invariant.of_mapping and each.area == "frames" for each in found)
        return [f"{each.invariant.code}: {defect_text(each)}" for each in found]


@pytest.fixture
def paging() -> Paging:
    return Paging()


def test_whole_tables_have_no_defect(paging: Paging) -> None:
    assert paging.defects() == []


def test_before_there_is_a_directory_nothing_is_wrong(paging: Paging) -> None:
    paging.memory.store_u32(VARIABLE, 0)
    paging.mark(FRAME, used=False)
    assert paging.defects() == []


def test_a_free_frame_that_is_mapped(paging: Paging) -> None:
    paging.mark(FRAME, used=False)
    text = "0x00401004 page table entry of 0xe0001000 = 0x00402003"
    assert paging.defects() == [f"map-free-page: {text}: maps frame 0x00402, which is free"]


def test_a_free_frame_of_a_table(paging: Paging) -> None:
    paging.mark(TABLE, used=False)
    text = "0x00400e00 page directory entry of 0xe0000000 = 0x00401003"
    assert paging.defects() == [f"map-free-table: {text}: the table lies in frame 0x00401, which is free"]


def test_a_free_frame_of_the_directory(paging: Paging) -> None:
    paging.mark(DIRECTORY, used=False)
    text = "0x00000100 page_directory = 0x00400000"
    assert paging.defects() == [
        f"map-free-directory: {text}: the page directory lies in frame 0x00400, which is free"
    ]


def test_a_table_that_maps_nothing(paging: Paging) -> None:
    paging.memory.store_u32(TABLE + 4, 0)
    text = "0x00400e00 page directory entry of 0xe0000000 = 0x00401003"
    assert paging.defects() == [f"map-empty-table: {text}: a table that maps nothing is kept"]


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_free_frames_that_are_mapped_to_themselves_are_right(paging: Paging, index: int) -> None:
    """As are those of the window; the table of its entries is not read at all where it maps nothing else."""
    paging.mark(TABLE + 0x2000, used=True)
    paging.memory.store_u32(DIRECTORY + 4 * index, TABLE + 0x2000 | 3)
    paging.memory.store_u32(TABLE + 0x2000 + 4 * 9, (index << 22 | 9 << 12) | 3)
    assert paging.defects() == []


@pytest.mark.parametrize("frame", [0x000B8000, 0xFEC00000])
def test_devices_may_be_mapped(paging: Paging, frame: int) -> None:
    paging.memory.store_u32(TABLE + 8, frame | 3)
    assert paging.defects() == []


def test_a_table_outside_memory(paging: Paging) -> None:
    paging.memory.store_u32(DIRECTORY + 4 * 0x381, 0xFFFFF003)
    text = "0x00400e04 page directory entry of 0xe0400000 = 0xfffff003"
    assert paging.defects() == [f"map-no-table: {text}: the table lies outside memory"]
