from __future__ import annotations

from emulator.report.exporters.tracks import NEVER, TRACKS_MAX, OpenCall, Tracks


def test_calls_one_after_the_other_and_within_another_share_a_track() -> None:
    tracks = Tracks()
    assert tracks.place(OpenCall(1, 4), 0, 1) == 0
    assert tracks.place(OpenCall(2, 3), 1, 2) == 0
    assert tracks.place(OpenCall(3, 6), 0, 5) == 0
    assert len(tracks) == 1
    assert tracks.cut() == []


def test_calls_that_overlap_have_tracks_of_their_own() -> None:
    tracks = Tracks()
    assert tracks.place(OpenCall(1, 10), 0, 1) == 0
    assert tracks.place(OpenCall(2, 11), 0, 2) == 1
    assert tracks.place(OpenCall(3, 4), 1, 3) == 0
    assert tracks.place(OpenCall(4, 6), 2, 5) == 1
    assert tracks.place(OpenCall(5, 13), 0, 12) == 0


def test_a_call_that_did_not_return_ends_at_the_next_one_beside_it() -> None:
    tracks = Tracks()
    tracks.place(OpenCall(1, NEVER), 0, 1)
    assert tracks.place(OpenCall(2, 3), 1, 2) == 0
    assert tracks.cut() == []
    assert tracks.place(OpenCall(3, 5), 0, 4) == 0
    assert tracks.cut() == [(1, 4)]
    assert tracks.cut() == []


def test_a_call_that_did_not_return_ends_with_the_call_around_it() -> None:
    tracks = Tracks()
    tracks.place(OpenCall(1, 4), 0, 1)
    tracks.place(OpenCall(2, NEVER), 1, 2)
    assert tracks.place(OpenCall(3, 8), 0, 7) == 0
    assert tracks.cut() == [(2, 4)]


def test_what_is_open_at_the_end_ends_after_the_last_event() -> None:
    tracks = Tracks()
    tracks.place(OpenCall(1, NEVER), 0, 1)
    tracks.place(OpenCall(2, NEVER), 1, 2)
    tracks.finish(9)
    assert sorted(tracks.cut()) == [(1, 10), (2, 10)]


def test_a_call_that_outlives_its_parent_goes_elsewhere() -> None:
    tracks = Tracks()
    tracks.place(OpenCall(1, 4), 0, 1)
    assert tracks.place(OpenCall(2, 9), 1, 2) == 1


def test_a_damaged_trace_has_a_limited_number_of_tracks() -> None:
    tracks = Tracks()
    for number in range(1, 1000):
        tracks.place(OpenCall(number, 10_000 + number), 0, number)
    assert len(tracks) == TRACKS_MAX


def test_calls_from_one_call_share_its_track() -> None:
    tracks = Tracks()
    tracks.place(OpenCall(1, 10), 0, 1)
    assert tracks.place(OpenCall(2, 3), 1, 2) == 0
    assert tracks.place(OpenCall(3, 5), 1, 4) == 0


def test_a_call_that_did_not_return_does_not_end_before_its_entry() -> None:
    tracks = Tracks()
    tracks.place(OpenCall(1, 4), 0, 1)
    tracks.place(OpenCall(2, NEVER), 1, 5)
    tracks.finish(9)
    assert tracks.cut() == [(2, 10)]


def test_a_call_after_its_parent_goes_on_without_it() -> None:
    tracks = Tracks()
    tracks.place(OpenCall(1, 4), 0, 1)
    assert tracks.place(OpenCall(2, 9), 1, 5) == 0
    assert tracks.place(OpenCall(3, 8), 2, 6) == 0
