from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.report.text.style import Style, labelled


def test_text_is_laid_out_after_its_label() -> None:
    assert list(labelled("Heap", "one two three four", Style(20))) == [
        "Heap      one two",
        "          three four",
    ]


def test_a_word_longer_than_a_line_stays_whole() -> None:
    assert list(labelled("", "a bcdefghijklmnopqrs", Style(20, room=20))) == [
        "          a",
        "          bcdefghijklmnopqrs",
    ]


def test_a_label_longer_than_its_column_stays_whole() -> None:
    assert list(labelled("a_long_area", "one two", Style(40))) == ["a_long_area", "          one two"]
    assert list(labelled("ten_column", "one", Style(40))) == ["ten_column", "          one"]


@pytest.mark.parametrize(
    ("style", "taken", "shown"),
    [
        (Style(), 0, "kmain demo.c:31"),
        (Style(room=40), 25, "kmain demo.c:31"),
        (Style(room=40), 26, "kmain demo.c.."),
        (Style(room=40, unicode=True), 26, "kmain demo.c:…"),
        (Style(room=40), 38, ".."),
        (Style(room=40), 60, ".."),
    ],
)
def test_what_a_terminal_has_no_room_for_is_marked(style: Style, taken: int, shown: str) -> None:
    assert style.cut("kmain demo.c:31", taken) == shown


@pytest.mark.parametrize(
    ("room", "lines"),
    [
        (None, ["  one two   three"]),
        (17, ["  one two   three"]),
        (16, ["  one two", "    three"]),
        (9, ["  one two", "    three"]),
        (8, ["  one", "    two", "    three"]),
        (3, ["  one", "    two", "    three"]),
    ],
)
def test_a_line_is_folded_between_words(room: int | None, lines: list[str]) -> None:
    assert Style(room=room).folded("  one two   three") == lines


@given(st.text("ab 0", max_size=60), st.integers(1, 20), st.integers(0, 6))
def test_folding_loses_nothing(text: str, room: int, indent: int) -> None:
    lines = Style(room=room).folded(text, indent)
    assert " ".join(lines).split() == text.split()
    assert all(len(line) <= room or len(line.split()) <= 1 for line in lines)


def test_the_label_is_bold_where_there_is_colour() -> None:
    assert list(labelled("Heap", "x", Style(40, colour=True))) == ["\x1b[1mHeap\x1b[0m      x"]
