"""Which memory belongs to allocators."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.check.leaks.heap_memory import HeapMemory, Pieces, Spans

if TYPE_CHECKING:
    from emulator.check.leaks.guest_words import GuestWords

RANGES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 12)).map(lambda each: (each[0], sum(each))), max_size=12
)
NONE = Spans.of(np.empty(0, np.int64), np.empty(0, np.int64))


def spans(ranges: list[tuple[int, int]]) -> Spans:
    return Spans.of(*np.array(ranges, np.int64).reshape(-1, 2).T)


@given(RANGES, st.integers(1, 9))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_ranges_together_cover_what_each_covers(ranges: list[tuple[int, int]], size: int) -> None:
    covered = {at for start, end in ranges for at in range(start, end)}
    together = spans(ranges)
    assert together.start.tolist() == sorted(at for at in covered if at - 1 not in covered)
    assert together.end.tolist() == sorted(at + 1 for at in covered if at + 1 not in covered)
    at = np.arange(80)
    expected = [not covered.isdisjoint(range(each, each + size)) for each in at.tolist()]
    assert together.cover(at, size).tolist() == expected


def heap(blocks: list[tuple[int, int]], segments: list[range], variables: list[range]) -> set[int]:
    """Return which of the first 512 bytes belong to a heap."""
    memory = SimpleNamespace(pieces=Pieces.of(segments, variables), paging=False)
    found = HeapMemory(spans(blocks), NONE, cast("GuestWords", memory))
    at = np.arange(512) - 3  # a word that ends there
    assert found.covers(at, physical=True).tolist() == found.covers(at, physical=False).tolist()
    covered = found.covers(at, physical=False) & found.covers(at + 3, physical=False)
    return set(np.flatnonzero(covered).tolist())


def test_a_heap_outside_the_image_has_headers_around_its_blocks() -> None:
    assert heap([(100, 120), (180, 200)], [range(400, 500)], []) == {*range(68, 232)}


def test_in_a_variable_they_end_with_it() -> None:
    assert heap([(100, 120)], [range(80, 500)], [range(96, 140), range(140, 144)]) == {*range(96, 140)}


def test_in_a_segment_without_variables_a_heap_is_its_blocks() -> None:
    assert heap([(100, 120)], [range(80, 500)], []) == {*range(100, 120)}


def test_a_heap_after_the_image_does_not_reach_into_it() -> None:
    assert heap([(110, 120)], [range(80, 104)], [range(100, 104)]) == {*range(104, 152)}


def test_pages_that_are_mapped_elsewhere_are_known_by_their_frames() -> None:
    frames = {0x10: 0x3000, 0x11: 0x1000}  # of each page
    memory = SimpleNamespace(
        pieces=Pieces.of([], []),
        paging=True,
        physical=lambda at: frames[at >> 12] | at & 0xFFF if at >> 12 in frames else None,
    )
    found = HeapMemory(spans([(0x10800, 0x12800)]), spans([(0x5000, 0x6000)]), cast("GuestWords", memory))
    at = [0x1000, 0x1FFC, 0x2000, 0x3400, 0x3800, 0x3FFC, 0x4000, 0x5800]
    covered = found.covers(np.array(at), physical=True).tolist()
    assert covered == [True, True, False, False, True, True, False, True]
    assert found.covers(np.array([0x10800, 0x5800]), physical=False).tolist() == [True, False]
