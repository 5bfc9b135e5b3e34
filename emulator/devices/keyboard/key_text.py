"""Text as keys of a US keyboard: what is pressed and released, in order, to type it.

A character is the key that has it, with shift where that is needed. `{enter}`, `{f1}`, `{up}` are keys by name, `{ctrl+c}` holds
one down while the next is pressed, `{wait}` is a second in which nothing is typed, `{{` is a brace.

Source: scan code set 2, IBM Personal Computer AT Technical Reference, "Keyboard"; extended keys as the 101-key keyboard has them.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_EXTENDED: Final = 0xE0
_BREAK: Final = 0xF0
_SHIFT: Final = "shift"


class UnknownKey(ValueError):
    """A text cannot be typed; the message says what of it."""


# Keys with one code, in the order of the rows of the keyboard.
_CHARACTERS: Final = {
    "`1234567890-=": (0x0E, 0x16, 0x1E, 0x26, 0x25, 0x2E, 0x36, 0x3D, 0x3E, 0x46, 0x45, 0x4E, 0x55),
    "qwertyuiop[]\\": (0x15, 0x1D, 0x24, 0x2D, 0x2C, 0x35, 0x3C, 0x43, 0x44, 0x4D, 0x54, 0x5B, 0x5D),
    "asdfghjkl;'": (0x1C, 0x1B, 0x23, 0x2B, 0x34, 0x33, 0x3B, 0x42, 0x4B, 0x4C, 0x52),
    "zxcvbnm,./ ": (0x1A, 0x22, 0x21, 0x2A, 0x32, 0x31, 0x3A, 0x41, 0x49, 0x4A, 0x29),
}
_SHIFTED: Final = dict(
    zip(
        '~!@#$%^&*()_+{}|:"<>?ABCDEFGHIJKLMNOPQRSTUVWXYZ',
        "`1234567890-=[]\\;',./abcdefghijklmnopqrstuvwxyz",
        strict=True,
    )
)
_CONTROLS: Final = {"\n": "enter", "\r": "enter", "\t": "tab", "\b": "backspace", "\x1b": "esc"}
_NAMED: Final = {
    "esc": 0x76,
    "tab": 0x0D,
    "backspace": 0x66,
    "enter": 0x5A,
    "space": 0x29,
    "shift": 0x12,
    "ctrl": 0x14,
    "alt": 0x11,
    "rshift": 0x59,
    "capslock": 0x58,
    "numlock": 0x77,
    "scrolllock": 0x7E,
    **dict(
        zip(
            [f"f{number}" for number in range(1, 13)],
            (0x05, 0x06, 0x04, 0x0C, 0x03, 0x0B, 0x83, 0x0A, 0x01, 0x09, 0x78, 0x07),
            strict=True,
        )
    ),
    **dict(
        zip(
            [f"kp{each}" for each in "0123456789.+-*"],
            (0x70, 0x69, 0x72, 0x7A, 0x6B, 0x73, 0x74, 0x6C, 0x75, 0x7D, 0x71, 0x79, 0x7B, 0x7C),
            strict=True,
        )
    ),
}
_NAMED_EXTENDED: Final = {
    "up": 0x75,
    "down": 0x72,
    "left": 0x6B,
    "right": 0x74,
    "home": 0x6C,
    "end": 0x69,
    "pageup": 0x7D,
    "pagedown": 0x7A,
    "insert": 0x70,
    "delete": 0x71,
    "rctrl": 0x14,
    "ralt": 0x11,
    "win": 0x1F,
    "rwin": 0x27,
    "menu": 0x2F,
    "kpenter": 0x5A,
    "kp/": 0x4A,
}
_PRINT: Final = (bytes.fromhex("e012e07c"), bytes.fromhex("e0f07ce0f012"))
_PAUSE: Final = (bytes.fromhex("e11477e1f014f077"), b"")  # has no release
_WAIT: Final = "wait"
_BRACES: Final = ("{", "}")

# A piece of a text: a name in braces, a doubled brace, or a character.
_PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|(.)", re.DOTALL)


@cache
def _keys() -> dict[str, tuple[bytes, bytes]]:
    """Return what each key sends when it goes down, and up, by name; a character is the name of its key."""
    keys = {"print": _PRINT, "pause": _PAUSE}
    for row, codes in _CHARACTERS.items():
        keys |= {name: _plain(code) for name, code in zip(row, codes, strict=True)}
    keys |= {name: _plain(code) for name, code in _NAMED.items()}
    keys |= {
        name: (bytes((_EXTENDED, code)), bytes((_EXTENDED, _BREAK, code)))
        for name, code in _NAMED_EXTENDED.items()
    }
    return keys


def _plain(code: int) -> tuple[bytes, bytes]:
    return bytes((code,)), bytes((_BREAK, code))


def key_events(text: str) -> tuple[bytes, ...]:
    """Return what happens on the keyboard when a text is typed.

    Returns:
        What the keyboard sends in scan code set 2 when a key goes down or up, in order; an empty one is a pause of a second.

    Raises:
        UnknownKey: It has a character that no key of a US keyboard types, or names a key that there is not, or has a brace
            by itself.
    """
    events: list[bytes] = []
    for piece in _PIECE.finditer(text):
        name, character = piece.groups()
        if character in _BRACES:
            raise UnknownKey(f"a {character} by itself: {2 * character} types it, and {{enter}} is a key")
        if name is None:
            events += _of_character(character or piece[0][0])
        else:
            events += _of_name(name)
    return tuple(events)


def _of_character(character: str) -> list[bytes]:
    if character in _SHIFTED:
        return _chord([_SHIFT, _SHIFTED[character]])
    name = _CONTROLS.get(character, character)
    if name not in _keys():
        raise UnknownKey(f"no key of a US keyboard types {character!r}")
    return _chord([name])


def _of_name(text: str) -> list[bytes]:
    if text == _WAIT:
        return [b""]
    names = [text.lower()] if text.lower() in _keys() else text.lower().split("+")
    if not set(names) <= _keys().keys():
        raise UnknownKey(f"there is no key {{{text}}}; there are: {_all_names()}")
    return _chord(names)


def _all_names() -> str:
    return " ".join([*sorted(name for name in _keys() if len(name) > 1), _WAIT])


def _chord(names: list[str]) -> list[bytes]:
    """Press keys one after the other, then release them, the last one first."""
    keys = [_keys()[name] for name in names]
    down = [make for make, _release in keys]
    return down + [release for _make, release in reversed(keys) if release]
