from __future__ import annotations

from emulator.guest.memory_map.memory_map import BtronState, MemoryMap
from emulator.guest.memory_map.regions import Region, RegionKind
from tests.unit.report.examples import RAM, REGIONS, frames, memory_map


def test_frames_that_are_not_reserved_were_handed_out() -> None:
    some = frames(0x100, "##..#.......#...")
    assert MemoryMap(RAM, (), some, reserved=2).allocated == 2
    assert MemoryMap(RAM, ()).allocated == 0


def test_regions_cover_all_of_ram_once() -> None:
    assert memory_map().whole_ram() == [
        *REGIONS,
        Region(0x105000, 0x107000, RegionKind.ALLOCATED),
        Region(0x107000, 0x110000, RegionKind.FREE),
        Region(0x110000, 0x111000, RegionKind.ALLOCATED),
        Region(0x111000, 0x140000, RegionKind.FREE),
    ]


def test_ram_outside_the_window_is_unmanaged() -> None:
    narrow = MemoryMap(RAM, REGIONS[:1], frames(0x110, "#..."))
    assert narrow.whole_ram() == [
        REGIONS[0],
        Region(0x102800, 0x110000, RegionKind.UNMANAGED),
        Region(0x110000, 0x111000, RegionKind.ALLOCATED),
        Region(0x111000, 0x114000, RegionKind.FREE),
        Region(0x114000, 0x140000, RegionKind.UNMANAGED),
    ]


def test_without_frames_the_rest_is_unmanaged() -> None:
    assert MemoryMap(RAM, REGIONS[:1]).whole_ram() == [
        REGIONS[0],
        Region(0x102800, 0x140000, RegionKind.UNMANAGED),
    ]


def test_areas_below_ram_are_left_out() -> None:
    low = Region(0x7C00, 0x100000, RegionKind.IMAGE)
    across = Region(0x13F000, 0x150000, RegionKind.HEAP)
    assert MemoryMap(RAM, (low, across)).inside_ram() == [Region(0x13F000, 0x140000, RegionKind.HEAP)]


def test_memory_is_handed_out_in_frames_of_a_bitmap_or_in_pages() -> None:
    some = frames(0x100, "##..")
    bitmap, pages = MemoryMap(RAM, (), some), MemoryMap(RAM, (), some, btron=BtronState())
    assert (bitmap.bitmap, bitmap.unit) == (some, "frame")
    assert (pages.bitmap, pages.unit) == (None, "page")
