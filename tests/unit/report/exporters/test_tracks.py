from __future__ import annotations

from emulator.report.exporters.tracks import NEVER, TRACKS_MAX, Tracks


def test_calls_one_after_the_other_and_within_another_share_a_track() -> None:
    tracks = Tracks()
    assert tracks.place(1, 0, 1, 4) == 0
    assert tracks.place(2, 1, 2, 3) == 0
    assert tracks.place(3, 0, 5, 6) == 0
    assert len(tracks) == 1
    assert tracks.cut() == {}


def test_calls_that_overlap_have_tracks_of_their_own() -> None:
    tracks = Tracks()
    assert tracks.place(1, 0, 1, 10) == 0
    assert tracks.place(2, 0, 2, 11) == 1
    assert tracks.place(3, 1, 3, 4) == 0
    assert tracks.place(4, 2, 5, 6) == 1
    assert tracks.place(5, 0, 12, 13) == 0


def test_a_call_that_did_not_return_ends_at_the_next_one_beside_it() -> None:
    tracks = Tracks()
    tracks.place(1, 0, 1, NEVER)
    assert tracks.place(2, 1, 2, 3) == 0
    assert tracks.cut() == {}
    assert tracks.place(3, 0, 4, 5) == 0
    assert tracks.cut() == {1: 4}
    assert tracks.cut() == {}


def test_a_call_that_did_not_return_ends_with_the_call_around_it() -> None:
    tracks = Tracks()
    tracks.place(1, 0, 1, 4)
    tracks.place(2, 1, 2, NEVER)
    assert tracks.place(3, 0, 7, 8) == 0
    assert tracks.cut() == {2: 4}


def test_what_is_open_at_the_end_ends_after_the_last_event() -> None:
    tracks = Tracks()
    tracks.place(1, 0, 1, NEVER)
    tracks.place(2, 1, 2, NEVER)
    tracks.finish(9)
    assert tracks.cut() == {1: 10, 2: 10}


def test_a_call_that_outlives_its_parent_goes_elsewhere() -> None:
    tracks = Tracks()
    tracks.place(1, 0, 1, 4)
    assert tracks.place(2, 1, 2, 9) == 1


def test_a_damaged_trace_has_a_limited_number_of_tracks() -> None:
    tracks = Tracks()
    for number in range(1, 1000):
        tracks.place(number, 0, number, 10_000 + number)
    assert len(tracks) == TRACKS_MAX


def test_calls_from_one_call_share_its_track() -> None:
    tracks = Tracks()
    tracks.place(1, 0, 1, 10)
    assert tracks.place(2, 1, 2, 3) == 0
    assert tracks.place(3, 1, 4, 5) == 0


def test_a_call_that_did_not_return_does_not_end_before_its_entry() -> None:
    tracks = Tracks()
    tracks.place(1, 0, 1, 4)
    tracks.place(2, 1, 5, NEVER)
    tracks.finish(9)
    assert tracks.cut() == {2: 10}


def test_a_call_after_its_parent_goes_on_without_it() -> None:
    tracks = Tracks()
    tracks.place(1, 0, 1, 4)
    assert tracks.place(2, 1, 5, 9) == 0
    assert tracks.place(3, 2, 6, 8) == 0
