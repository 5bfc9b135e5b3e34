from __future__ import annotations

from emulator.report.memory.areas import Area, Kind
from emulator.report.memory.layout import Layout
from tests.unit.report.examples import AREAS, RAM, frames, layout


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
    assert layout().regions() == [
        *AREAS,
        Area(0x105000, 0x107000, Kind.ALLOCATED),
        Area(0x107000, 0x110000, Kind.FREE),
        Area(0x110000, 0x111000, Kind.ALLOCATED),
        Area(0x111000, 0x140000, Kind.FREE),
    ]


def test_ram_outside_the_window_is_unmanaged() -> None:
    narrow = Layout(RAM, AREAS[:1], frames(0x110, "#...", reserved=0))
    assert narrow.regions() == [
        AREAS[0],
        Area(0x102800, 0x110000, Kind.UNMANAGED),
        Area(0x110000, 0x111000, Kind.ALLOCATED),
        Area(0x111000, 0x114000, Kind.FREE),
        Area(0x114000, 0x140000, Kind.UNMANAGED),
    ]


def test_without_frames_the_rest_is_unmanaged() -> None:
    assert Layout(RAM, AREAS[:1]).regions() == [AREAS[0], Area(0x102800, 0x140000, Kind.UNMANAGED)]


def test_areas_below_ram_are_left_out() -> None:
    low = Area(0x7C00, 0x100000, Kind.IMAGE)
    across = Area(0x13F000, 0x150000, Kind.HEAP)
    assert Layout(RAM, (low, across)).inside_ram() == [Area(0x13F000, 0x140000, Kind.HEAP)]
