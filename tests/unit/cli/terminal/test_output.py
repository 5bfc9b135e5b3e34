from __future__ import annotations

import io

import pytest

from emulator.cli.terminal.output import style_of
from emulator.report.text.style import Style


class Terminal(io.TextIOWrapper):
    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding)

    def isatty(self) -> bool:
        return True


XTERM = {"TERM": "xterm", "LANG": "de_DE.UTF-8", "COLUMNS": "100"}


def test_a_terminal_shows_everything() -> None:
    assert style_of(Terminal(), XTERM) == Style(100, colour=True, unicode=True, room=100)


def test_a_pipe_has_no_colour_and_no_width() -> None:
    pipe = io.TextIOWrapper(io.BytesIO(), "utf-8")
    assert style_of(pipe, {"TERM": "xterm", "LANG": "C.UTF-8"}) == Style(80, colour=False, unicode=True)


@pytest.mark.parametrize("change", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}])
def test_colour_can_be_refused(change: dict[str, str]) -> None:
    assert not style_of(Terminal(), XTERM | change).colour


def test_an_empty_no_color_means_nothing() -> None:
    assert style_of(Terminal(), XTERM | {"NO_COLOR": ""}).colour


@pytest.mark.parametrize(
    ("environment", "unicode"),
    [
        ({"LANG": "ja_JP.utf8"}, True),
        ({"LANG": "C", "LC_ALL": "C.UTF-8"}, True),
        ({"LANG": "C", "LC_CTYPE": "de_DE.UTF-8"}, True),
        ({"LANG": "C.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "de_DE"}, False),
        ({}, False),
        ({"LC_CTYPE": "C.UTF-8"}, False),
        ({"LC_CTYPE": "C.UTF-8", "LANG": "POSIX"}, False),
    ],
)
def test_characters_beyond_ascii_need_a_locale_that_has_them(
    environment: dict[str, str], unicode: bool
) -> None:
    assert style_of(Terminal(), {"COLUMNS": "80"} | environment).unicode is unicode


def test_they_need_an_encoding_that_has_them() -> None:
    assert not style_of(Terminal("latin-1"), XTERM).unicode


@pytest.mark.parametrize(
    ("columns", "width"), [("20", 40), ("79", 79), ("500", 120), ("0", 80), ("wide", 80), ("9" * 5000, 80)]
)
def test_the_width_has_limits(columns: str, width: int) -> None:
    pipe = io.TextIOWrapper(io.BytesIO(), "utf-8")
    assert style_of(pipe, {"COLUMNS": columns}).width == width
    assert style_of(pipe, {"COLUMNS": columns}).room is None


@pytest.mark.parametrize(("columns", "room"), [("20", 40), ("79", 79), ("500", 500)])
def test_a_terminal_is_used_to_its_edge(columns: str, room: int) -> None:
    assert style_of(Terminal(), {"COLUMNS": columns}).room == room
