from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.devices.keyboard.key_text import UnknownKey, key_events

A, SHIFT, ENTER = 0x1C, 0x12, 0x5A


def down(*codes: int) -> bytes:
    return bytes(codes)


def up(*codes: int) -> bytes:
    return bytes((*codes[:-1], 0xF0, codes[-1]))


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("", ()),
        ("a", (down(A), up(A))),
        ("A", (down(SHIFT), down(A), up(A), up(SHIFT))),
        ("a\n", (down(A), up(A), down(ENTER), up(ENTER))),
        ("?", (down(SHIFT), down(0x4A), up(0x4A), up(SHIFT))),
        ("{enter}", (down(ENTER), up(ENTER))),
        ("{Up}", (down(0xE0, 0x75), up(0xE0, 0x75))),
        ("{f7}", (down(0x83), up(0x83))),
        ("{ctrl+alt+delete}", (down(0x14), down(0x11), down(0xE0, 0x71), up(0xE0, 0x71), up(0x11), up(0x14))),
        ("{ctrl+c}", (down(0x14), down(0x21), up(0x21), up(0x14))),
        ("{kp+}", (down(0x79), up(0x79))),
        ("{{}}", (*key_events("{shift+[}"), *key_events("{shift+]}"))),
        ("{pause}", (bytes.fromhex("e11477e1f014f077"),)),
        ("{wait}", (b"",)),
    ],
)
def test_the_keys_of_a_text(text: str, events: tuple[bytes, ...]) -> None:
    assert key_events(text) == events


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ä", "no key of a US keyboard types 'ä'"),
        ("a\0", r"no key of a US keyboard types '\x00'"),
        ("{nonsense}", "there is no key {nonsense}; there are: alt backspace capslock ctrl delete down "),
        ("{ctrl+}", "there is no key {ctrl+}; there are: alt "),
        ("{}", "there is no key {}; there are: alt "),
        ("ls{enter", "a { by itself: {{ types it, and {enter} is a key"),
        ("}", "a } by itself: }} types it, and {enter} is a key"),
    ],
)
def test_what_cannot_be_typed_is_refused(text: str, problem: str) -> None:
    with pytest.raises(UnknownKey, match=f"^{re.escape(problem)}"):
        key_events(text)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="{}")))
def test_all_of_ascii_can_be_typed_and_no_key_stays_down(text: str) -> None:
    held: set[bytes] = set()
    for event in key_events(text):
        key = event.replace(b"\xf0", b"")
        if b"\xf0" in event:
            held.remove(key)
        else:
            assert key not in held
            held.add(key)
    assert not held
