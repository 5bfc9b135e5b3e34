from __future__ import annotations

from emulator.guest.memory_map.regions import (
    Region,
    RegionKind,
    add_regions,
    between,
    by_address,
    joined,
    with_page_rests,
)

IMAGE, HEAP, RESERVED = RegionKind.IMAGE, RegionKind.HEAP, RegionKind.RESERVED


def test_spans_that_touch_or_overlap_are_joined() -> None:
    assert list(joined([(20, 30), (0, 10), (10, 15), (12, 13)])) == [(0, 15), (20, 30)]


def test_spans_are_joined_over_gaps_up_to_the_given_one() -> None:
    assert list(joined([(0, 10), (15, 20), (26, 30)], gap=5)) == [(0, 20), (26, 30)]
    assert list(joined([])) == []


def test_between_yields_what_no_span_covers() -> None:
    assert list(between([(10, 20), (15, 25), (40, 90)], 0, 50)) == [(0, 10), (25, 40)]
    assert list(between([], 5, 6)) == [(5, 6)]
    assert list(between([(0, 10)], 2, 8)) == []
    assert list(between([(60, 70), (80, 90)], 0, 50)) == [(0, 50)]


def test_an_area_gives_way_to_those_before_it() -> None:
    regions = add_regions([Region(10, 20, IMAGE)], [Region(15, 40, HEAP), Region(0, 50, RESERVED)])
    assert by_address(regions) == [
        Region(0, 10, RESERVED),
        Region(10, 20, IMAGE),
        Region(20, 40, HEAP),
        Region(40, 50, RESERVED),
    ]


def test_the_rest_of_a_last_page_is_reserved() -> None:
    regions = [Region(0x3000, 0x4000, HEAP), Region(0x1000, 0x1800, IMAGE), Region(0x5000, 0x5001, IMAGE)]
    assert with_page_rests(regions) == [
        Region(0x1000, 0x1800, IMAGE),
        Region(0x1800, 0x2000, RESERVED),
        Region(0x3000, 0x4000, HEAP),
        Region(0x5000, 0x5001, IMAGE),
        Region(0x5001, 0x6000, RESERVED),
    ]


def test_the_rest_of_a_page_ends_where_the_next_area_begins() -> None:
    regions = [Region(0x1000, 0x1800, IMAGE), Region(0x1900, 0x2000, HEAP)]
    assert with_page_rests(regions)[1] == Region(0x1800, 0x1900, RESERVED)
