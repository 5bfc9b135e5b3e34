"""What of a guest's output reaches the user's terminal."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.cli.terminal.terminal_filter import TerminalFilter


def filtered(data: bytes, *, utf8: bool = True) -> bytes:
    return TerminalFilter(utf8=utf8)(data)


@pytest.mark.parametrize(
    "data",
    [
        b"plain text\r\n",
        b"\b\t\n\v\f\r",
        "größe ─ 日本 😀".encode(),
        b"\x1b[31mred\x1b[0m",
        b"\x1b[38;5;214m\x1b[38:2::1:2:3m\x1b[m",
        b"\x1b[2J\x1b[H\x1b[K\x1b[1K\x1b[J",
        b"\x1b[10;20H\x1b[3f\x1b[;4H",
        *(b"\x1b[%c" % each for each in b"ABCDEFGIZ`ade@PLMXSTHfJKmsu"),
        *(b"\x1b[12%c" % each for each in b"ABCDEFGIZ`ade@PLMXSTHfm"),
        b"\x1b7\x1b8\x1bD\x1bE\x1bM",
    ],
)
def test_what_moves_colours_and_clears_is_let_through(data: bytes) -> None:
    assert filtered(data) == data
    one_by_one = TerminalFilter(utf8=True)
    assert b"".join(one_by_one(bytes([byte])) for byte in data) == data


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b]0;title\x07",
        b"\x1b]52;c;aGk=\x07",  # the clipboard
        b"\x1b]8;;http://x\x1b\\",
        b'\x1bP$q"p\x1b\\',  # DCS
        b"\x1b_Gf=100;AAAA\x1b\\",  # APC: graphics
        b"\x1b^pm\x1b\\",
        b"\x1bXsos\x1b\\",
        b"\x1b]0;title\x18",
        b"\x1b]0;title\x9c",
        b"\x1b]0;t\xc3\xbctle\xc2\x9c",
        b"\x9d0;title\x9c",
        b"\xc2\x9d0;title\xc2\x9c",
        b"\x1b[c",  # what are you?
        b"\x1b[>c",
        b"\x1b[=c",
        b"\x1b[5n\x1b[6n\x1b[?6n",  # where is the cursor?
        b"\x1b[x",
        b"\x1bZ",
        b"\x1b[?1049h",
        b"\x1b[?25l",
        b"\x1b[?1000h\x1b[?1006h",  # the mouse
        b"\x1b[?2004h",
        b"\x1b[4h\x1b[20h\x1b[2l",
        b"\x1b[21t\x1b[8;1;1t",  # windows
        b"\x1b[!p",  # reset
        b"\x1bc",
        b"\x1b[2 q",  # the cursor's shape
        b"\x1b[1;24r",  # a region to scroll stays
        b"\x1b[3J",  # what has scrolled out
        b"\x1b[?J",
        b"\x1b[1;2;3;4;5T",
        b"\x1b[5;10s",
        b"\x1b[5i",  # print
        b"\x1b[9999999b",  # repeat
        b"\x1b[>4;1m",  # keys
        b"\x1b[?5m",
        b"\x1b[1$m",
        b"\x1b[>1u\x1b[<u\x1b[=1u",
        b"\x1b(0\x1b)B\x1b#8\x1b%G\x1b F",
        b"\x1b=\x1b>\x1bN\x1bO\x1bn\x1bo\x1bl\x1bm\x1b<",
        b"\x00\x01\x05\x07\x0e\x0f\x7f",  # answerback, bell, other character sets
        b"\x84\x85\x88\x8d\x8e\x8f\x9a",
        b"\x9b6n\xc2\x9b6n",
        b"\x1b[" + b"1;" * 100 + b"m",
        b"\x1b[\x1b]0;x\x07",
        b"\x1b]0;\x1b[6n",
    ],
)
@pytest.mark.parametrize("utf8", [True, False])
def test_what_acts_on_the_host_is_left_out(data: bytes, utf8: bool) -> None:
    if not utf8:
        data = data.replace(b"\xc2", b"")
    assert filtered(b"before" + data + b"after", utf8=utf8) == b"beforeafter"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x1b[3\n1mx", b"\n\x1b[31mx"),  # a terminal obeys the line end at once
        (b"\x1b[3\x1b[31m", b"\x1b[31m"),
        (b"\x1b[3\x18x", b"x"),
        (b"\x1b\x1b[31m", b"\x1b[31m"),
        (b"\x9b31mx", b"\x1b[31mx"),
        (b"\xc2\x9b31mx", b"\x1b[31mx"),
        (b"\x1b]0;never ended\r\nnext line", b"\r\nnext line"),
        (b"\x1b[31\xc3\xbc", b"\xc3\xbc"),
        (b"\xff\xa0\xe4", b"\xff\xa0"),  # the last one may be the beginning of a character
        (b"\xe4\xff", b"\xe4\xff"),
        (b"\xe4a", b"\xe4a"),
        (b"\xed\xa0\x80x", b"\xed\xa0x"),  # a surrogate; its last byte is a control character
        (b"\xc2\x1b]0;x\x07y", b"\xc2y"),
    ],
)
def test_what_is_not_as_it_should_be(data: bytes, shown: bytes) -> None:
    assert filtered(data) == shown


def test_every_byte_is_a_control_character_where_there_is_no_utf8() -> None:
    assert filtered(b"\xe2\x9d0;title\x9cx", utf8=False) == b"\xe2x"
    assert filtered("ä".encode("latin-1"), utf8=False) == b"\xe4"


def test_the_end_gives_the_colours_back_and_forgets_half_a_sequence() -> None:
    each = TerminalFilter(utf8=True)
    assert each(b"\x1b[31mred\x1b[3") == b"\x1b[31mred"
    assert each.end() == b"\x1b[0m"
    assert each(b"1mx\xe2") == b"1mx"
    assert each.end() == b"\xe2"
    assert each.end() == b""


BYTES = [
    b"\x1b",
    b"[",
    b"]",
    b"P",
    b"\\",
    b"?",
    b"1",
    b";",
    b"m",
    b"h",
    b"n",
    b"\n",
    b"\x07",
    b"\x18",
    b"c",
    b" ",
    b"t",
]
HIGH = [b"\x9b", b"\x9d", b"\x9c", b"\xc2", b"\xe2\x94\x80", b"\xe2", b"\x80", b"text", b"\x00", b"\xff"]
PIECES = st.sampled_from([*BYTES, *HIGH])
STREAMS = st.one_of(st.binary(max_size=80), st.lists(PIECES, max_size=40).map(b"".join))
SAFE = re.compile(
    rb"(?:[\x20-\x7e\b\t\n\v\f\r]|[\xa0-\xff]|[\xc2-\xf4][\x80-\xbf]+|\x1b[78DEM]|\x1b\[[0-9;:]*[ABCDEFGIZ`ade@PLMXSTHfJKmsu])*"
)


@given(STREAMS, st.booleans())
def test_whatever_comes_only_what_is_on_the_list_goes(data: bytes, utf8: bool) -> None:
    shown = filtered(data, utf8=utf8)
    assert SAFE.fullmatch(shown)
    if not utf8:
        assert not re.search(rb"[\x80-\x9f]", shown)


@given(STREAMS, st.lists(st.integers(0, 80)), st.booleans())
def test_how_the_bytes_are_divided_does_not_matter(data: bytes, cuts: list[int], utf8: bool) -> None:
    borders = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    each = TerminalFilter(utf8=utf8)
    pieces = [each(data[start:end]) for start, end in pairwise(borders)]
    assert b"".join(pieces) == filtered(data, utf8=utf8)


@given(STREAMS)
def test_what_went_through_once_goes_through_again(data: bytes) -> None:
    shown = filtered(data)
    if not re.search(rb"[\xc2-\xf4]$|[\xc2-\xf4][\x80-\xbf]*$", shown):  # half a character would wait
        assert filtered(shown) == shown
