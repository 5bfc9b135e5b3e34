from __future__ import annotations

from emulator.guest.memory_map.memory_map import MemoryMap
from emulator.guest.memory_map.regions import Region, RegionKind
from tests.unit.report.examples import RAM, REGIONS, frames, memory_map


def test_frames_in_use_are_counted_in_any_range() -> None:
    some = frames(0x103, "#.##.....#.#")
    assert some.used_in(0x103, 0x10F) == 5
    assert some.used_in(0x104, 0x107) == 2
    assert some.used_in(0x10C, 0x10D) == 1
    assert some.used_in(0, 0x1000) == 5
    assert some.used_in(0, 0x103) == some.used_in(0x10F, 0x200) == some.used_in(0x105, 0x105) == 0


def test_figures_of_frames() -> None:
    some = frames(0x100, "##..#.......#...", reserved=2)
    assert (some.used, some.allocated, some.free, some.largest_free_run) == (4, 2, 12, 7)
    assert some.fragmentation == 1 - 7 / 12
    assert some.window == (0x100000, 0x110000)
    assert frames(0, "###").fragmentation == 0.0


def test_regions_cover_all_of_ram_once() -> None:
    assert memory_map().whole_ram() == [
        *REGIONS,
        Region(0x105000, 0x107000, RegionKind.ALLOCATED),
        Region(0x107000, 0x110000, RegionKind.FREE),
        Region(0x110000, 0x111000, RegionKind.ALLOCATED),
        Region(0x111000, 0x140000, RegionKind.FREE),
    ]


def test_ram_outside_the_window_is_unmanaged() -> None:
    narrow = MemoryMap(RAM, REGIONS[:1], frames(0x110, "#...", reserved=0))
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
