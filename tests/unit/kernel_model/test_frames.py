"""How the frames of a window are used."""

from __future__ import annotations

from kernel_model.frames import FrameRun, frame_usage
from tests.unit.report.examples import frames


def test_frames_in_use_are_counted_in_any_range() -> None:
    some = frames(0x103, "#.##.....#.#")
    assert some.used_in(0x103, 0x10F) == 5
    assert some.used_in(0x104, 0x107) == 2
    assert some.used_in(0x10C, 0x10D) == 1
    assert some.used_in(0, 0x1000) == 5
    assert some.used_in(0, 0x103) == some.used_in(0x10F, 0x200) == some.used_in(0x105, 0x105) == 0


def test_figures_of_frames() -> None:
    some = frames(0x100, "##..#.......#...")
    assert (some.used, some.free, some.largest_free_run) == (4, 12, 7)
    assert some.fragmentation == 1 - 7 / 12
    assert some.window == (0x100000, 0x110000)
    assert frames(0, "###").fragmentation == 0.0


def test_a_window_without_frames() -> None:
    usage = frame_usage(7, 0, b"")
    assert (usage.total, usage.free, usage.largest_free_run, list(usage.runs())) == (0, 0, 0, [])


def test_bits_after_the_last_frame_mean_nothing() -> None:
    usage = frame_usage(0x10, 3, b"\xfa")
    assert (usage.free, usage.used, usage.used_in(0x10, 0x13)) == (2, 1, 1)
    assert list(usage.runs()) == [
        FrameRun(0x10, 0x11, used=False),
        FrameRun(0x11, 0x12, used=True),
        FrameRun(0x12, 0x13, used=False),
    ]


def test_what_is_printed_are_the_figures() -> None:
    assert str(frames(0x100, "#...")) == "FrameUsage(first=256, total=4, free=3, largest_free_run=3)"
