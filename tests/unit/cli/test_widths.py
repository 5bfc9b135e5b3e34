"""What of a command's output is shown: in a pipe all of it, on a terminal of any width every value."""

from __future__ import annotations

import io
import re
import sys

import pytest

from emulator.cli.main import main
from tests.helpers.terminal import shown

WIDTHS = (40, 60, 80, 200)
COMMANDS = (
    ("boot", "firmware:demo"),
    ("boot", "firmware:btron_demo"),
    ("inspect", "firmware:demo"),
    ("check", "firmware:use_after_free"),
    ("check", "firmware:fragile", "--exhaust", "--limit", "3", "--jobs", "1"),
    ("trace", "firmware:demo"),
    ("trace", "firmware:btron_demo", "--summary"),
    ("step", "firmware:overflow", "--at", "14", "--print"),
    ("step", "firmware:overflow", "--who", "memmap+8"),
    ("doctor",),
)
TIME = re.compile(r"\d+\.\d+ s\b")
VALUE = re.compile(r"0x[0-9a-f]{8}\b|#\d+|\b\d+\b")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MAP_ROW = re.compile(r"^0x[0-9a-f]{8} \S{16,}$|a cell is .*$", re.MULTILINE)
CALL_STACK = re.compile(r"\S+\+0x.*$", re.MULTILINE)


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(monkeypatch)


class Runner:
    """Runs commands in this process, in a pipe or on a terminal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        for name in ("LC_ALL", "LC_CTYPE", "COLUMNS", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("LANG", "C.UTF-8")
        monkeypatch.setenv("TERM", "xterm")

    def in_a_pipe(self, *words: str) -> str:
        return self._run(io.TextIOWrapper(io.BytesIO(), "utf-8"), words)

    def on_a_terminal(self, columns: int, *words: str) -> str:
        self._patch.setenv("COLUMNS", str(columns))
        try:
            return self._run(Terminal(io.BytesIO(), "utf-8"), words)
        finally:
            self._patch.delenv("COLUMNS")

    def _run(self, stream: io.TextIOWrapper, words: tuple[str, ...]) -> str:
        self._patch.setattr(sys, "stdout", stream)
        assert main(words) in (0, 1)
        buffer = stream.buffer
        assert isinstance(buffer, io.BytesIO)
        return MAP_ROW.sub("", TIME.sub("", COLOUR.sub("", buffer.getvalue().decode())))


def test_the_value_of_a_broken_word_is_whole_in_a_pipe(run: Runner) -> None:
    assert " 0x0010b050: 0x0010b0d8 -> 0x206f6f74\n" in run.in_a_pipe("check", "firmware:use_after_free")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_pipe_gets_everything_and_a_terminal_every_value(run: Runner, words: tuple[str, ...]) -> None:
    whole = run.in_a_pipe(*words)
    assert "…" not in whole
    for columns in WIDTHS:
        text = run.on_a_terminal(columns, *words)
        missing = set(VALUE.findall(CALL_STACK.sub("", whole))) - set(VALUE.findall(text))
        assert not missing, columns
        if "…" not in text:
            assert set(VALUE.findall(whole)) <= set(VALUE.findall(text))


@pytest.mark.parametrize("changes", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_real_terminal_without_colour_shows_the_same_words(run: Runner, changes: dict[str, str]) -> None:
    words = ("check", "firmware:use_after_free")
    text = shown(*words, columns=60, changes=changes)
    assert "\x1b" not in text
    assert " ".join(run.in_a_pipe(*words).split()) == " ".join(TIME.sub("", text).split())
