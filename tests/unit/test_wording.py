from __future__ import annotations

import pytest

from emulator.wording import address_range, counted, human_size, percent, printable, shortened, shown_keys


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


def test_thousands_are_separated_where_that_is_asked_for() -> None:
    assert counted(65536, "byte") == "65536 bytes"
    assert [counted(number, "byte", ",") for number in (1, 999, 65536)] == [
        "1 byte",
        "999 bytes",
        "65,536 bytes",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("heap", "'heap'"),
        ("\x1b\n", r"'\x1b\n'"),
        (True, "True"),
        (None, "None"),
        ([1], "a list"),
        ("x" * 58, f"'{'x' * 58}'"),
        ("x" * 59, f"'{'x' * 56}..."),
    ],
)
def test_what_a_user_wrote_is_quoted_on_one_short_line(value: object, text: str) -> None:
    assert shortened(value) == text


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (("heap", "alloc"), "heap.alloc"),
        (("heap.*",), "heap.*"),
        (("a b", "\x1b"), r"a b.\x1b"),
        (("k" * 60,), "k" * 60),
        (("k" * 61,), "k" * 56 + ".."),
    ],
)
def test_the_path_of_a_key_is_shown_on_one_line(keys: tuple[str, ...], text: str) -> None:
    assert shown_keys(keys) == text


def test_shares_and_ranges() -> None:
    assert (percent(0.0), percent(0.375), percent(1.0)) == ("0 %", "38 %", "100 %")
    assert address_range(0x100000, 0x500000) == "0x00100000-0x00500000"
