from __future__ import annotations

import pytest

from emulator.wording import address_range, counted, human_size, percent, printable


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


@pytest.mark.parametrize(("number", "text"), [(0, "0 blocks"), (1, "1 block"), (2, "2 blocks")])
def test_nouns_have_a_plural(number: int, text: str) -> None:
    assert counted(number, "block") == text


def test_shares_and_ranges() -> None:
    assert (percent(0.0), percent(0.375), percent(1.0)) == ("0 %", "38 %", "100 %")
    assert address_range(0x100000, 0x500000) == "0x00100000-0x00500000"
