from __future__ import annotations

from emulator.report.memory.lanes import LANES_MAX, NEVER, Lanes, OpenCall


def test_calls_one_after_the_other_and_within_another_share_a_lane() -> None:
    lanes = Lanes()
    assert lanes.place(OpenCall(1, 4), 0, 1) == 0
    assert lanes.place(OpenCall(2, 3), 1, 2) == 0
    assert lanes.place(OpenCall(3, 6), 0, 5) == 0
    assert len(lanes) == 1
    assert lanes.cut() == []


def test_calls_that_overlap_have_lanes_of_their_own() -> None:
    lanes = Lanes()
    assert lanes.place(OpenCall(1, 10), 0, 1) == 0
    assert lanes.place(OpenCall(2, 11), 0, 2) == 1
    assert lanes.place(OpenCall(3, 4), 1, 3) == 0
    assert lanes.place(OpenCall(4, 6), 2, 5) == 1
    assert lanes.place(OpenCall(5, 13), 0, 12) == 0


def test_a_call_that_did_not_return_ends_at_the_next_one_beside_it() -> None:
    lanes = Lanes()
    lanes.place(OpenCall(1, NEVER), 0, 1)
    assert lanes.place(OpenCall(2, 3), 1, 2) == 0
    assert lanes.cut() == []
    assert lanes.place(OpenCall(3, 5), 0, 4) == 0
    assert lanes.cut() == [(1, 4)]
    assert lanes.cut() == []


def test_a_call_that_did_not_return_ends_with_the_call_around_it() -> None:
    lanes = Lanes()
    lanes.place(OpenCall(1, 4), 0, 1)
    lanes.place(OpenCall(2, NEVER), 1, 2)
    assert lanes.place(OpenCall(3, 8), 0, 7) == 0
    assert lanes.cut() == [(2, 4)]


def test_what_is_open_at_the_end_ends_after_the_last_event() -> None:
    lanes = Lanes()
    lanes.place(OpenCall(1, NEVER), 0, 1)
    lanes.place(OpenCall(2, NEVER), 1, 2)
    lanes.finish(9)
    assert sorted(lanes.cut()) == [(1, 10), (2, 10)]


def test_a_call_that_outlives_its_parent_goes_elsewhere() -> None:
    lanes = Lanes()
    lanes.place(OpenCall(1, 4), 0, 1)
    assert lanes.place(OpenCall(2, 9), 1, 2) == 1


def test_a_damaged_trace_has_a_limited_number_of_lanes() -> None:
    lanes = Lanes()
    for number in range(1, 1000):
        lanes.place(OpenCall(number, 10_000 + number), 0, number)
    assert len(lanes) == LANES_MAX


def test_calls_from_one_call_share_its_lane() -> None:
    lanes = Lanes()
    lanes.place(OpenCall(1, 10), 0, 1)
    assert lanes.place(OpenCall(2, 3), 1, 2) == 0
    assert lanes.place(OpenCall(3, 5), 1, 4) == 0


def test_a_call_that_did_not_return_does_not_end_before_its_entry() -> None:
    lanes = Lanes()
    lanes.place(OpenCall(1, 4), 0, 1)
    lanes.place(OpenCall(2, NEVER), 1, 5)
    lanes.finish(9)
    assert lanes.cut() == [(2, 10)]


def test_a_call_after_its_parent_goes_on_without_it() -> None:
    lanes = Lanes()
    lanes.place(OpenCall(1, 4), 0, 1)
    assert lanes.place(OpenCall(2, 9), 1, 5) == 0
    assert lanes.place(OpenCall(3, 8), 2, 6) == 0
