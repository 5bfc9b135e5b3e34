"""Suppressions: which findings a line leaves out."""

from __future__ import annotations

import pytest

from emulator.loader.frame import Frame
from emulator.profile.suppressions import Suppression, parse_suppression

FRAMES = (
    Frame(1, "memcpy", 4, "lib/string.c", 9),
    Frame(2, "mm::Arena::poll", 8, "kernel/drivers/old.c", 30),
)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("use-after-free:poll", ("use-after-free", "", "poll")),
        ("*:old.c:poll", ("*", "old.c", "poll")),
        ("leak : poll_*  ", ("leak", "", "poll_*")),
        ("leak:mm::Arena::poll", ("leak", "", "mm::Arena::poll")),
        ("leak:arena.cc:mm::Arena::poll", ("leak", "arena.cc", "mm::Arena::poll")),
    ],
)
def test_lines(line: str, parts: tuple[str, str, str]) -> None:
    assert parse_suppression(line) == Suppression(*parts)


@pytest.mark.parametrize("line", ["", "poll", ":poll", "leak:", "leak: ", "two words:poll", "mm::poll"])
def test_lines_that_are_none(line: str) -> None:
    with pytest.raises(ValueError, match=r"^'.*' is no suppression such as "):
        parse_suppression(line)


@pytest.mark.parametrize(
    ("line", "is_left_out"),
    [
        ("use-after-free:memcpy", True),
        ("use-after-free:memc", False),
        ("use-after-free:mem*", True),
        ("use-*:mem*", True),
        ("out-of-bounds:memcpy", False),
        ("*:mm::Arena::poll", True),
        ("*:old.c", True),
        ("*:drivers/old.c", True),
        ("*:drivers/*", True),
        ("*:river/old.c", False),
        ("*:ld.c", False),
        ("*:old.c:mm::*", True),
        ("*:old.c:memcpy", False),
        ("*:string.c:memcpy", True),
        ("*:MEMCPY", False),
    ],
)
def test_what_is_left_out(line: str, *, is_left_out: bool) -> None:
    assert parse_suppression(line).matches("use-after-free", FRAMES) == is_left_out


def test_frames_without_names_match_stars_only() -> None:
    assert not parse_suppression("*:?*").matches("leak", [Frame(1)])
    assert not parse_suppression("*:*.c:*").matches("leak", [Frame(1)])
    assert parse_suppression("*:*").matches("leak", [Frame(1)])
    assert parse_suppression("*:*").matches("leak", [])
    assert not parse_suppression("*:**").matches("leak", [])


@pytest.mark.parametrize("line", ["leak:poll", "*:old.c:poll"])
def test_it_is_written_as_it_was(line: str) -> None:
    assert str(parse_suppression(line)) == line
