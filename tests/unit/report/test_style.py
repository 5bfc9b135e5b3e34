from __future__ import annotations

import pytest

from emulator.report.style import Style, human_size, labelled, printable


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (45916, "44.8 KiB"),
        (1024 * 1024 - 1, "1 MiB"),
        (4 << 20, "4 MiB"),
        (3 << 30, "3 GiB"),
        (5000 << 30, "5000 GiB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("kmain", "kmain"),
        ("größe ☺", "größe ☺"),
        ("\x1b[2Jgone\r\n", r"\x1b[2Jgone\r\n"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("name\udcff", r"name\udcff"),
        ("\x9b31m", r"\x9b31m"),
    ],
)
def test_what_a_terminal_could_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_text_is_laid_out_behind_its_label() -> None:
    assert list(labelled("Heap", "one two three four", Style(20))) == [
        "Heap      one two",
        "          three four",
    ]


def test_a_word_longer_than_a_line_is_cut() -> None:
    assert list(labelled("", "a bcdefghijklmnopqrs", Style(20))) == [
        "          a",
        "          bcdefghijk",
        "          lmnopqrs",
    ]


def test_the_label_is_bold_where_there_is_colour() -> None:
    assert list(labelled("Heap", "x", Style(40, colour=True))) == ["\x1b[1mHeap\x1b[0m      x"]
